package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-gateway/weir/internal/base/process"
)

// Elsewhere returns what a program is built from outside of its own folder: the folders of packages that are on this
// machine and are not a released version of a module, the files that they embed, and the files of their modules.
// Folders end with a separator. For a program that is not built it returns nothing.
func (p Program) Elsewhere(ctx context.Context, host *process.Host) ([]string, error) {
	if !p.NeedsBuild() {
		return nil, nil
	}
	var list strings.Builder // written by one goroutine, as lines of standard error are skipped
	line := func(l process.Line) {
		if l.Stream == process.Stdout {
			list.Write(l.Text)
			list.WriteByte('\n')
		}
	}
	if err := p.goCommand(ctx, host, nil, line, "list", "-deps", "-e", "-json=Dir,Standard,Module,EmbedFiles", "."); err != nil {
		return nil, fmt.Errorf("go list in %s: %w", p.Folder, err)
	}
	return elsewhere(p.Folder, strings.NewReader(list.String()))
}

// FilesOf returns the files behind the paths that Elsewhere returned: for a folder, the files that are built.
func FilesOf(paths []string) []string {
	var files []string
	for _, path := range paths {
		if !strings.HasSuffix(path, string(filepath.Separator)) {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil { // the missing files then make another state
			continue
		}
		for _, entry := range entries {
			if isGo(entry.Name()) {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	return files
}

// listed is the part of a package in `go list` output that is needed here.
type listed struct {
	Dir        string
	Standard   bool
	EmbedFiles []string
	Module     *struct {
		Main    bool
		Version string
		GoMod   string
		Replace *struct{ Version, GoMod string }
	}
}

// local reports whether the package may be edited, and returns the go.mod of its module.
func (l *listed) local() (mod string, ok bool) {
	switch m := l.Module; {
	case l.Standard || m == nil || l.Dir == "":
		return "", false
	case m.Replace != nil:
		return m.Replace.GoMod, m.Replace.Version == ""
	default:
		return m.GoMod, m.Main
	}
}

func elsewhere(folder string, list io.Reader) ([]string, error) {
	var found []string
	seen := map[string]bool{}
	add := func(path string) {
		if path != "" && !seen[path] && !strings.HasPrefix(path, folder+string(filepath.Separator)) {
			seen[path] = true
			found = append(found, path)
		}
	}
	for decoder := json.NewDecoder(list); ; {
		var one listed
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("what go list says: %w", err)
		}
		mod, ok := one.local()
		if !ok {
			continue
		}
		add(one.Dir + string(filepath.Separator))
		for _, file := range one.EmbedFiles {
			add(filepath.Join(one.Dir, file))
		}
		add(mod)
		if mod != "" {
			add(strings.TrimSuffix(mod, ".mod") + ".sum")
		}
	}
}
