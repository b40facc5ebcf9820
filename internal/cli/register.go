package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/registry/remote"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/function/local"
	"github.com/weir-gateway/weir/internal/function/local/process"
	"github.com/weir-gateway/weir/internal/register"
)

// usualRegistry is where a registry is by the documents' examples.
const usualRegistry = "http://127.0.0.1:9090"

// mostPort is how many ports there are.
const mostPort = 65535

// registering is what the command line says of a program.
type registering struct {
	register.Options

	registry, tokenFile, health string
}

func registerCommand(version string, s Streams) *cobra.Command {
	var o registering
	c := &cobra.Command{
		Use:   "register NAME --port PORT [flags] -- PROGRAM [ARGUMENT...]",
		Short: "Run any program as a registered service.",
		Long: `Run any program as a registered service, and keep it running.

The program is started with PORT in its environment. When it answers its health
check it is registered, and gateways send requests to it; when it dies, or does not
answer any more, it is taken out and started again, later each time it fails at once.
An interrupt takes it out of the registry first, lets it answer who has found it before,
and then asks it to end. A second one ends everything at once. Nothing of the program
is left when this command is killed.

A registry that cannot be reached is tried again, and one that has forgotten the
program is told anew.`,
		Example: `  weir register users --port 9000 -- ./server
  weir register users --port 0 --health /healthz -- node server.js
  weir register users --port 9000 --registry https://10.0.0.9:9090 --token-file token --zone eu-1a -- ./server --verbose
  weir register jobs --port 9000 --restart never -- ./job`,
		Args: args(2, 1<<10, "a name, and the program behind --"),
		RunE: func(c *cobra.Command, given []string) error {
			if c.ArgsLenAtDash() != 1 {
				return usageError{fmt.Errorf("the program stands behind --: weir register %s --port 9000 -- ./server", given[0])}
			}
			o.Service = given[0]
			if err := o.complete(given[1:], version); err != nil {
				return err
			}
			return s.register(&o)
		},
	}
	flags := c.Flags()
	flags.IntVar(&o.Instance.Port, "port", -1, "`port` that the program listens on, which it is told as PORT; 0 for a free one")
	flags.StringVar(&o.Instance.Address, "address", "", "IP `address` that it is called at; that of the connection to the registry unless said")
	flags.StringVar(&o.health, "health", "tcp", "`path` that answers 2xx while the program is healthy, tcp: that it listens, or none")
	flags.DurationVar(&o.Health.Every, "health-interval", 5*time.Second, "pause between two checks")
	flags.DurationVar(&o.Health.Timeout, "health-timeout", 2*time.Second, "how long a check may take")
	flags.IntVar(&o.Health.Failures, "health-failures", 3, "how `many` failed checks in a row replace the program")
	flags.DurationVar(&o.Start, "start", time.Minute, "how long it may take until it is healthy")
	flags.StringVar(&o.registry, "registry", usualRegistry, "`URL` of the registry")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` with the token of the registry; $WEIR_REGISTRY_TOKEN unless said")
	flags.StringVar(&o.Instance.Zone, "zone", "", "`zone` that it is in")
	flags.StringVar(&o.Instance.Version, "version-of", "", "`version` that the registry is told")
	flags.IntVar(&o.Instance.Weight, "weight", 1, "its `share`, relative to the others; 0 for none")
	flags.StringArrayVar(&o.Instance.Tags, "tag", nil, "a `tag`; may be given again")
	flags.DurationVar(&o.Instance.TTL, "ttl", registry.DefaultTTL, "how long the registry keeps it without hearing of it")
	flags.DurationVar(&o.Drain, "drain", 2*time.Second, "how long it goes on once it is out of the registry")
	flags.DurationVar(&o.Stop, "stop", 10*time.Second, "how long it may take to end once it was asked to")
	flags.StringVar((*string)(&o.Restart), "restart", string(register.Always), "`when` it is started again: always, on-failure or never; where not, its exit code is this command's")
	return c
}

// complete makes of the command line what is run.
func (o *registering) complete(program []string, version string) error {
	for _, wrong := range []struct {
		is   bool
		what string
	}{
		{o.Instance.Port < 0 || o.Instance.Port > mostPort, "--port is missing: the port that the program listens on, or 0 for a free one"},
		{o.Restart != register.Always && o.Restart != register.OnFailure && o.Restart != register.Never, "--restart is always, on-failure or never"},
		{o.Health.Every <= 0 || o.Health.Timeout <= 0 || o.Health.Failures < 1, "--health-interval, --health-timeout and --health-failures are more than nothing"},
		{o.Instance.TTL < registry.LeastTTL || o.Instance.TTL > registry.MostTTL, fmt.Sprintf("--ttl is from %s to %s", registry.LeastTTL, registry.MostTTL)},
		{o.Instance.Weight < 0 || o.Instance.Weight > registry.MostWeight, fmt.Sprintf("--weight is from 0 to %d", registry.MostWeight)},
	} {
		if wrong.is {
			return usageError{fmt.Errorf("%s", wrong.what)}
		}
	}
	if err := registry.CheckName("the name of the service", o.Service); err != nil {
		return usageError{err}
	}
	switch {
	case o.health == "tcp":
	case o.health == "none":
		o.Health.None = true
	case strings.HasPrefix(o.health, "/"):
		o.Health.Path = o.health
	default:
		return usageError{fmt.Errorf("--health %q: write a path such as /healthz, tcp or none", o.health)}
	}
	o.Health.Doubt = min(o.Health.Every, 250*time.Millisecond)
	path, err := exec.LookPath(program[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return usageError{fmt.Errorf("the program %q cannot be run: %w", program[0], err)}
	}
	o.Path, o.Args, o.Env = path, program[1:], withoutToken(os.Environ())
	token, err := o.token()
	if err == nil {
		o.Registry, err = remote.New(remote.Options{URL: o.registry, Token: token, Agent: "weir-register/" + version})
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// registryToken holds the token of the registry, which is none of the program's business.
const registryToken = "WEIR_REGISTRY_TOKEN"

func withoutToken(environment []string) []string {
	list := make([]string, 0, len(environment))
	for _, line := range environment {
		if !strings.HasPrefix(line, registryToken+"=") {
			list = append(list, line)
		}
	}
	return list
}

func (o *registering) token() (secret.Value, error) {
	if o.tokenFile == "" {
		return secret.NewValue(os.Getenv(registryToken)), nil
	}
	value, err := secret.Resolve(secret.Template{Parts: []secret.Part{{Source: "file", Text: o.tokenFile}}})
	if err != nil {
		return secret.Value{}, fmt.Errorf("--token-file: %w", err)
	}
	return secret.NewValue(strings.TrimSpace(value.Reveal())), nil
}

// exitError ends the command as its program has ended.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("the program has ended with %d", int(e)) }

// register runs the program until it is interrupted.
func (s Streams) register(o *registering) error {
	defer o.Registry.Close()
	log := slog.New(&console{out: newPrinter(s.Err, s.Color), level: slog.LevelInfo})
	self, err := os.Executable()
	if err != nil {
		return err
	}
	host := process.NewHost([]string{self, local.GuardArgument})
	if err := host.Open(log); err != nil {
		return err
	}
	defer host.Close()
	o.Host, o.Log = host, log
	o.Output = &[2]*os.File{os.Stdout, os.Stderr} // what it writes is its own
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	onInterrupt(ctx, interrupt)
	code, err := register.Run(ctx, o.Options)
	if err == nil && code != 0 {
		return exitError(code)
	}
	return err
}
