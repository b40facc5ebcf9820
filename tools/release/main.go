// Command release builds Weir for all systems from what is committed: archives, a bill of materials for each binary,
// and checksums. A build of the same commit with the same version of Go has the same bytes, at any time and on any
// machine.
//
//	go run ./release -root .. -out ../dist
//	go run ./release -root .. -twice
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// target is a system to build for.
type target struct{ os, arch string }

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

func main() {
	root := flag.String("root", ".", "the repository's `folder`")
	out := flag.String("out", "dist", "the `folder` that is written, which must be empty or not there")
	twice := flag.Bool("twice", false, "only build twice, in two places and with nothing shared but Go and the modules' sources, and compare")
	flag.Parse()
	if err := run(*root, *out, *twice); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(root, out string, twice bool) error {
	scratch, err := os.MkdirTemp("", "weir-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // the system also clears it
	s, err := clone(root, filepath.Join(scratch, "source"))
	if err != nil {
		return err
	}
	if twice {
		return compare(s, scratch)
	}
	return release(s, scratch, out)
}

// release writes everything for all targets to out.
func release(s source, scratch, out string) error {
	if there, err := os.ReadDir(out); err == nil && len(there) > 0 {
		return fmt.Errorf("%s is not empty: what lies there would be taken for a part of this release", out)
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // a release is for everybody
		return err
	}
	var sums strings.Builder
	for _, t := range targets {
		name := fmt.Sprintf("weir_%s_%s_%s", strings.TrimPrefix(s.version, "v"), t.os, t.arch)
		made, err := one(s, filepath.Join(scratch, name), name, t)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, f := range made {
			if err := os.WriteFile(filepath.Join(out, f.name), f.data, 0o644); err != nil { //nolint:gosec // a release is for everybody
				return err
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(f.data), f.name)
		}
		fmt.Fprintln(os.Stdout, made[0].name)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644) //nolint:gosec // a release is for everybody
}

// one makes the archive and the bill of materials of one target.
func one(s source, folder, name string, t target) ([]file, error) {
	program := "weir"
	if t.os == "windows" {
		program += ".exe"
	}
	path := filepath.Join(folder, program)
	if err := s.build(path, t); err != nil {
		return nil, err
	}
	if t.os == "linux" {
		if err := static(path); err != nil {
			return nil, err
		}
	}
	b, err := contents(path)
	if err != nil {
		return nil, err
	}
	bill, err := b.bill(s.version)
	if err != nil {
		return nil, err
	}
	licenses, err := b.licenses(s.folder)
	if err != nil {
		return nil, err
	}
	files := []file{{program, b.data, 0o755}, {"THIRD_PARTY_LICENSES", licenses, 0o644}}
	for _, beside := range append([]string{"LICENSE", "README.md"}, units(t)...) {
		data, err := os.ReadFile(filepath.Join(s.folder, beside))
		if err != nil {
			return nil, err
		}
		files = append(files, file{beside, data, 0o644})
	}
	archive := file{name: name + ".tar.gz", mode: 0o644}
	pack := tarball
	if t.os == "windows" {
		archive.name, pack = name+".zip", zipped
	}
	archive.data, err = pack(name, s.time, files)
	return []file{archive, {name + ".cdx.json", bill, 0o644}}, err
}

// units returns the files for systemd.
func units(t target) []string {
	if t.os != "linux" {
		return nil
	}
	return []string{"deploy/systemd/weir.service", "deploy/systemd/weir.socket", "deploy/systemd/weir.sysusers"}
}

// compare builds for Linux a second time: from a clone in another folder, with an empty build cache.
func compare(s source, scratch string) error {
	other, err := clone(s.folder, filepath.Join(scratch, "elsewhere", "a second source"))
	if err != nil {
		return err
	}
	first, second := filepath.Join(scratch, "first"), filepath.Join(scratch, "second")
	if err := s.build(first, targets[0]); err != nil {
		return err
	}
	if err := other.build(second, targets[0], "GOCACHE="+filepath.Join(scratch, "cache")); err != nil {
		return err
	}
	a, err := os.ReadFile(first)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(second)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("two builds of one commit differ: %x and %x", sha256.Sum256(a), sha256.Sum256(b))
	}
	fmt.Fprintf(os.Stdout, "%s, built twice: the same %d bytes, sha256 %x\n", s.version, len(a), sha256.Sum256(a))
	return nil
}
