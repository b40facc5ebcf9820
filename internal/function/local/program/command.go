package program

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-gateway/weir/internal/base/process"
)

// Command is how an instance of a program is started.
type Command struct {
	Path string   // absolute
	Args []string // come before those of the config
	// Env is what the runtime adds to the contract's variables.
	Env map[string]string
	// own are the files that the command needs and that are not the user's: they may be removed from the cache, or be
	// replaced by an upgrade.
	own []string
}

// Gone reports whether a file is missing that the command needs and that Prepare would make or find again.
func (c Command) Gone() bool {
	for _, file := range c.own {
		if _, err := os.Stat(file); os.IsNotExist(err) {
			return true
		}
	}
	return false
}

// Prepare does what is needed before the program can be started, and returns the command. A Go program is built with
// the go command (see Build). Modules get our bootstrap, and their interpreter is located. Files are kept in the folder
// that cache returns, which is Cache except in tests. Programs that Prepare runs are processes of host, which is open.
func (p Program) Prepare(ctx context.Context, host *process.Host, cache func() (string, error), log *slog.Logger) (Command, error) {
	if p.Runtime == Native && filepath.IsAbs(p.File) {
		return Command{Path: p.File}, nil
	}
	if p.Runtime == Native && p.File != "" {
		file := p.lookUp(p.File)
		if file == "" {
			return Command{}, fmt.Errorf("there is no %s here to run the function with; install it, or name its folder in env.PATH", p.File)
		}
		return Command{Path: file, own: []string{file}}, nil
	}
	folder, err := cache()
	if err != nil {
		return Command{}, err
	}
	if p.Runtime != Native {
		return p.interpreted(ctx, folder)
	}
	file, err := p.Build(ctx, host, folder, log)
	if err != nil {
		return Command{}, err
	}
	return Command{Path: file, own: []string{file}}, nil
}

// NeedsBuild reports whether Prepare uses the go command, and so the whole machine for a while.
func (p Program) NeedsBuild() bool { return p.Runtime == Native && p.File == "" }

//go:embed bootstrap
var bootstraps embed.FS

// interpreted makes the command of a module or a server that is not machine code.
func (p Program) interpreted(ctx context.Context, cache string) (Command, error) {
	found, err := p.interpreter(ctx)
	if err != nil {
		return Command{}, err
	}
	c := Command{Path: found.path, own: []string{found.path}, Env: p.variables(found, cache)}
	if p.Runtime == Node && p.Heap > 0 {
		c.Args = append(c.Args, fmt.Sprintf("--max-old-space-size=%d", p.Heap))
	}
	if p.File != "" {
		c.Args = append(c.Args, p.File)
		return c, nil
	}
	file, err := keepBootstrap(cache, p.Runtime)
	if err != nil {
		return Command{}, fmt.Errorf("cache of functions: %w", err)
	}
	c.Args, c.own = append(c.Args, file), append(c.own, file)
	c.Env["LAMBDA_RUNTIME_DIR"] = filepath.Dir(file)
	return c, nil
}

// variables returns those that AWS's runtimes set, with the function's own folder in place of AWS's.
func (p Program) variables(found interpreter, cache string) map[string]string {
	if p.Runtime == Node {
		env := map[string]string{
			"NODE_PATH": strings.Join([]string{filepath.Join(p.Folder, "node_modules"), p.Folder}, string(filepath.ListSeparator)),
		}
		if p.Contract == Lambda {
			env["AWS_EXECUTION_ENV"] = fmt.Sprintf("AWS_Lambda_nodejs%d.x", found.major)
		}
		return env
	}
	env := map[string]string{
		"PYTHONPATH": p.Folder,
		// Nothing is written next to the user's files, where any change counts as a change of the function.
		"PYTHONPYCACHEPREFIX": filepath.Join(cache, "pycache"),
	}
	if p.Contract == Lambda {
		env["AWS_EXECUTION_ENV"] = fmt.Sprintf("AWS_Lambda_python%d.%d", found.major, found.minor)
	}
	return env
}

// keepBootstrap writes the bootstrap of a runtime to the cache, in a folder named by its content, unless it is already
// there.
func keepBootstrap(cache string, runtime Runtime) (string, error) {
	name := map[Runtime]string{Node: "bootstrap.cjs", Python: "bootstrap.py"}[runtime]
	text, err := bootstraps.ReadFile("bootstrap/" + name)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says what it was for
	}
	home := filepath.Join(cache, "runtime-"+digest(strings.NewReader(string(text))))
	file := filepath.Join(home, name)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err //nolint:wrapcheck // as above
	}
	return file, copyTo(file, strings.NewReader(string(text)))
}
