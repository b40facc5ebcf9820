// Package cli is the command line, with one file for each command. It is the only package that prints, and it prints
// only to the writers it is given.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weir-gateway/weir/internal/control/source"
)

// The exit codes that scripts may rely on.
const (
	exitOK      = 0
	exitFailed  = 1 // the machine or the network caused a failure
	exitRefused = 2 // the config or the command line is wrong
	exitDiffers = 3 // weir diff has found differences
	// exitInterrupted is the code that shells report for a program ended by an interrupt.
	exitInterrupted = 130
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Color says that Err is a terminal that wants colours, and ColorOut that Out is one.
	Color, ColorOut bool
}

// OS returns the process's own streams. Colours are used only on terminals, and not if NO_COLOR is set (no-color.org).
func OS() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Color: wantsColor(os.Stderr), ColorOut: wantsColor(os.Stdout)}
}

func wantsColor(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// errSaid is a failure whose reason was already printed.
var errSaid = errors.New("already said")

// usageError is a wrong command line.
type usageError struct{ error }

// Main runs one command and returns the exit code. An interrupt ends the process, except while a command serves (see
// onInterrupt).
func Main(args []string, version string, s Streams) int {
	root := newRoot(version, s)
	root.SetArgs(args)
	return s.exitCode(root.Execute())
}

// exitCode prints why a command failed, unless that was printed already, and returns the exit code.
func (s Streams) exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitRefused
	case errors.Is(err, errDiffers):
		return exitDiffers
	}
	if code, is := errors.AsType[exitError](err); is {
		return int(code)
	}
	_, _ = fmt.Fprintf(s.Err, "weir: %s\n", printableLines(err.Error()))
	_, usage := errors.AsType[usageError](err)
	_, input := errors.AsType[*source.InputError](err)
	if usage || input {
		return exitRefused
	}
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(version string, s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "An API gateway with service discovery built in, for functions and services.",
		Long: `Weir routes requests to functions and services, with one binary and one config.

First steps:
  weir run http://localhost:9000     be a proxy for a URL
  weir dev                           run the functions of this folder, and reload changes
  weir init                          write weir.yaml, a commented config to start from
  weir run weir.yaml                 serve it on 127.0.0.1:8080, admin API on 127.0.0.1:8081
  weir explain weir.yaml GET /hello  show why a request gets its response`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentPreRunE = noEmptyFlags
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		runCommand(version, s), devCommand(version, s), invokeCommand(s), checkCommand(s), testCommand(s), explainCommand(s), expandCommand(s),
		registerCommand(version, s), statusCommand(s), servicesCommand(s), jobsCommand(s), diffCommand(s), rollbackCommand(s),
		fmtCommand(s), initCommand(s), schemaCommand(s), versionCommand(version, s), guardCommand(s),
	)
	return root
}

// knownCommand refuses an unknown command.
func knownCommand(c *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if like := c.SuggestionsFor(given[0]); len(like) > 0 {
		return usageError{fmt.Errorf("there is no command %q; did you mean %q?", given[0], like[0])}
	}
	return usageError{fmt.Errorf("there is no command %q; see `%s --help`", given[0], c.CommandPath())}
}

// args checks the number of arguments and says what they are.
func args(least, most int, usage string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) >= least && len(given) <= most {
			return nil
		}
		return usageError{fmt.Errorf("%s takes %s; see `%s --help`", c.CommandPath(), usage, c.CommandPath())}
	}
}

// noEmptyFlags refuses a flag with an empty value, such as --admin "$ADMIN" when that variable is not set: the program
// could not tell it from a flag that was not given. Only --data may be empty.
func noEmptyFlags(c *cobra.Command, _ []string) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && f.Name != "data" && err == nil {
			what, usage := pflag.UnquoteUsage(f)
			err = usageError{fmt.Errorf("--%s \"\" is empty: leave it out, or write --%[1]s %s (%s)", f.Name, strings.ToUpper(what), usage)}
		}
	})
	return err
}
