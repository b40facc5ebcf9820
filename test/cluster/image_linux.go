package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// image writes an archive of a container image that contains one static program, and returns its path. The program
// runs as nobody, with the arguments in entry before those of its pod.
func (n *Node) image(name, program string, entry ...string) string {
	n.tb.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		n.tb.Fatal(err)
	}
	layer := archive(n.tb, file{"etc/passwd", 0o644, []byte("nobody:x:65532:65532::/:/\n")}, file{"program", 0o755, text})
	digest := fmt.Sprintf("%x", sha256.Sum256(layer))
	settings := marshal(n.tb, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
		"config": map[string]any{"Entrypoint": append([]string{"/program"}, entry...), "User": "65532:65532", "WorkingDir": "/"},
	})
	named := fmt.Sprintf("%x.json", sha256.Sum256(settings))
	list := marshal(n.tb, []any{map[string]any{"Config": named, "RepoTags": []string{name}, "Layers": []string{digest + "/layer.tar"}}})
	path := filepath.Join(n.folder, digest[:12]+".tar")
	whole := archive(n.tb, file{named, 0o644, settings}, file{digest + "/layer.tar", 0o644, layer}, file{"manifest.json", 0o644, list})
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		n.tb.Fatal(err)
	}
	return path
}

type file struct {
	name string
	mode int64
	text []byte
}

func archive(tb testing.TB, files ...file) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(f.text); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
