package program

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/function/local/azure"
)

// isApp reports whether a folder is to be read as an Azure Functions app.
func isApp(folder string, contract Contract) bool {
	if contract != Guess {
		return contract == Azure
	}
	info, err := os.Stat(filepath.Join(folder, azure.HostFile))
	return err == nil && !info.IsDir()
}

// ofApp finds the custom handler of an app: the file that host.json names; if there is no such file and the folder is a
// Go program, what is built from that; otherwise a command.
func ofApp(name, folder string, contract Contract) (Program, error) {
	app, err := azure.Read(folder)
	if err != nil {
		return Program{}, fmt.Errorf("run: %w", err)
	}
	p := Program{
		Name: name, Folder: folder, Contract: Azure, Reason: "the folder has a " + azure.HostFile,
		Args: app.Arguments, Dir: app.Dir, App: app,
	}
	executable := azure.Expand(app.Executable, func(variable string) (string, bool) {
		value, ok := app.Settings[variable]
		return value, ok
	})
	if info, err := os.Stat(app.Dir); err != nil || !info.IsDir() {
		return Program{}, fmt.Errorf("run: %s names the working folder %s, and there is none", filepath.Join(folder, azure.HostFile), app.Dir)
	}
	file := filepath.FromSlash(executable)
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	if info, err := os.Stat(file); err == nil && !info.IsDir() {
		found, err := ofFile(name, file, info, HTTP)
		p.File, p.Runtime = found.File, found.Runtime
		return p.explicitly(contract), err
	}
	if source, err := ofFolder(name, folder, HTTP); err == nil && source.NeedsBuild() {
		p.Reason += ", and its handler is the Go program in it"
		return p.explicitly(contract), nil
	}
	if strings.ContainsAny(executable, `/\`) {
		return Program{}, fmt.Errorf("run: %s names the program %q; there is no such file in the app, nor a Go main package to build it of", filepath.Join(folder, azure.HostFile), executable)
	}
	p.runs(executable)
	return p.explicitly(contract), nil
}

// runs sets a command as the program. An interpreter that can also run functions outside of apps is found in the same
// way as for those.
func (p *Program) runs(name string) {
	p.File = name
	for runtime, product := range products {
		script := len(p.Args) > 0 && !strings.HasPrefix(p.Args[0], "-") && !strings.Contains(p.Args[0], "%")
		if script && slices.Contains(product.commands, strings.TrimSuffix(name, ".exe")) {
			p.Runtime, p.File, p.Args = runtime, p.Args[0], p.Args[1:]
			return
		}
	}
}
