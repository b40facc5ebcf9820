package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Config says what to run.
type Config struct {
	Name   string // of the function; a command gets it as its own name
	Path   string // of the module
	Args   []string
	Env    map[string]string
	Memory int64  // bytes, at most 4 GiB
	Cache  string // a folder for compiled code; "" for none
	Log    *slog.Logger
}

// Form is the way a module is called.
type Form string

// The forms.
const (
	Command Form = "command" // runs for each request
	Handler Form = "handler" // kept, and called for each request
)

// The names of exports and of imported modules.
const (
	exportStart      = "_start"
	exportInitialize = "_initialize"
	exportHandle     = "handle_request"

	moduleHTTP = "http_handler"
)

// Program is a compiled module. It is safe for concurrent use.
type Program struct {
	Form Form

	config   Config
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil for none
	compiled wazero.CompiledModule
	settings wazero.ModuleConfig // shared by all sandboxes
}

const page = 64 << 10

// mostWorkers bounds how many goroutines compile one module. Requests that are served meanwhile need the machine too.
const mostWorkers = 4

// Compile reads and compiles a module. It takes seconds for a large one that is not in the cache. When ctx ends, it
// gives up after the function that it is compiling.
func Compile(ctx context.Context, c Config) (*Program, error) {
	pages := uint32(min(max(c.Memory/page, 1), 1<<16))
	module, err := read(c.Path)
	if err == nil {
		module, err = bound(module, pages)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	p := &Program{config: c}
	settings := wazero.NewRuntimeConfig().WithMemoryLimitPages(pages).WithCloseOnContextDone(true)
	if c.Cache != "" {
		if p.cache, err = wazero.NewCompilationCacheWithDir(c.Cache); err != nil {
			return nil, fmt.Errorf("cache of compiled modules: %w", err)
		}
		settings = settings.WithCompilationCache(p.cache)
	}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, settings)
	if err := p.compile(ctx, module); err != nil {
		p.Close()
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	return p, nil
}

func (p *Program) compile(ctx context.Context, module []byte) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return fmt.Errorf("WASI: %w", err)
	}
	if err := provideHTTP(ctx, p.runtime); err != nil {
		return err
	}
	// wazero checks ctx only if there are several workers.
	workers := min(max(2, runtime.GOMAXPROCS(0)), mostWorkers)
	compiled, err := p.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), module)
	if err != nil {
		return fmt.Errorf("it cannot be compiled: %w", err)
	}
	p.compiled = compiled
	if p.Form, err = formOf(compiled); err != nil {
		return err
	}
	if err := p.checkImports(); err != nil {
		return err
	}
	p.settings = wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader).
		WithArgs(append([]string{p.config.Name}, p.config.Args...)...)
	for _, name := range slices.Sorted(maps.Keys(p.config.Env)) {
		p.settings = p.settings.WithEnv(name, p.config.Env[name])
	}
	return nil
}

// formOf determines the form of a module by its exports.
func formOf(compiled wazero.CompiledModule) (Form, error) {
	exports := compiled.ExportedFunctions()
	if handle, ok := exports[exportHandle]; ok {
		results := handle.ResultTypes()
		if len(handle.ParamTypes()) != 0 || len(results) != 1 || results[0] != api.ValueTypeI64 {
			return "", fmt.Errorf("its %s takes %d values and gives %d, and the HTTP handler ABI wants none and an i64", exportHandle, len(handle.ParamTypes()), len(results))
		}
		if len(compiled.ExportedMemories()) == 0 {
			return "", errors.New("it exports no memory, which the HTTP handler ABI wants")
		}
		return Handler, nil
	}
	if start, ok := exports[exportStart]; ok && len(start.ParamTypes())+len(start.ResultTypes()) == 0 {
		return Command, nil
	}
	return "", fmt.Errorf("it exports neither %s, to be called as a handler (http-wasm.io), nor %s, to be run as a command; its exports are %v", exportHandle, exportStart, slices.Sorted(maps.Keys(exports)))
}

// checkImports reports an import that is not provided.
func (p *Program) checkImports() error {
	for _, f := range p.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		provider := p.runtime.Module(module)
		switch {
		case provider == nil:
			return fmt.Errorf("it imports %s.%s; there are %s (WASI preview 1) and %s (http-wasm.io) to import from", module, name, wasi_snapshot_preview1.ModuleName, moduleHTTP)
		case provider.ExportedFunctionDefinitions()[name] == nil:
			return fmt.Errorf("it imports %s.%s, and %s has no such function", module, name, module)
		}
	}
	return nil
}

// Close frees the compiled code. No sandbox may be left.
func (p *Program) Close() {
	ctx := context.Background()
	_ = p.runtime.Close(ctx) // it only frees memory
	if p.cache != nil {
		_ = p.cache.Close(ctx) // as above; the files stay
	}
}
