package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/source"
	"github.com/weir-gateway/weir/internal/function/local"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

func devCommand(version string, s Streams) *cobra.Command {
	in := source.Input{Path: ".", Loopback: true, Verbose: true, Runs: local.Runnable}
	var show bool
	var level string
	c := &cobra.Command{
		Use:   "dev [FOLDER|CONFIG]",
		Short: "Run a folder of functions, or a config, while you work on it.",
		Long: `Run a folder of functions, or a config, while you work on it.

If the folder has a weir.yaml, dev serves it. Otherwise it serves the functions that it
finds: the folder itself, at every path, if it can be run; else each of its subfolders
(or those of its folder "functions", if there is one), at the paths below its name.
--print writes this as a weir.yaml to continue from.

Requests and the output of functions are shown as they come. Changes that you save are
served at once: a config, a new function, or the code of a function, whose new version
takes over when it is ready. Clients get all details of an error. Only this machine can
connect, nothing is kept, and Ctrl-C ends everything.`,
		Example: `  weir dev
  weir dev functions/orders
  weir dev examples/shop --listen :9090
  weir dev --print > weir.yaml`,
		Args: args(0, 1, "at most one folder or config"),
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 1 {
				in.Path = given[0]
			}
			if show {
				return s.printFound(in)
			}
			var threshold slog.LevelVar
			if err := threshold.UnmarshalText([]byte(level)); err != nil {
				return usageError{fmt.Errorf("--log %q: write debug, info, warn or error", level)}
			}
			return s.dev(version, in, &threshold)
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&in.Listen, "listen", nil, "`address` to listen on instead of the config's first one, or NAME=ADDRESS for another")
	flags.StringVar(&in.Admin, "admin", "", "`address` of the admin API instead of the config's, or off to disable it")
	flags.BoolVar(&show, "print", false, "print the weir.yaml of the functions found, and exit")
	flags.StringVar(&level, "log", "info", "lowest `level` to log: debug, info, warn, error")
	return c
}

// printFound prints the config that would be served.
func (s Streams) printFound(in source.Input) error {
	sources, err := in.Read()
	if err != nil {
		return err
	}
	for _, one := range sources {
		_, _ = s.Out.Write(one.Data)
	}
	return nil
}

// devDrain is how long requests under way may take at the end. A developer does not want to wait.
const devDrain = 3 * time.Second

// dev serves until it is interrupted.
func (s Streams) dev(version string, in source.Input, level *slog.LevelVar) error {
	out := newPrinter(s.Out, s.ColorOut)
	s.Out, s.Err, s.Color = out, out, s.ColorOut // everything in one order
	d := &developer{Streams: s, out: out, input: in}
	log := slog.New(&console{out: d.out, level: level, own: ownLevel{level}})
	defer adoptLog(log)()
	held, err := d.choosePorts()
	defer func() {
		for _, l := range held {
			_ = l.Close() // those that were not taken over, because dev failed before that
		}
	}()
	if err != nil {
		return err
	}
	later, remove, err := temporaryQueue(log)
	if err != nil {
		return err
	}
	defer remove()
	reload, stop := onSignals(syscall.SIGHUP)
	defer stop()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	return s.refused(app.Run(ctx, app.Options{
		Input: d.input, Log: log, Level: level, Version: version, Parts: app.Parts(), Watch: true, Reload: reload, Drain: devDrain, Inherited: listen.Held(held...), Queue: later,
		Serving: func() { onInterrupt(ctx, interrupt) }, Started: d.started, Stopping: s.stopping, Changed: d.changed, Visited: d.visited,
	}))
}

// temporaryQueue makes the queue for requests that are sent later, as routes with async need it. Nothing of it is kept:
// remove closes it and deletes its folder.
func temporaryQueue(log *slog.Logger) (q *queue.Queue, remove func(), err error) {
	folder, err := os.MkdirTemp("", "weir-dev-*")
	if err != nil {
		return nil, nil, fmt.Errorf("temporary folder for async requests: %w", err)
	}
	if q, err = queue.New(queue.Options{Folder: filepath.Join(folder, queueName), Log: log}); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	return q, func() {
		q.Close()
		_ = os.RemoveAll(folder) // it is temporary, and there is no one to tell about an error
	}, nil
}

// ownLevel suppresses the gateway's own info messages when the level is info, because the summary says the same.
type ownLevel struct{ asked *slog.LevelVar }

// Level implements slog.Leveler.
func (l ownLevel) Level() slog.Level {
	if asked := l.asked.Level(); asked != slog.LevelInfo {
		return asked
	}
	return slog.LevelWarn
}

// developer shows a developer what happens to the functions.
type developer struct {
	Streams

	out   *printer
	input source.Input
	// failed says that the latest change cannot be served; only one goroutine uses it.
	failed bool
}

// choosePorts chooses free ports for addresses that were not given, and keeps them open, so that a second folder can be
// worked on at the same time.
func (d *developer) choosePorts() (held []net.Listener, err error) {
	if !d.input.Finds() {
		return nil, nil
	}
	const usual, usualAdmin = 8080, 8081
	hold := func(from int) (address string) {
		var l net.Listener
		if l, err = firstFree(from); err != nil {
			return ""
		}
		held = append(held, l)
		return l.Addr().String()
	}
	if len(d.input.Listen) == 0 {
		d.input.Listen = []string{hold(usual)}
	}
	if d.input.Admin == "" && err == nil {
		d.input.Admin = hold(usualAdmin)
	}
	return held, err
}

// firstFree listens on the first free port at or above from.
func firstFree(from int) (net.Listener, error) {
	const most = 100
	var err error
	for port := from; port < from+most; port++ {
		var l net.Listener
		if l, err = listen.Open(context.Background(), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port found from %d on; name one with --listen: %w", from, err)
}

// started prints what is served.
func (d *developer) started(a *app.App) {
	d.tell(a.Warnings, a.Sources)
	d.summary(a, nil)
}

// changed prints the outcome of a change of the config.
func (d *developer) changed(a *app.App, report follow.Report, err error) {
	now := d.out.prefix(time.Now(), "")
	before := d.failed
	d.failed = err != nil
	switch {
	case err != nil:
		d.out.write(now + d.out.paint(red, "the change cannot be served; the previous config still is") + "\n")
		d.tell(report.Problems, report.Sources)
		if len(report.Problems) == 0 {
			d.out.write("    " + err.Error() + "\n")
		}
	case len(report.Changes) > 0:
		d.out.write(now + d.out.paint(green, "changed") + "\n")
		for _, c := range report.Changes {
			d.out.write("    " + c.String() + "\n")
		}
		d.tell(report.Problems, report.Sources)
		d.summary(a, report.Changes)
	case before:
		d.out.write(now + d.out.paint(green, "the files match the served config again") + "\n")
	}
}

// visited prints a request that was answered.
func (d *developer) visited(r *http.Request, x *exchange.Exchange, o exchange.Outcome) {
	target := x.Path
	if target == "" {
		target = r.URL.EscapedPath()
	}
	if x.Query != "" {
		target += "?" + x.Query
	}
	line := fmt.Sprintf("%s %s %s %s", r.Method, printable(target), d.out.paint(statusColor(o.Status), strconv.Itoa(o.Status)), brief(o.Took))
	if x.Backend != "" {
		line += " " + x.Backend
	}
	cold := func(a exchange.Attempt) bool { return a.Cold > 0 }
	if i := slices.IndexFunc(x.Attempts, cold); i >= 0 {
		line += d.out.paint(yellow, " cold") + d.out.paint(dim, " "+brief(x.Attempts[i].Cold))
	}
	if x.Fault != nil {
		line += d.out.paint(red, " "+x.Fault.Code) + " " + firstLine(x.Fault.Operator())
	}
	d.out.write(d.out.prefix(x.Start.Add(o.Took), "") + line + "\n")
}

// brief formats a duration with about three digits.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1fms", milliseconds(d))
	}
	return d.Round(time.Millisecond).String()
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "; its last output:") // the output was already shown when it came
	for i, c := range s {
		if c == '\n' || c == '\r' {
			return printable(s[:i])
		}
	}
	return printable(s)
}

func statusColor(status int) string {
	switch {
	case status >= http.StatusInternalServerError:
		return red
	case status >= http.StatusBadRequest:
		return yellow
	}
	return green
}
