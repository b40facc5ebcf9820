package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/edits"
)

// Runtime runs programs that are not machine code.
type Runtime string

// The runtimes.
const (
	Native Runtime = ""       // the system: an executable file, or a script with its interpreter in the first line
	Node   Runtime = "node"   // Node.js
	Python Runtime = "python" // CPython 3
)

// suffixes identify the runtime of a file, in the order in which its own loader and AWS's look for modules.
var suffixes = map[Runtime][]string{
	Node:   {".js", ".mjs", ".cjs"},
	Python: {".py"},
}

func runtimeOf(file string) Runtime {
	for _, r := range []Runtime{Node, Python} {
		if slices.Contains(suffixes[r], filepath.Ext(file)) {
			return r
		}
	}
	return Native
}

func isTypeScript(file string) bool {
	return slices.Contains([]string{".ts", ".mts", ".cts", ".tsx"}, filepath.Ext(file))
}

func typeScriptError(what string) error {
	return fmt.Errorf("run: %s is TypeScript, which is not run; compile it (npx esbuild index.ts --bundle --platform=node --format=esm --outfile=dist/index.mjs) and name what comes of it", what)
}

// isScript distinguishes a program that names its interpreter from a module that is only imported: a script is
// executable and begins with #!.
func isScript(file string, info fs.FileInfo) bool {
	if onWindows || info.Mode().Perm()&0o111 == 0 {
		return false
	}
	in, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = in.Close() }() // it was only read
	var mark [2]byte
	_, err = io.ReadFull(in, mark[:])
	return err == nil && bytes.Equal(mark[:], []byte("#!"))
}

// ofModule returns the program of a single file that was named.
func ofModule(name, file string, runtime Runtime, contract Contract) (Program, error) {
	p := Program{Name: name, Folder: filepath.Dir(file), Runtime: runtime, Contract: Lambda}
	if contract == HTTP {
		p.File = file
		return p.explicitly(contract), nil
	}
	module := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if strings.Contains(module, ".") {
		return Program{}, fmt.Errorf("run: no handler can name %s, for a dot ends the name of a module; rename it", file)
	}
	p.Handler, p.Reason = module+"."+exports[runtime], fmt.Sprintf("the file is a module of %s", runtime)
	return p.explicitly(contract), nil
}

// exports are AWS's default names of a handler.
var exports = map[Runtime]string{Node: "handler", Python: "lambda_handler"}

// The modules that AWS looks for by default, and the names of servers.
const (
	nodeModule   = "index"
	pythonModule = "lambda_function"
	manifestFile = "package.json"
)

var pythonServers = []string{"__main__.py", "main.py", "app.py"}

// ofModules returns the program of a folder of modules.
func ofModules(name, folder string, contract Contract) (Program, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return Program{}, fmt.Errorf("run: %w", err)
	}
	var files []string
	for _, e := range entries {
		if edits.IsRegular(filepath.Join(folder, e.Name())) {
			files = append(files, e.Name())
		}
	}
	p := Program{Name: name, Folder: folder, Contract: Lambda}
	var entry, reason string
	switch {
	case hasModule(files, nodeModule, Node) || slices.Contains(files, manifestFile):
		p.Runtime = Node
		entry, reason, err = nodeEntry(folder, files)
	case slices.ContainsFunc(files, func(f string) bool { return runtimeOf(f) == Python }):
		p.Runtime = Python
		entry, reason = pythonEntry(files, contract)
	case slices.ContainsFunc(files, isTypeScript):
		err = typeScriptError(folder)
	default:
		err = fmt.Errorf("run: %s holds neither a program called %s nor a Go main package, nor Node.js (index.mjs, .js or .cjs, %s) or Python; name the file itself", folder, bootstrap, manifestFile)
	}
	if err != nil {
		return Program{}, err
	}
	p.Reason = reason
	if contract != HTTP {
		if entry != "" {
			p.Handler = strings.TrimSuffix(entry, path.Ext(entry)) + "." + exports[p.Runtime]
		}
		return p.explicitly(contract), nil
	}
	if entry == "" {
		return Program{}, fmt.Errorf("run: nothing says which file of %s is the server; name the file itself", folder)
	}
	p.File = filepath.Join(folder, filepath.FromSlash(entry))
	return p.explicitly(contract), nil
}

func hasModule(files []string, module string, runtime Runtime) bool {
	return moduleFile(files, module, runtime) != ""
}

func moduleFile(files []string, module string, runtime Runtime) string {
	for _, suffix := range suffixes[runtime] {
		if slices.Contains(files, module+suffix) {
			return module + suffix
		}
	}
	return ""
}

// nodeEntry finds index.js and the like, or the main of package.json.
func nodeEntry(folder string, files []string) (entry, reason string, err error) {
	if file := moduleFile(files, nodeModule, Node); file != "" {
		return file, "the folder has " + file, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err != nil {
		return "", "", fmt.Errorf("run: %w", err)
	}
	entry, err = mainOf(text)
	if err != nil {
		return "", "", fmt.Errorf("run: %s: %w", filepath.Join(folder, manifestFile), err)
	}
	return entry, "the folder has " + manifestFile, nil
}

// mainOf returns the entry that a package.json names, as a clean path below its folder; "" if it names none that could
// be run.
func mainOf(manifest []byte) (string, error) {
	var m struct {
		Main string `json:"main"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return "", fmt.Errorf("it cannot be read: %w", err)
	}
	if m.Main == "" {
		return "", nil
	}
	entry := path.Clean(m.Main)
	if !filepath.IsLocal(filepath.FromSlash(entry)) || runtimeOf(entry) != Node {
		return "", nil
	}
	return entry, nil
}

func pythonEntry(files []string, contract Contract) (entry, reason string) {
	if contract == HTTP {
		for _, server := range pythonServers {
			if slices.Contains(files, server) {
				return server, ""
			}
		}
		return "", ""
	}
	return moduleFile(files, pythonModule, Python), "the folder has files of Python"
}

// CheckHandler says what is wrong with the name of a handler. The name is FILE.EXPORT or FOLDER/FILE.EXPORT; Python
// also takes dots between folders.
func CheckHandler(handler string) error {
	module, export, ok := cutHandler(handler)
	switch {
	case !ok || module == "" || export == "":
		return fmt.Errorf("handler: %q is not a file and what it exports, as index.handler", handler)
	case strings.Contains(handler, ".."):
		return fmt.Errorf("handler: %q has two dots in a row; it is a file below the folder and what it exports, as index.handler", handler)
	}
	return nil
}

// cutHandler cuts at the first dot of the last path segment.
func cutHandler(handler string) (module, export string, ok bool) {
	base := strings.LastIndexByte(handler, '/') + 1
	name, export, ok := strings.Cut(handler[base:], ".")
	if name == "" {
		return "", export, ok
	}
	return handler[:base] + name, export, ok
}
