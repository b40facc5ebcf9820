package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/places"
	"github.com/weir-gateway/weir/internal/config"
)

// Found is what a folder without a config has that can be run as a function.
type Found struct {
	Functions []Function
	// Left are names that look like functions but cannot be run.
	Left []Left
}

// Function is a function that was found.
type Function struct {
	Name string
	Run  string // relative to the folder, as in a config
}

// Left is a file or folder that is not a function, and the reason.
type Left struct{ Name, Why string }

// ownNames are the names of the config in a folder: the one that `weir init` writes, and the other usual spelling.
var ownNames = []string{"weir.yaml", "weir.yml"}

// functionsFolder is where a project keeps its functions among other things. Everything in it is meant to be run, so
// single files count, too.
const functionsFolder = "functions"

// Find looks for functions in a folder and changes nothing. The folder itself may be the function; otherwise Find looks
// at what is in its folder functions, or, if there is none, at its folders.
func (in Input) Find() (Found, error) {
	if in.Runs(in.Path) == nil {
		return Found{Functions: []Function{{Name: nameOf(in.Path), Run: "."}}}, nil
	}
	folder, files := functionsFolder, true
	if !isFolder(filepath.Join(in.Path, folder)) {
		folder, files = "", false
	}
	entries, err := os.ReadDir(filepath.Join(in.Path, folder))
	if err != nil {
		return Found{}, fmt.Errorf("functions of a folder: %w", err)
	}
	var found Found
	for _, entry := range entries { // sorted by name
		path := filepath.Join(in.Path, folder, entry.Name())
		if isFolder(path) && !passedOver(entry.Name()) || files && !strings.HasPrefix(entry.Name(), ".") {
			found.look(in, path)
		}
	}
	return found, nil
}

// look adds path, which is inside in.Path.
func (f *Found) look(in Input, path string) {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	within, err := filepath.Rel(in.Path, path)
	if err == nil {
		err = in.Runs(path)
	}
	switch {
	case err != nil && looksLikeCode(path):
		f.Left = append(f.Left, Left{within, shortly(err, path)})
	case err != nil:
	case !config.IsElementName(name):
		f.Left = append(f.Left, Left{within, "a function's name has letters, digits, '-', '_' and '.'"})
	case slices.ContainsFunc(f.Functions, func(other Function) bool { return other.Name == name }):
		f.Left = append(f.Left, Left{within, "there is another function of that name"})
	default:
		f.Functions = append(f.Functions, Function{name, "./" + filepath.ToSlash(within)})
	}
}

// shortly returns the text of an error about path, for a message that already names path.
func shortly(err error, path string) string {
	text := strings.TrimPrefix(err.Error(), "run: ")
	if absolute, err := filepath.Abs(path); err == nil {
		text = strings.ReplaceAll(text, absolute, "it")
	}
	return text
}

// passedOver reports whether a folder is one that tools fill.
func passedOver(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || slices.Contains([]string{"node_modules", "vendor", "testdata", "dist"}, name)
}

// looksLikeCode reports whether path may have been meant to be a function.
func looksLikeCode(path string) bool {
	code := []string{".go", ".js", ".mjs", ".cjs", ".ts", ".py", ".wasm"}
	if !isFolder(path) {
		return slices.Contains(code, filepath.Ext(path))
	}
	entries, err := os.ReadDir(path)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() == "host.json" || slices.Contains(code, filepath.Ext(e.Name()))
	})
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// nameOf returns the name of a function that is the folder itself.
func nameOf(folder string) string {
	if absolute, err := filepath.Abs(folder); err == nil {
		if name := filepath.Base(absolute); config.IsElementName(name) {
			return name
		}
	}
	return "function"
}

// Config returns the config of what was found. A function that is the folder itself gets every path. Otherwise each
// function gets the paths below its name, which it does not see, so that every path of its own can be requested. GET /
// then lists the functions.
func (f Found) Config() string {
	var b strings.Builder
	b.WriteString("listen: 127.0.0.1:8080\n\nproblems: verbose\n\nroutes:\n")
	if len(f.Functions) == 1 && f.Functions[0].Run == "." {
		fmt.Fprintf(&b, "  ANY /**: fn:%s\n", f.Functions[0].Name)
	} else {
		b.WriteString("  GET /:\n    respond:\n      body:\n        functions:\n")
		for _, one := range f.Functions {
			fmt.Fprintf(&b, "          - /%s\n", one.Name)
		}
	}
	for _, one := range f.Functions {
		if one.Run != "." {
			fmt.Fprintf(&b, "\n  ANY /%[1]s/**:\n    strip: /%[1]s\n    to: fn:%[1]s\n", one.Name)
		}
	}
	b.WriteString("\nfunctions:\n")
	for i, one := range f.Functions {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  %s:\n    run: %s\n", one.Name, one.Run)
	}
	return b.String()
}

// own returns where the config is: Path itself, or the weir.yaml in it if Path is a folder and Runs is set. It is "" if
// there is no such file, so that functions are looked for.
func (in Input) own() string {
	if in.Runs == nil || !isFolder(in.Path) {
		return in.Path
	}
	for _, name := range ownNames {
		if path := filepath.Join(in.Path, name); isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Finds reports whether the input is a folder without a config in which functions were found.
func (in Input) Finds() bool {
	if in.own() != "" {
		return false
	}
	found, err := in.Find()
	return err == nil && len(found.Functions) > 0
}

// found returns the config of what is in the folder.
func (in Input) found() ([]config.Source, error) {
	found, err := in.Find()
	if err != nil {
		return nil, err
	}
	if len(found.Functions) > 0 {
		return []config.Source{{Path: filepath.Join(in.Path, "(functions)"), Data: []byte(found.Config())}}, nil
	}
	if sources, err := config.Read(in.Path); err == nil {
		return sources, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "there is nothing to run in %s: no weir.yaml, it is no function, and there is none in it", in.Path)
	if err := in.Runs(in.Path); err != nil && looksLikeCode(in.Path) {
		fmt.Fprintf(&b, "\n  .: %s", shortly(err, in.Path))
	}
	for _, left := range found.Left {
		fmt.Fprintf(&b, "\n  %s: %s", left.Name, left.Why)
	}
	b.WriteString("\na function is a folder with a Go main package and a go.mod, with index.mjs or lambda_function.py, or with a program called bootstrap; `weir init` writes a weir.yaml")
	return nil, wrong("%s", b.String())
}

// places returns what the input's content depends on, in addition to the sources themselves.
func (in Input) places() []string {
	own := in.own()
	if own != "" {
		return []string{own}
	}
	names := []string{filepath.Join(in.Path, places.Everything)}
	for _, name := range ownNames {
		names = append(names, filepath.Join(in.Path, name))
	}
	for _, folder := range []string{in.Path, filepath.Join(in.Path, functionsFolder)} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		names = append(names, filepath.Join(folder, places.Everything))
		for _, entry := range entries {
			if path := filepath.Join(folder, entry.Name()); isFolder(path) && !passedOver(entry.Name()) {
				names = append(names, filepath.Join(path, places.Everything))
			}
		}
	}
	return names
}
