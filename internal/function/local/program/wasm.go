package program

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

// ofWasm returns the program of a module's file.
func ofWasm(name, file string, contract Contract) (Program, error) {
	if err := wasm.Check(file); err != nil {
		return Program{}, fmt.Errorf("run: %w", err)
	}
	p := Program{Name: name, Folder: filepath.Dir(file), File: file, Contract: Wasm, Reason: "the file is a WebAssembly module"}
	return p.explicitly(contract), nil
}

// Compiled returns the folder for the compiled code of a module. It is named by the module's content, and removed when
// it was not requested for a week.
func Compiled(cache, module string) (string, error) {
	in, err := os.Open(module)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = in.Close() }() // it was only read
	all := filepath.Join(cache, "wasm")
	folder := filepath.Join(all, digest(in))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("cache of compiled modules: %w", err)
	}
	now := time.Now()
	_ = os.Chtimes(folder, now, now) // at worst it is compiled again in a week
	prune(all, folder)
	return folder, nil
}

// target is what the go command builds for.
func (p Program) target() []string {
	if p.Contract == Wasm {
		return []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}
	}
	return []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
}

// flags are additional flags of the go command: a module that exports a handler is built as a reactor, which is kept
// between requests.
func (p Program) flags() []string {
	if p.Contract != Wasm {
		return nil
	}
	sources, _ := filepath.Glob(filepath.Join(escapeGlob(p.Folder), "*.go")) // the pattern is well formed
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err == nil && !strings.HasSuffix(source, "_test.go") && bytes.Contains(text, []byte("\n//go:wasmexport handle_request\n")) {
			return []string{"-buildmode=c-shared"}
		}
	}
	return nil
}

// suffix is the suffix of the built file.
func (p Program) suffix() string {
	if p.Contract == Wasm {
		return ".wasm"
	}
	return exeSuffix()
}

// source identifies what is built, and for which target.
func (p Program) source() string {
	if p.Contract == Wasm {
		return p.Folder + "\x00wasm"
	}
	return p.Folder
}
