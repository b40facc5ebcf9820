package program_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// folder makes a folder of files; those without a suffix are executable.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o700)
		if filepath.Ext(name) != "" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	module     = "module example.com/f\n\ngo 1.26\n"
	plainMain  = "package main\n\nfunc main() { print(\"hello\") }\n"
	lambdaMain = "package main\n\nimport \"github.com/aws/aws-lambda-go/lambda\"\n\nfunc main() { lambda.Start(nil) }\n"
)

func TestFindTellsProgramAndContract(t *testing.T) {
	tests := []struct {
		name     string
		files    map[string]string
		run      string // below the folder
		explicit program.Contract
		want     program.Contract
		built    bool
	}{
		{"a Go program", map[string]string{"go.mod": module, "main.go": plainMain}, "", "", program.HTTP, true},
		{"a Go program that imports aws-lambda-go", map[string]string{"go.mod": module, "main.go": plainMain, "x.go": lambdaMain}, "", "", program.Lambda, true},
		{"a test's import does not count", map[string]string{"go.mod": module, "main.go": plainMain, "main_test.go": lambdaMain}, "", "", program.HTTP, true},
		{"the config wins", map[string]string{"go.mod": module, "main.go": plainMain}, "", program.Lambda, program.Lambda, true},
		{"bootstrap in a folder", map[string]string{"bootstrap": "", "main.go": plainMain}, "", "", program.Lambda, false},
		{"the file bootstrap", map[string]string{"bootstrap": ""}, "bootstrap", "", program.Lambda, false},
		{"another file", map[string]string{"server": ""}, "server", "", program.HTTP, false},
		{"a module of Node.js", map[string]string{"orders.mjs": ""}, "orders.mjs", "", program.Lambda, true},
		{"a module of Python", map[string]string{"orders.py": ""}, "orders.py", "", program.Lambda, true},
		{"a server of Node.js", map[string]string{"orders.mjs": ""}, "orders.mjs", program.HTTP, program.HTTP, false},
		{"a folder of Node.js", map[string]string{"index.mjs": "", "x.py": ""}, "", "", program.Lambda, true},
		{"a folder with package.json", map[string]string{"package.json": "{}"}, "", "", program.Lambda, true},
		{"a folder of Python", map[string]string{"lambda_function.py": ""}, "", "", program.Lambda, true},
		{"a server's folder of Node.js", map[string]string{"package.json": `{"main":"./index.cjs"}`}, "", program.HTTP, program.HTTP, false},
		{"a server's folder of Python", map[string]string{"main.py": ""}, "", program.HTTP, program.HTTP, false},
		{"bootstrap wins over modules", map[string]string{"bootstrap": "", "index.mjs": ""}, "", "", program.Lambda, false},
		{"Go wins over modules", map[string]string{"go.mod": module, "main.go": plainMain, "index.mjs": ""}, "", "", program.HTTP, true},
		{"the config wins for files, too", map[string]string{"bootstrap": ""}, "bootstrap", program.HTTP, program.HTTP, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t, test.files)
			p, err := program.Find("f", filepath.Join(dir, test.run), test.explicit)
			if err != nil {
				t.Fatal(err)
			}
			if p.Contract != test.want || (p.File == "") != test.built || p.Folder != dir || p.Reason == "" {
				t.Errorf("found %+v, want contract %s, built %v", p, test.want, test.built)
			}
		})
	}
}

func TestFindSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		run   string
		want  string
	}{
		"nothing there":     {nil, "missing", "no file or folder"},
		"an empty folder":   {nil, "", "neither a program called bootstrap nor a Go main package, nor Node.js"},
		"a library":         {map[string]string{"x.go": "package x\n"}, "", "neither a program called bootstrap nor a Go main package, nor Node.js"},
		"TypeScript":        {map[string]string{"index.ts": ""}, "index.ts", "TypeScript, which is not run; compile it"},
		"its folder":        {map[string]string{"index.ts": "", "tsconfig.json": ""}, "", "TypeScript, which is not run; compile it"},
		"a broken manifest": {map[string]string{"package.json": "{"}, "", "package.json: it cannot be read"},
		"dots in a module":  {map[string]string{"orders.v2.mjs": ""}, "orders.v2.mjs", "a dot ends the name of a module"},
		"no module":         {map[string]string{"main.go": plainMain}, "", "go mod init"},
		"a source file":     {map[string]string{"main.go": plainMain}, "main.go", "name its folder"},
		"no Go at all":      {map[string]string{"main.go": "this is no Go"}, "", "source of a Go program"},
	}
	if runtime.GOOS != "windows" {
		tests["not executable"] = struct {
			files map[string]string
			run   string
			want  string
		}{map[string]string{"run.sh": "#!/bin/sh\n"}, "run.sh", "chmod +x"}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := program.Find("f", filepath.Join(folder(t, test.files), test.run), program.Guess)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestEachVersionIsKeptInAFileOfItsOwn(t *testing.T) {
	dir := folder(t, map[string]string{"main.go": plainMain, "go.mod": module})
	cache := t.TempDir()
	first := build(t, dir, cache)
	if again := build(t, dir, cache); again != first {
		t.Errorf("the same program is built to %s and %s", first, again)
	}
	changed := strings.Replace(plainMain, "hello", "good day", 1)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	second := build(t, dir, cache)
	for file, want := range map[string]string{first: "hello", second: "good day"} {
		out, err := exec.Command(file).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s says %q, %v; want %q", file, out, err, want)
		}
	}
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(filepath.Dir(first), old, old); err != nil {
		t.Fatal(err)
	}
	build(t, dir, cache)
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("a version that was not built for a month is still kept (%v)", err)
	}
}

func build(t *testing.T, dir, cache string) string {
	t.Helper()
	p, err := program.Find("a name/with:signs", dir, program.Guess)
	if err != nil {
		t.Fatal(err)
	}
	file, err := p.Build(t.Context(), host(t), cache, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// host is where builds are run.
func host(t *testing.T) *process.Host {
	t.Helper()
	h := process.NewHost(nil)
	if err := h.Open(slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// A go command that writes its output in two steps, as the real one does where
// the cache lies on another file system than its own temporary files.
const slowGo = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
printf half > "$2"
sleep 0.02
printf whole >> "$2"
`

func TestGatewaysThatBuildAtTheSameTimeDoNotDisturbEachOther(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the go command of this test is a shell script")
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(slowGo), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	dir, cache := folder(t, map[string]string{"main.go": plainMain, "go.mod": "module example.com/f\n\ngo 1.26\n"}), t.TempDir()
	p, err := program.Find("f", dir, program.Guess)
	if err != nil {
		t.Fatal(err)
	}
	processes := host(t)
	var builds sync.WaitGroup
	for range 8 {
		builds.Go(func() {
			for range 4 {
				file, err := p.Build(t.Context(), processes, cache, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Error(err)
					return
				}
				if text, err := os.ReadFile(file); string(text) != "halfwhole" {
					t.Errorf("the program is %q, %v", text, err)
				}
			}
		})
	}
	builds.Wait()
}

func TestABuildLeavesNothingButPrograms(t *testing.T) {
	dir, cache := folder(t, map[string]string{"main.go": plainMain, "go.mod": "module example.com/f\n\ngo 1.26\n"}), t.TempDir()
	home := filepath.Dir(filepath.Dir(build(t, dir, cache)))
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { undefinedName() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := program.Find("f", dir, program.Guess)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Build(t.Context(), host(t), cache, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it is built")
	}
	if left, err := filepath.Glob(filepath.Join(home, "*")); err != nil || len(left) != 2 { // the version, and the latest
		t.Errorf("there are %q, %v", left, err)
	}
}

func TestWithoutAHomeThereIsNoCacheThatOthersCouldWriteTo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("every account has a home there")
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	if dir, err := program.Cache(); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("the cache is %q, %v", dir, err)
	}
}

func TestABuildThatFailsTellsWhatTheCompilerSaid(t *testing.T) {
	dir := folder(t, map[string]string{"main.go": "package main\n\nfunc main() { undefinedName() }\n", "go.mod": module})
	p, err := program.Find("f", dir, program.Guess)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Build(t.Context(), host(t), t.TempDir(), slog.New(slog.DiscardHandler))
	var refused *program.BuildError
	if !errors.As(err, &refused) || !strings.Contains(refused.Output, "undefined: undefinedName") || refused.Folder != dir {
		t.Errorf("the error is %v", err)
	}
}

func TestABuildEndsWithItsContext(t *testing.T) {
	dir := folder(t, map[string]string{"go.mod": module, "main.go": plainMain})
	p, err := program.Find("f", dir, program.Guess)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Build(ctx, host(t), t.TempDir(), slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want the context's", err)
	}
}
