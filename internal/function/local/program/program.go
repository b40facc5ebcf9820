// Package program finds out what a function's `run` means: which program runs, by which contract, and whether it has to
// be built first.
package program

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/edits"
	"github.com/weir-gateway/weir/internal/function/local/azure"
	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

// Contract is how a function is talked to.
type Contract string

// The contracts. Guess means to find out which.
const (
	Guess  Contract = ""
	Lambda Contract = "lambda" // AWS Lambda's Runtime API
	HTTP   Contract = "http"   // a server on PORT, as on Cloud Run
	Azure  Contract = "azure"  // a custom handler of an Azure Functions app
	Wasm   Contract = "wasm"   // a WebAssembly module
)

// Program is what is run.
type Program struct {
	Name     string
	Contract Contract
	// Reason says why it has that contract, for explain.
	Reason string
	// Folder is the working folder: the folder that was named, or the file's.
	Folder string
	// File is what runs: the program, the name of a command, or the entry file for a Runtime. It is "" if Folder is a
	// Go program that is built first, or holds modules with a handler.
	File string
	// Runtime runs the program, if it cannot run by itself.
	Runtime Runtime
	// Handler is AWS's default for modules of a Runtime; "" if there is none, and the config must set it.
	Handler string
	// Search is a list like PATH in which the Runtime is looked up; "" means the gateway's own.
	Search string
	// Heap bounds a heap that knows no other limit (Node.js's), in MiB; 0 sets no bound.
	Heap int64
	// Args are the program's own first arguments. %NAME% in them stands for a
	// variable of the instance's environment.
	Args []string
	// Dir is the working folder if that is not Folder, else "".
	Dir string
	// App is an Azure app's own description, nil for other programs.
	App *azure.App
}

// bootstrap is AWS's name for the program of a custom runtime.
const bootstrap = "bootstrap"

const onWindows = runtime.GOOS == "windows"

// lambdaModule is the import that identifies a Lambda function written in Go.
const lambdaModule = "github.com/aws/aws-lambda-go"

// Find looks at path, a folder or a file, and changes nothing. The rules:
//
//   - a folder with a host.json is an Azure Functions app, and what its custom
//     handler names is run;
//   - a file that is a WebAssembly module is run as one;
//   - any other file is run as it is; it is a Lambda function if it is called
//     bootstrap, and otherwise serves HTTP;
//   - the same holds for a file bootstrap in a folder;
//   - a folder with a Go program is built; it is a Lambda function if one of
//     its files imports aws-lambda-go, and otherwise serves HTTP;
//   - a file of JavaScript or Python that is not a script of its own, and a folder
//     of such files, is a Lambda function: a module with a handler. With the
//     contract HTTP it is a server, and run as it is.
//
// A contract other than Guess overrides all of them.
func Find(name, path string, contract Contract) (Program, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Program{}, fmt.Errorf("run: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Program{}, fmt.Errorf("run: there is no file or folder %s; the path is relative to the config, and arguments stand under args", path)
	case err != nil:
		return Program{}, fmt.Errorf("run: %w", err)
	case !info.IsDir() && contract == Azure:
		return Program{}, fmt.Errorf("run: %s is a file; name the folder of the app, which has the host.json", path)
	case !info.IsDir():
		return ofFile(name, path, info, contract)
	}
	if isApp(path, contract) {
		return ofApp(name, path, contract)
	}
	file := filepath.Join(path, bootstrap)
	if info, err := os.Stat(file); err == nil && !info.IsDir() {
		return ofFile(name, file, info, contract)
	}
	return ofFolder(name, path, contract)
}

func ofFile(name, file string, info fs.FileInfo, contract Contract) (Program, error) {
	if !info.Mode().IsRegular() {
		return Program{}, fmt.Errorf("run: %s is neither a folder nor a regular file", file)
	}
	if filepath.Ext(file) == ".go" {
		return Program{}, fmt.Errorf("run: %s is a source file; name its folder, which is built", file)
	}
	if contract == Wasm || contract == Guess && (filepath.Ext(file) == ".wasm" || wasm.Is(file)) {
		return ofWasm(name, file, contract)
	}
	if isTypeScript(file) {
		return Program{}, typeScriptError(file)
	}
	if runtime := runtimeOf(file); runtime != Native && !isScript(file, info) {
		return ofModule(name, file, runtime, contract)
	}
	if !onWindows && info.Mode().Perm()&0o111 == 0 {
		return Program{}, fmt.Errorf("run: %s is not executable; run `chmod +x` on it; a script begins with its interpreter, as #!/usr/bin/env python3", file)
	}
	p := Program{Name: name, Folder: filepath.Dir(file), File: file, Contract: HTTP, Reason: "the file is not called " + bootstrap}
	if filepath.Base(file) == bootstrap {
		p.Contract, p.Reason = Lambda, "the file is called "+bootstrap
	}
	return p.explicitly(contract), nil
}

func ofFolder(name, folder string, contract Contract) (Program, error) {
	sources, err := filepath.Glob(filepath.Join(escapeGlob(folder), "*.go"))
	if err != nil {
		return Program{}, fmt.Errorf("run: %w", err)
	}
	p := Program{Name: name, Folder: folder, Contract: HTTP, Reason: "the Go program does not import " + lambdaModule}
	hasMain := false
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") || !edits.IsRegular(source) { // as the links by which editors lock
			continue
		}
		isMain, isLambda, err := readSource(source)
		if err != nil {
			return Program{}, fmt.Errorf("run: %w", err)
		}
		hasMain = hasMain || isMain
		if isLambda {
			p.Contract, p.Reason = Lambda, "the Go program imports "+lambdaModule
		}
	}
	if !hasMain && contract == Wasm {
		return Program{}, fmt.Errorf("run: %s holds no Go main package, which is what is built as a WebAssembly module; name the module's file", folder)
	}
	if !hasMain {
		return ofModules(name, folder, contract)
	}
	if !inModule(folder) {
		return Program{}, fmt.Errorf("run: %s is in no Go module; run `go mod init NAME` in it", folder)
	}
	return p.explicitly(contract), nil
}

// inModule reports whether the folder or one above it has a go.mod, without which the go command builds nothing there.
func inModule(folder string) bool {
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return true
		}
		above := filepath.Dir(folder)
		if above == folder {
			return false
		}
		folder = above
	}
}

func (p Program) explicitly(contract Contract) Program {
	if contract != Guess {
		p.Contract, p.Reason = contract, "the config says so"
	}
	return p
}

// escapeGlob escapes a folder's name so that it matches itself in a pattern.
func escapeGlob(folder string) string {
	if onWindows { // where a backslash does not escape
		return folder
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(folder)
}

// readSource reads the package clause and imports of a Go file.
func readSource(path string) (isMain, isLambda bool, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return false, false, fmt.Errorf("source of a Go program: %w", err)
	}
	for _, imported := range file.Imports {
		name, err := strconv.Unquote(imported.Path.Value)
		if err == nil && (name == lambdaModule || strings.HasPrefix(name, lambdaModule+"/")) {
			isLambda = true
		}
	}
	return file.Name.Name == "main", isLambda, nil
}
