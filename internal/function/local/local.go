package local

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// Definition returns the kind of functions that run on this machine.
func Definition() function.Definition { return define(guardCommand()) }

// define makes the definition with the command of a guard, nil for no guard. All functions of a definition share one
// host of processes.
func define(guard []string) function.Definition {
	shared := newMachine(guard)
	return function.Define(function.Parts[Config]{
		Kind: "run", Summary: "a program on this machine, scaled from none to as many as its requests need",
		Scheme: config.Scheme{
			Name: "fn", Summary: "a function of this config", Example: "fn:orders",
			Check: checkRef,
		},
		Defaults:  defaults,
		Check:     check,
		CheckPart: checkPartOf,
		Warn:      warn,
		Build: func(env function.Env, name string, c *Config) (function.Backend, error) {
			return shared.build(env, name, c)
		},
		Same: same, Once: once,
	})
}

func checkRef(ref config.Ref) error {
	if ref.Rest == "" || strings.HasPrefix(ref.Rest, "/") {
		return fmt.Errorf("fn: is followed by the name of a function, as in fn:orders")
	}
	if name, part, ok := strings.Cut(ref.Rest, "/"); ok && (part == "" || strings.Contains(part, "/") || name == "") {
		return fmt.Errorf("fn: is followed by the name of a function, or of an app and one of its functions, as in fn:shop/GetOrder")
	}
	return nil
}

// checkPartOf checks whether what the config names has a function of that name.
func checkPartOf(env function.Env, c *Config, name string) error {
	found, err := c.find(env.Dir, "function")
	if err != nil {
		return err
	}
	return checkPart(found, name)
}

// check checks the config and what it names. It starts and builds nothing.
func check(env function.Env, c *Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, err := c.find(env.Dir, "function")
	return err
}

// warn reports an interpreter that is not on this machine, and extensions that cannot be started. A PATH that the
// config gives the function may be a secret, so it is not checked.
func warn(env function.Env, c *Config) (list []function.Warning) {
	found, err := c.find(env.Dir, "function")
	if err != nil {
		return nil
	}
	_, own := c.Env["PATH"]
	var missing *program.MissingError
	if !own && errors.As(found.Look(), &missing) {
		list = append(list, function.Warning{What: missing.What(), Why: "until then its requests get 503 function-init-failed", Fix: missing.Fix()})
	}
	if found.Contract != program.Lambda {
		return list
	}
	for _, file := range program.LameExtensions(found.Folder) {
		list = append(list, function.Warning{
			What: "has the file " + file + ", which cannot be executed", Why: "it is not started as an extension", Fix: "run `chmod +x` on it, or move it out of that folder",
		})
	}
	return list
}

// Runnable returns why a file or folder cannot be run as a function, or nil if it can.
func Runnable(path string) error {
	c := defaults()
	c.Run = path
	_, err := c.find("", "function")
	return err
}

// guardCommand returns the command that starts this program as the guard. A test's program has no guard, because it
// would run its tests instead.
func guardCommand() []string {
	self, err := os.Executable()
	info, ok := debug.ReadBuildInfo()
	if err != nil || !ok || strings.HasSuffix(info.Path, ".test") {
		return nil
	}
	return []string{self, process.GuardArgument}
}
