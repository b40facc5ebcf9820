package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/control/source"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

func runCommand(version string, s Streams) *cobra.Command {
	var in source.Input
	var level, format string
	var watch bool
	var lasting state
	c := &cobra.Command{
		Use:   "run CONFIG|URL",
		Short: "Serve a config file or a folder of them, or be a proxy for a URL.",
		Long: `Serve a config file or a folder of them, or be a proxy for a URL.

A proxy for a URL serves only this machine, on port 8080, unless --listen says
otherwise, and tells its clients why a request failed.

The config is read again on SIGHUP, and when its files, or certificates and secrets
that they name, change. If the new config cannot serve, everything stays as it was. If
the config cannot serve at the start, the one that served last is served instead.
SIGINT and SIGTERM let requests in flight finish; a second one ends the process at once.
SIGUSR2 starts the program that is at this path now, which takes over the sockets.`,
		Example: `  weir run weir.yaml
  weir run examples/shop --listen :9090 --admin off
  weir run http://localhost:9000
  weir run http://localhost:9000 --listen :80`,
		Args: args(1, 1, "one file, folder or URL"),
		RunE: func(c *cobra.Command, given []string) error {
			in.Path = given[0]
			var threshold slog.LevelVar
			if err := threshold.UnmarshalText([]byte(level)); err != nil {
				return usageError{fmt.Errorf("--log %q: write debug, info, warn or error", level)}
			}
			handler, err := logHandler(s.Err, format, &threshold)
			if err != nil {
				return err
			}
			log := slog.New(handler)
			defer adoptLog(log)()
			inherited, err := listen.Inherit()
			if err != nil {
				return err
			}
			kept, err := lasting.open(in, inherited.Token(), inherited.Succeeds(), log)
			if err != nil {
				return err
			}
			defer kept.lock.Release()
			reload, stop := onSignals(syscall.SIGHUP)
			defer stop()
			upgrade, stop := onSignals(upgradeSignals()...)
			defer stop()
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			return s.refused(app.Run(ctx, app.Options{
				Input: in, Log: log, Level: &threshold, Version: version, Parts: app.Parts(),
				Stdout: s.Out, Stderr: s.Err, LogFormat: format,
				Serving: func() { onInterrupt(ctx, interrupt) }, Started: s.started, Stopping: s.stopping, Reload: reload, Upgrade: upgrade, Program: ownProgram(), Arguments: os.Args[1:], Inherited: inherited, Watch: watch, History: kept.history, Shelf: kept.shelf, StateLock: kept.lock, Queue: kept.queue, Registry: kept.registry, MaxAge: lasting.age,
			}))
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&in.Listen, "listen", nil, "`address` to listen on instead of the config's first one, or NAME=ADDRESS for another")
	flags.StringVar(&in.Admin, "admin", "", "`address` of the admin API instead of the config's, or off to disable it")
	flags.StringVar((*string)(&in.Engine), "engine", "", "HTTP/1.x `engine` for clients and services instead of the config's: std or own")
	flags.BoolVar(&watch, "watch", true, "read the config again when its files change")
	lasting.flags(c)
	flags.StringVar(&level, "log", "info", "lowest `level` to log: debug, info, warn, error")
	flags.StringVar(&format, "log-format", "text", "`format` of the log: text or json")
	return c
}

func logHandler(w io.Writer, format string, level slog.Leveler) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.NewTextHandler(w, options), nil
	case "json":
		return slog.NewJSONHandler(w, options), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: write text or json", format)}
}

// refused prints the problems of a config that cannot be served.
func (s Streams) refused(err error) error {
	refused, ok := errors.AsType[*app.RefusedError](err)
	if !ok {
		return err
	}
	s.tell(refused.Problems, refused.Sources)
	_, _ = fmt.Fprintf(s.Err, "%s; nothing was started\n", count(failures(refused.Problems), "problem"))
	return errSaid
}

// onInterrupt calls end at the first interrupt, unless ctx ends earlier. A second interrupt ends the process at once.
// It does so by the signal's default action, which all interrupts have before anything serves. If the signal was
// ignored when the process started, as shells arrange for what a script starts in the background, the goroutine ends
// the process itself. No interrupt is lost in between; signal.NotifyContext would leave a gap.
func onInterrupt(ctx context.Context, end func()) {
	first, second := make(chan os.Signal, 1), make(chan os.Signal, 1)
	var ignored []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if signal.Ignored(s) {
			ignored = append(ignored, s)
		}
	}
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-first:
		case <-ctx.Done():
			signal.Stop(first)
			return
		}
		if len(ignored) > 0 { // Notify without signals would mean all signals
			signal.Notify(second, ignored...)
		}
		signal.Stop(first)
		end()
		select {
		case s := <-first: // it came before Stop
			endBy(s)
		case s := <-second:
			endBy(s)
		}
	}()
}

// endBy ends the process with the code that shells report for a process ended by the signal.
func endBy(s os.Signal) {
	number, _ := s.(syscall.Signal)
	os.Exit(signalled + int(number))
}

// signalled is what shells add to the number of a signal.
const signalled = 128

// onSignals returns a channel that receives a value for each of the signals.
func onSignals(which ...os.Signal) (values <-chan struct{}, stop func()) {
	if len(which) == 0 {
		return nil, func() {} // Notify without signals would mean all signals
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, which...)
	told, done := make(chan struct{}), make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			select {
			case told <- struct{}{}:
			case <-done:
				return
			}
		}
	}()
	return told, func() { signal.Stop(signals); close(done) }
}

// ownProgram returns the path of this program without following symbolic links: by now a newer program may be at the
// same path.
func ownProgram() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable() // without a path an upgrade reports the failure
	}
	return path
}
