package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, folder string, files map[string]string, mode os.FileMode) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHandlersAreAWSsWhereNobodySaysMore(t *testing.T) {
	tests := []struct {
		files        map[string]string
		run, handler string
		runtime      Runtime
	}{
		{map[string]string{"index.mjs": ""}, "", "index.handler", Node},
		{map[string]string{"index.cjs": "", "package.json": `{"main":"app.js"}`}, "", "index.handler", Node},
		{map[string]string{"package.json": `{"main":"./src/app.js"}`}, "", "src/app.handler", Node},
		{map[string]string{"package.json": `{"main":"../elsewhere.js"}`}, "", "", Node},
		{map[string]string{"package.json": `{"main":"/etc/app.js"}`}, "", "", Node},
		{map[string]string{"package.json": `{"main":"app.node"}`}, "", "", Node},
		{map[string]string{"package.json": `{"name":"x"}`}, "", "", Node},
		{map[string]string{"lambda_function.py": "", "x.py": ""}, "", "lambda_function.lambda_handler", Python},
		{map[string]string{"orders.py": ""}, "", "", Python},
		{map[string]string{"orders.py": ""}, "orders.py", "orders.lambda_handler", Python},
		{map[string]string{"orders.cjs": ""}, "orders.cjs", "orders.handler", Node},
	}
	for _, test := range tests {
		folder := t.TempDir()
		write(t, folder, test.files, 0o600)
		p, err := Find("f", filepath.Join(folder, test.run), Guess)
		if err != nil || p.Handler != test.handler || p.Runtime != test.runtime || p.Folder != folder || p.Reason == "" {
			t.Errorf("%v: found %+v, %v; want the handler %q of %s", test.files, p, err, test.handler, test.runtime)
		}
	}
}

func TestAScriptIsAProgramAndNoModule(t *testing.T) {
	if onWindows {
		t.Skip("nothing is executable there")
	}
	folder := t.TempDir()
	write(t, folder, map[string]string{"server.py": "#!/usr/bin/env python3\n", "short.py": "#"}, 0o700)
	write(t, folder, map[string]string{"module.py": "#!/usr/bin/env python3\n"}, 0o600)
	for file, want := range map[string]Runtime{"server.py": Native, "short.py": Python, "module.py": Python} {
		p, err := Find("f", filepath.Join(folder, file), Guess)
		if err != nil || p.Runtime != want || (p.File != "") != (want == Native) {
			t.Errorf("%s: found %+v, %v; want the runtime %q", file, p, err, want)
		}
	}
}

func TestHandlersAreAFileAndWhatItExports(t *testing.T) {
	for handler, ok := range map[string]bool{
		"index.handler": true, "src/index.handler": true, "a.b/index.handler": true, "pkg.mod.fn": true, "index.a.b": true, "/opt/x/handler.handler": true,
		"": false, "handler": false, ".handler": false, "index.": false, "src/.handler": false, "../index.handler": false, "index..handler": false, "src.x/index": false,
	} {
		if err := CheckHandler(handler); (err == nil) != ok {
			t.Errorf("%q: %v", handler, err)
		}
	}
}

func FuzzCheckHandler(f *testing.F) {
	f.Add("src/index.handler")
	f.Add("../a.b")
	f.Fuzz(func(t *testing.T, handler string) {
		module, export, ok := cutHandler(handler)
		if CheckHandler(handler) != nil {
			return
		}
		if !ok || module+"."+export != handler || strings.HasSuffix(module, "/") || strings.Contains(module, "..") {
			t.Errorf("%q is taken as %q and %q", handler, module, export)
		}
	})
}

func FuzzMainOf(f *testing.F) {
	f.Add([]byte(`{"main":"./src/app.js"}`))
	f.Add([]byte(`{"main":"../../x.js"}`))
	f.Add([]byte(`{"main":7}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		entry, err := mainOf(manifest)
		if entry == "" {
			return
		}
		if err != nil || !filepath.IsLocal(filepath.FromSlash(entry)) || runtimeOf(entry) != Node {
			t.Errorf("%s: got %q, %v", manifest, entry, err)
		}
	})
}

func FuzzParseInterpreter(f *testing.F) {
	f.Add("/usr/bin/node\n20.20.2\n")
	f.Add("/usr/bin/python3\r\n3.11\r\n")
	f.Add("node\n1")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := parseInterpreter(text)
		if err == nil && (!filepath.IsAbs(i.path) || i.major < 0 || i.minor < 0) {
			t.Errorf("%q became %+v", text, i)
		}
	})
}

// fake writes a program that stands for an interpreter, and gives its folder.
func fake(t *testing.T, name, says string) string {
	t.Helper()
	if onWindows {
		t.Skip("a shell's script runs nowhere there")
	}
	folder := t.TempDir()
	write(t, folder, map[string]string{name: "#!/bin/sh\n" + says + "\n"}, 0o700)
	return folder
}

func TestTheInterpreterSaysItselfWhereItIs(t *testing.T) {
	shims := fake(t, "node", `echo "/real/node"; echo 22.1.0; echo "$PWD" >&2`)
	p := Program{Runtime: Node, Folder: t.TempDir(), Search: "relative:" + t.TempDir() + ":" + shims}
	if got, err := p.interpreter(t.Context()); err != nil || got != (interpreter{"/real/node", 22, 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAnInterpreterThatDoesNotDoIsTold(t *testing.T) {
	tests := map[string]string{
		`echo /usr/bin/node; echo 12.22.0`:          "is Node.js 12.22; the function needs 18.0 or newer",
		`echo no such version >&2; exit 1`:          "does not run: exit status 1: no such version",
		`echo surprise`:                             `does not say what it is: it printed "surprise\n"`,
		`echo /usr/bin/node; echo twenty.something`: "does not say what it is",
	}
	for says, want := range tests {
		p := Program{Runtime: Node, Folder: t.TempDir(), Search: fake(t, "node", says)}
		if _, err := p.interpreter(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", says, err, want)
		}
	}
}

func TestABootstrapIsWrittenOnceAndAgainWhereItIsGone(t *testing.T) {
	folder, cache := t.TempDir(), t.TempDir()
	write(t, folder, map[string]string{"index.mjs": ""}, 0o600)
	p, err := Find("f", folder, Guess)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.Search = fake(t, "node", `echo "`+self+`"; echo 20.0.0`)
	prepare := func() Command {
		c, err := p.Prepare(t.Context(), nil, func() (string, error) { return cache, nil }, nil)
		if err != nil || c.Path != self || len(c.Args) != 1 || c.Gone() {
			t.Fatalf("the command is %+v, %v", c, err)
		}
		return c
	}
	first := prepare()
	if second := prepare(); second.Args[0] != first.Args[0] {
		t.Errorf("it is %s and then %s", first.Args[0], second.Args[0])
	}
	if err := os.RemoveAll(filepath.Dir(first.Args[0])); err != nil {
		t.Fatal(err)
	}
	if !first.Gone() {
		t.Error("it is not noticed that the bootstrap is gone")
	}
	prepare()
}
