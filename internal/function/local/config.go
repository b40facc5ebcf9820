package local

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// Config is the config of a function that runs on this machine.
type Config struct {
	Pos      doc.Pos          `doc:"-,pos"`
	Run      string           `doc:"run,required" example:"./functions/orders" help:"The program: an executable file, a folder with an executable file named bootstrap, a folder with a Go main package (built with the go command), a file or folder of JavaScript or Python, the folder of an Azure Functions app that is a custom handler, or a WebAssembly module. The path is relative to the config's folder."`
	Contract program.Contract `doc:"contract,omitzero" example:"http" help:"How the gateway talks to the program: lambda (AWS Lambda's Runtime API, API Gateway v2.0 events), http (a server on the port in PORT), azure (an Azure Functions custom handler) or wasm (a WebAssembly module). The default is wasm for a file that is such a module, azure for a folder with a host.json, lambda for a file named bootstrap, a Go program that imports aws-lambda-go and modules of Node.js and Python, otherwise http."`
	Handler  string           `doc:"handler,omitzero" example:"src/index.handler" help:"The handler in the program. For JavaScript and Python: the file and what it exports, by default index.handler and lambda_function.lambda_handler. Otherwise the value of _HANDLER for a lambda function, or of FUNCTION_TARGET for an http one."`
	Format   apigw.Format     `doc:"format,omitzero" example:"raw" help:"The format of a lambda function's events and responses: v2 (API Gateway's payload format 2.0, the default), v1, alb, alb-multi, or raw (the event is the request's body, which must be JSON, and the function's result is the response's body)."`
	Args     []string         `doc:"args" example:"[--verbose]" help:"The program's arguments."`
	Env      map[string]Value `doc:"env" help:"Variables to add to the program's environment, which otherwise contains PATH, HOME, TMPDIR, LANG and TZ and nothing from the gateway's own environment. Values may be references: ${env:NAME}, ${file:/path}; \"\" makes an empty variable."`
	Memory   doc.Size         `doc:"memory,omitzero" example:"256MiB" help:"The memory that an instance and everything it starts may use. The default is 128MiB for a lambda function, which learns it from AWS_LAMBDA_FUNCTION_MEMORY_SIZE, and for a WebAssembly module; otherwise there is no limit. A process that uses more is killed (Linux); a module gets no more."`
	Watch    bool             `doc:"watch" example:"false" help:"Whether the gateway picks up changes of the program's files by itself. If not, a reload of the config picks them up."`
	Scale    Scale            `doc:"scale" help:"The number of instances."`
	Queue    Queue            `doc:"queue" help:"What happens to requests while all instances are busy."`
	Timeout  time.Duration    `doc:"timeout" example:"30s" help:"How long an invocation may take: for a lambda function until its response is complete, for an http function until the head of its response. An instance that takes longer is killed and replaced."`
	Init     *time.Duration   `doc:"init" example:"10s" help:"How long an instance may take from its start until it accepts requests: 10s by default, 60s for an Azure app."`
}

// Value is the value of a variable: a secret like others, but it may be empty.
type Value struct{ config.Secret }

// DecodeDoc reads a text with references to secrets.
func (v *Value) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Scalar || strings.TrimSpace(n.Value) != "" {
		v.Secret.DecodeDoc(n, ps)
		return
	}
	*v = Value{config.Secret{Pos: n.Pos}}
	if n.Value != "" {
		v.Parts = []secret.Part{{Text: n.Value}}
	}
}

// EncodeDoc writes references, and values that have nothing to hide.
func (v Value) EncodeDoc() *doc.Node {
	plain := doc.Node{Kind: doc.Scalar, Pos: v.Pos, Quoted: true}
	switch {
	case len(v.Parts) == 0:
	case len(v.Parts) == 1 && v.Parts[0].Source == "" && strings.TrimSpace(v.Parts[0].Text) == "":
		plain.Value = v.Parts[0].Text
	default:
		return v.Secret.EncodeDoc()
	}
	return &plain
}

// Scale bounds the number of instances.
type Scale struct {
	Min         int           `doc:"min" example:"1" help:"Instances that are always kept warm."`
	Max         int           `doc:"max" example:"8" help:"The most instances that may be alive at once."`
	Idle        time.Duration `doc:"idle" example:"60s" help:"How long an unused instance beyond min lives. As many instances as were needed at once within this time are kept ready."`
	Starts      int           `doc:"starts" example:"8" help:"Instances that may be starting at once: in a burst, requests wait for warm instances instead of loading the machine with hundreds of starts."`
	Concurrency int           `doc:"concurrency,omitzero" example:"80" help:"Requests that one instance handles at once: 80 by default for http and azure functions, one for lambda and wasm functions. A lambda function learns the number from AWS_LAMBDA_MAX_CONCURRENCY, and gets as many requests as it asks for."`
}

// Queue bounds the requests that wait for an instance.
type Queue struct {
	Size int           `doc:"size" example:"1000" help:"Requests that may wait; further ones are answered with 429. Requests for which an instance is already starting do not count."`
	Wait time.Duration `doc:"wait" example:"10s" help:"How long a request may wait, including for the start of an instance; after that it is answered with 503. The time does not run while the program is built or compiled, for up to five minutes."`
}

// The defaults that are not zero.
const (
	defaultMax         = 8
	defaultStarts      = 8
	defaultIdle        = 60 * time.Second
	defaultConcurrency = 80 // Cloud Run's
	defaultQueue       = 1000
	defaultWait        = 10 * time.Second
	defaultTimeout     = 15 * time.Second
	defaultInit        = 10 * time.Second  // AWS Lambda's
	defaultAzureInit   = 60 * time.Second  // Azure's, for custom handlers
	mostAzureTimeout   = 230 * time.Second // after which Azure's load balancer answers itself
	defaultMemory      = 128 * doc.MiB     // AWS Lambda's
)

func defaults() Config {
	return Config{
		Watch:   true,
		Scale:   Scale{Max: defaultMax, Idle: defaultIdle, Starts: defaultStarts},
		Queue:   Queue{Size: defaultQueue, Wait: defaultWait},
		Timeout: defaultTimeout,
	}
}

// The bounds of sensible values.
const (
	mostInstances   = 1000
	mostConcurrency = 1000 // Cloud Run's
	mostQueue       = 1_000_000
	shortestIdle    = 100 * time.Millisecond
	shortestStep    = time.Millisecond
	leastMemory     = 1 * doc.MiB
)

// validate reports everything that is wrong with the config itself.
func (c *Config) validate() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(c.Run != "", "run: name a file or a folder")
	require(slices.Contains([]program.Contract{program.Guess, program.Lambda, program.HTTP, program.Azure, program.Wasm}, c.Contract),
		"contract: %q is none of lambda, http, azure, wasm", c.Contract)
	require(c.Format == "" || c.Format.Known(), "format: %q is none of v2, v1, alb, alb-multi, raw", c.Format)
	require(c.Scale.Max >= 1 && c.Scale.Max <= mostInstances, "scale.max: %d is not from 1 to %d", c.Scale.Max, mostInstances)
	require(c.Scale.Min >= 0 && c.Scale.Min <= c.Scale.Max, "scale.min: %d is not from 0 to scale.max, which is %d", c.Scale.Min, c.Scale.Max)
	require(c.Scale.Idle >= shortestIdle, "scale.idle: %v is shorter than %v", c.Scale.Idle, shortestIdle)
	require(c.Scale.Starts >= 1 && c.Scale.Starts <= mostInstances, "scale.starts: %d is not from 1 to %d", c.Scale.Starts, mostInstances)
	require(c.Scale.Concurrency >= 0 && c.Scale.Concurrency <= mostConcurrency,
		"scale.concurrency: %d is not from 1 to %d", c.Scale.Concurrency, mostConcurrency)
	require(c.Queue.Size >= 0 && c.Queue.Size <= mostQueue, "queue.size: %d is not from 0 to %d", c.Queue.Size, mostQueue)
	require(c.Queue.Wait > 0, "queue.wait: it must be more than nothing, for a request waits for the start of an instance, too")
	require(c.Timeout >= shortestStep, "timeout: %v is shorter than %v, in which nothing is done", c.Timeout, shortestStep)
	require(c.Init == nil || *c.Init >= shortestStep, "init: %v is shorter than %v, in which nothing starts", c.initOr(), shortestStep)
	require(c.Memory == 0 || c.Memory >= leastMemory, "memory: %v is less than %v, with which nothing runs", c.Memory, leastMemory)
	require(!strings.Contains(c.Handler+strings.Join(c.Args, ""), "\x00"), "handler, args: no NUL is possible there")
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if err := checkVariable(name, c.Env[name]); err != nil {
			problems = append(problems, fmt.Errorf("env.%s: %w", name, err))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return function.Mistakes(problems)
}

var errNUL = errors.New("no NUL is possible there")

func checkVariable(name string, value Value) error {
	switch {
	case name == "" || strings.ContainsAny(name, "=\x00 \t\n"):
		return errors.New("this is no name of a variable")
	case slices.Contains([]string{portVariable, customHandlerPort, httpWorkerPort, runtimeAPIVariable, process.InstanceVariable}, name):
		return errors.New("this variable is set for each instance by the gateway")
	case slices.ContainsFunc(value.Parts, func(p secret.Part) bool { return strings.Contains(p.Text, "\x00") }):
		return errNUL
	}
	return nil
}

// find returns what the config's `run` means, relative to dir.
func (c *Config) find(dir, name string) (program.Program, error) {
	path := c.Run
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	found, err := program.Find(name, path, c.Contract)
	if err == nil {
		err = c.checkHandler(found)
	}
	if err == nil && found.Contract != program.Lambda && c.Format != "" {
		err = fmt.Errorf("format: this function has the contract %s, and events are for those with lambda", found.Contract)
	}
	if err == nil && found.Contract == program.Lambda && found.Runtime == program.Python && c.Scale.Concurrency > 1 {
		err = fmt.Errorf("scale.concurrency: a handler in Python takes one request at a time, not %d; more of them are more processes, up to scale.max", c.Scale.Concurrency)
	}
	if err == nil && found.Contract == program.Wasm && c.Scale.Concurrency > 1 {
		err = fmt.Errorf("scale.concurrency: a WebAssembly module takes one request at a time, not %d; more of them are more sandboxes, up to scale.max", c.Scale.Concurrency)
	}
	return found, err //nolint:wrapcheck // it names the key
}

// checkHandler says what is wrong with the handler's name, if Weir loads the handler.
func (c *Config) checkHandler(found program.Program) error {
	switch {
	case found.Contract == program.Azure && c.Handler != "":
		return errors.New("handler: an Azure app has its functions by name; a route names one as fn:APP/FUNCTION, or the app's own routes find it")
	case found.Contract == program.Wasm && c.Handler != "":
		return errors.New("handler: a module is called by what it exports, handle_request or _start; remove it")
	case found.Runtime == program.Native || found.Contract != program.Lambda:
		return nil
	case c.Handler != "":
		return program.CheckHandler(c.Handler) //nolint:wrapcheck // it names the key
	case found.Handler == "":
		return fmt.Errorf("handler: %s has no file that AWS would look into; name the file and what it exports, as orders.handler", found.Folder)
	}
	return nil
}

// told is the memory that the function is told to have, and that metrics count for it.
func (c *Config) told() doc.Size { return cmp.Or(c.Memory, defaultMemory) }

// allowed is the memory that an instance may use, 0 for no bound.
func (c *Config) allowed(contract program.Contract) doc.Size {
	if contract == program.Lambda {
		return c.told()
	}
	return c.Memory
}

// same reports whether a running function may be kept when its config changes from a to b. The program and its
// environment are its identity; bounds and times are not.
func same(a, b *Config) bool {
	return a.Run == b.Run && a.Contract == b.Contract && a.Handler == b.Handler && a.Format == b.Format && a.Memory == b.Memory &&
		a.Scale.Concurrency == b.Scale.Concurrency && slices.Equal(a.Args, b.Args) &&
		maps.EqualFunc(a.Env, b.Env, func(x, y Value) bool { return reflect.DeepEqual(x.Template, y.Template) })
}

// longestOnce is how long a single call waits for its instance at least, as no other call waits with it.
const longestOnce = 10 * time.Minute

// once returns c for a single call.
func once(c *Config) Config {
	one := *c
	one.Scale.Min, one.Scale.Max = 0, 1
	one.Queue.Wait = max(c.Queue.Wait, longestOnce)
	return one
}

// times returns how long single steps may take. An app's own timeout applies if it is shorter.
func (c *Config) times(p program.Program) *times {
	t := &times{invoke: c.Timeout, init: c.initOr(defaultInit)}
	if p.App == nil {
		return t
	}
	t.invoke = min(t.invoke, cmp.Or(p.App.Timeout, mostAzureTimeout), mostAzureTimeout)
	t.init = c.initOr(p.App.Init, defaultAzureInit)
	return t
}

// initOr returns what the config says, or else the first of the others that is not 0.
func (c *Config) initOr(others ...time.Duration) time.Duration {
	if c.Init != nil {
		return *c.Init
	}
	return cmp.Or(others...)
}

// longestPreparation is how long a request waits for its function to be built or compiled, in addition to its wait for
// an instance. It is long enough for a function that was never built before, on a slow machine, behind the other
// functions of its config.
const longestPreparation = 5 * time.Minute

// bounds returns the pool's part of the config.
func (c *Config) bounds(contract program.Contract) pool.Bounds {
	b := pool.Bounds{
		Min: c.Scale.Min, Max: c.Scale.Max, Starts: c.Scale.Starts, Idle: c.Scale.Idle, Concurrency: c.Scale.Concurrency,
		Queue: c.Queue.Size, Wait: c.Queue.Wait, Preparation: longestPreparation, Grace: c.Timeout,
	}
	switch {
	case contract == program.Wasm:
		b.Concurrency = 1
	case contract == program.Lambda:
		b.Concurrency = max(1, b.Concurrency)
	case b.Concurrency == 0:
		b.Concurrency = defaultConcurrency
	}
	return b
}
