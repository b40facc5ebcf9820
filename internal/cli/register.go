package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
	"github.com/weir-gateway/weir/internal/register"
)

// usualRegistry is the address of the registry in the docs' examples.
const usualRegistry = "http://127.0.0.1:9090"

// registering is what the command line says about a program.
type registering struct {
	register.Options

	address, registry, tokenFile, health, listener string
}

func registerCommand(version string, s Streams) *cobra.Command {
	var o registering
	c := &cobra.Command{
		Use:   "register NAME --port PORT [flags] -- PROGRAM [ARGUMENT...]",
		Short: "Run any program as a registered service.",
		Long: `Run any program as a registered service, and keep it running.

The program starts with PORT in its environment. When it passes its health check, it is
registered, and gateways send requests to it. When it exits or stops answering, it is
removed from the registry and started again, after a longer pause each time it fails at
once.

An interrupt first removes the program from the registry, gives it time to answer
clients that have found it before, and then asks it to end. A second interrupt ends
everything at once. If this command is killed, no process of the program is left.

If the registry cannot be reached, it is tried again. If it has forgotten the program,
the program is registered again.`,
		Example: `  weir register users --port 9000 -- ./server
  weir register users --port 0 --health /healthz -- node server.js
  weir register users --port 9000 --registry https://10.0.0.9:9090 --token-file token --zone eu-1a -- ./server --verbose
  weir register jobs --port 9000 --restart never -- ./job`,
		Args: args(2, 1<<10, "a name, and the program after --"),
		RunE: func(c *cobra.Command, given []string) error {
			if c.ArgsLenAtDash() != 1 {
				return usageError{fmt.Errorf("write the program after --: weir register %s --port 9000 -- ./server", given[0])}
			}
			if !c.Flags().Changed("port") {
				return usageError{errors.New("--port is missing: the port that the program listens on, or 0 for a free one")}
			}
			o.Service = given[0]
			if err := o.complete(given[1:], version); err != nil {
				return err
			}
			return s.register(&o)
		},
	}
	flags := c.Flags()
	flags.IntVar(&o.Instance.Port, "port", 0, "`port` that the program listens on, passed to it as PORT; 0 for a free one (required)")
	flags.StringVar(&o.address, "address", "", "IP `address` where clients reach the program (default that of the connection to the registry)")
	flags.StringVar(&o.health, "health", "tcp", "health check: a `path` that answers 2xx while the program is healthy, tcp to check that it listens, or none")
	flags.StringVar(&o.listener, "listener", ownListener, "`process` that must listen on the port, if the system tells: own (the program or a process that it has started), or any (such as a container engine)")
	flags.DurationVar(&o.Health.Every, "health-interval", 5*time.Second, "pause between two checks")
	flags.DurationVar(&o.Health.Timeout, "health-timeout", 2*time.Second, "how long a check may take")
	flags.IntVar(&o.Health.Failures, "health-failures", 3, "`number` of failed checks in a row after which the program is replaced")
	flags.DurationVar(&o.Start, "start", time.Minute, "how long the program may take to become healthy")
	flags.StringVar(&o.registry, "registry", usualRegistry, "`URL` of the registry")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` with the token of the registry (default $WEIR_REGISTRY_TOKEN)")
	flags.StringVar(&o.Instance.Zone, "zone", "", "`zone` that the program is in")
	flags.StringVar(&o.Instance.Version, "version-of", "", "`version` of the program to register")
	flags.IntVar(&o.Instance.Weight, "weight", 1, "`share` of the requests, relative to other instances; 0 for none")
	flags.StringArrayVar(&o.Instance.Tags, "tag", nil, "`tag` to register; may be repeated")
	flags.DurationVar(&o.Instance.TTL, "ttl", registry.DefaultTTL, "how long the registry keeps the program without a heartbeat")
	flags.DurationVar(&o.Drain, "drain", 2*time.Second, "how long the program keeps running after it is removed from the registry")
	flags.DurationVar(&o.Stop, "stop", 10*time.Second, "how long the program may take to end after it is asked to")
	flags.StringVar((*string)(&o.Restart), "restart", string(register.Always), "`when` to start the program again: always, on-failure or never; if it is not, this command exits with its exit code")
	return c
}

// The values of --listener.
const (
	ownListener = "own"
	anyListener = "any"
)

// The limits of what the command line may say.
const (
	mostPort     = 65535
	leastTime    = time.Millisecond
	mostCheck    = time.Hour
	mostTime     = 24 * time.Hour
	mostFailures = 1000
)

// check reports the first invalid value, by its flag.
func (o *registering) check() error {
	return cmp.Or(
		between("--port", o.Instance.Port, 0, mostPort, "a port from 1 to 65535, or 0 for a free one"),
		number("--weight", o.Instance.Weight, 0, registry.MostWeight),
		number("--health-failures", o.Health.Failures, 1, mostFailures),
		duration("--ttl", o.Instance.TTL, registry.LeastTTL, registry.MostTTL),
		duration("--health-interval", o.Health.Every, leastTime, mostCheck),
		duration("--health-timeout", o.Health.Timeout, leastTime, mostCheck),
		duration("--start", o.Start, leastTime, mostTime),
		duration("--drain", o.Drain, 0, mostTime),
		duration("--stop", o.Stop, 0, mostTime),
		oneOf("--restart", string(o.Restart), "always, on-failure or never", string(register.Always), string(register.OnFailure), string(register.Never)),
		oneOf("--listener", o.listener, "own or any", ownListener, anyListener),
		registry.CheckName("the name of the service", o.Service),
		registry.CheckLabel("--zone", o.Instance.Zone),
		registry.CheckLabel("--version-of", o.Instance.Version),
		registry.CheckTags("--tag", o.Instance.Tags),
	)
}

func between[T cmp.Ordered](flag string, value, least, most T, write string) error {
	if value < least || value > most {
		return fmt.Errorf("%s %v: write %s", flag, value, write)
	}
	return nil
}

func number(flag string, value, least, most int) error {
	return between(flag, value, least, most, fmt.Sprintf("a number from %d to %d", least, most))
}

func duration(flag string, value, least, most time.Duration) error {
	return between(flag, value, least, most, fmt.Sprintf("a time from %s to %s", least, most))
}

func oneOf(flag, value, write string, words ...string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("%s %q: write %s", flag, value, write)
	}
	return nil
}

// complete turns the command line into what is run.
func (o *registering) complete(program []string, version string) error {
	path, pathErr := exec.LookPath(program[0])
	if pathErr == nil {
		path, pathErr = filepath.Abs(path)
	}
	if pathErr != nil {
		pathErr = fmt.Errorf("the program %q cannot be run: %w", program[0], pathErr)
	}
	if err := cmp.Or(o.check(), o.readAddress(), o.readHealth(), pathErr, o.connect(version)); err != nil {
		return usageError{err}
	}
	o.Path, o.Args, o.Env = path, program[1:], withoutToken(os.Environ())
	return nil
}

func (o *registering) readAddress() error {
	if o.address == "" {
		return nil
	}
	ip, err := netip.ParseAddr(o.address)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("--address %q: write an IP address that others can call, such as 10.0.0.5; without --address the instance has that of its connection", o.address)
	}
	o.Instance.Address = ip.Unmap()
	return nil
}

func (o *registering) readHealth() error {
	o.Health.Doubt = min(o.Health.Every, 250*time.Millisecond)
	o.Health.Anybody = o.listener == anyListener
	switch {
	case o.health == "tcp":
		return nil
	case o.health == "none":
		o.Health.None = true
		return nil
	case strings.HasPrefix(o.health, "/"):
		target, query, _ := strings.Cut(o.health, "?")
		if _, err := httpx.NormalizePath(target); err == nil && !strings.ContainsFunc(target+query, unsendable) {
			o.Health.Path = o.health
			return nil
		}
	}
	return fmt.Errorf("--health %q: write a path such as /healthz, tcp or none", o.health)
}

// unsendable reports whether a character may not stand unescaped in a request target (RFC 9112 section 3.2).
func unsendable(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf-1 || r == '#' }

// connect makes the registry's client, which sends nothing yet.
func (o *registering) connect(version string) error {
	token, err := o.token()
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	if o.Registry, err = remote.New(remote.Options{URL: o.registry, Token: token, Agent: "weir-register/" + version}); err != nil {
		return fmt.Errorf("--registry: %w", err)
	}
	return nil
}

// registryToken is the variable with the registry's token. It is removed from the program's environment, because the
// token is not the program's.
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
		return secret.Value{}, err
	}
	token := strings.TrimSpace(value.Reveal())
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf-1 }) {
		return secret.Value{}, fmt.Errorf("%s: write one token, without blanks", o.tokenFile)
	}
	return secret.NewValue(token), nil
}

// exitError is the exit code of the program, with which the command ends too.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("the program exited with %d", int(e)) }

// register runs the program until it is interrupted.
func (s Streams) register(o *registering) error {
	defer o.Registry.Close()
	log := slog.New(&console{out: newPrinter(s.Err, s.Color), level: slog.LevelInfo})
	self, err := os.Executable()
	if err != nil {
		return err
	}
	host := process.NewHost([]string{self, process.GuardArgument})
	if err := host.Open(log); err != nil {
		return err
	}
	defer host.Close()
	o.Host, o.Log = host, log
	o.Output = &[2]*os.File{os.Stdout, os.Stderr} // its output is passed on unchanged
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	onInterrupt(ctx, interrupt)
	code, err := register.Run(ctx, o.Options)
	if err == nil && code != 0 {
		return exitError(code)
	}
	return err
}
