package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/explain"
	"github.com/weir-gateway/weir/internal/control/invoke"
	"github.com/weir-gateway/weir/internal/control/source"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// invocation is what the command line asks of a function.
type invocation struct {
	name  string
	input string // where the config is
	data  string // as it was written
	given bool   // whether data was given
	flag  string // the flag that gave it, for messages
	event string // http, or a file with a payload
	query explain.Request
	head  bool // print the response's head too
}

// httpEvent is the kind of an event that is made from a request.
const httpEvent = "http"

func invokeCommand(s Streams) *cobra.Command {
	i := invocation{flag: "--data"}
	c := &cobra.Command{
		Use:   "invoke NAME [[METHOD] PATH]",
		Short: "Invoke one function once, without a gateway.",
		Long: `Start one function of a config, invoke it once, print its answer and stop it. The
function's output and a report of the call go to standard error.

A lambda function gets --data as its payload, unchanged. With a PATH it gets the event
that the gateway makes of such a request, and its answer is printed as the response.
Other functions get the request, or POST / with --data. Guards of routes are skipped.

The code on disk runs; a running gateway is not involved. The exit code is 1 if the
function fails, and 2 if the config or the command line is wrong.`,
		Example: `  weir invoke orders --data '{"id": 7}'
  weir invoke orders --data @event.json
  weir invoke orders GET /orders/7 -H 'Accept: application/json' -i
  weir invoke orders --event http POST /orders --data '{"item": "tea"}'
  weir invoke -c examples/shop orders GET /orders/1`,
		Args: args(1, 3, "the name of a function, and optionally a method and a path"),
		RunE: func(c *cobra.Command, given []string) error {
			i.name, i.given = given[0], c.Flags().Changed("data")
			if err := i.request(given[1:]); err != nil {
				return err
			}
			ctx, interrupt := context.WithCancel(context.Background())
			defer interrupt()
			onInterrupt(ctx, interrupt)
			return s.invoke(ctx, i)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&i.input, "config", "c", ".", "`file` or folder of the config, or a folder of functions")
	flags.StringVarP(&i.data, "data", "d", "", "`text` of the payload or of the request's body, @FILE, or - for standard input")
	flags.StringVarP(&i.event, "event", "e", "", "`kind` of the event: http, or a file with the payload")
	flags.StringArrayVarP(&i.query.Headers, "header", "H", nil, "header `field` of the request, as \"Name: value\"; may be repeated")
	flags.StringVar(&i.query.As, "as", "", "`caller` of the request: a subject, or a JSON object of claims")
	flags.BoolVarP(&i.head, "include", "i", false, "print the response's status and header fields too")
	return c
}

// request reads the method and the path, if they are given.
func (i *invocation) request(given []string) error {
	switch {
	case len(given) > 0 && i.event != "" && i.event != httpEvent:
		return usageError{fmt.Errorf("--event %s is a payload, which has no method and no path; write --event http, or leave them out", i.event)}
	case len(given) > 0 || i.event == httpEvent:
		i.event = httpEvent
	case len(i.query.Headers) > 0 || i.query.As != "" || i.head:
		return usageError{errors.New("-H, --as and -i apply to a request; name its path, as in `weir invoke " + i.name + " GET /`")}
	case i.event != "" && i.given:
		return usageError{errors.New("--event FILE and --data both set the payload; use only one of them")}
	case i.event != "":
		i.data, i.given, i.flag = "@"+i.event, true, "--event"
	}
	i.query.Method, i.query.URL = http.MethodGet, "/"
	if i.given {
		i.query.Method = http.MethodPost
	}
	if n := len(given); n > 0 {
		i.query.URL = given[n-1]
	}
	if len(given) == 2 {
		i.query.Method = given[0]
	}
	return nil
}

// invoke runs the invocation i.
func (s Streams) invoke(ctx context.Context, i invocation) error {
	checked, _, err := s.checkInput(source.Input{Path: i.input, Runs: local.Runnable})
	if err != nil {
		return err
	}
	f, part, err := invoke.Find(checked.Config, i.name)
	if err != nil {
		return usageError{err}
	}
	data, err := s.data(ctx, i.data)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return usageError{fmt.Errorf("%s: %w", i.flag, err)}
	}
	out := newPrinter(s.Err, s.Color) // the function's log lines are written to it as well
	s.Err = out
	log := slog.New(&console{out: out, level: slog.LevelInfo, bare: true})
	defer adoptLog(log)()
	running, err := invoke.Start(app.Parts().Functions, checked.Config, f, part, log)
	if missing, ok := errors.AsType[invoke.NoPartError](err); ok {
		return usageError{missing}
	}
	if err != nil {
		return err
	}
	shown := &lastByte{w: s.Out, ended: func() bool { return ctx.Err() != nil }}
	s.Out = shown
	report, err := s.ask(ctx, running, checked.Config, i, data)
	patience, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	_ = running.Close(patience) // it has logged why; after it the function's whole output was written
	if report.ID != "" {
		if shown.last != '\n' && shown.last != 0 {
			_, _ = fmt.Fprintln(s.Err) // both streams may go to one terminal
		}
		s.report(report)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; the function was stopped", errInterrupted)
	}
	return err
}

// lastByte remembers the last byte that was written, 0 for none. It discards writes once ended returns true, because
// what an interrupted call returns is not an answer.
type lastByte struct {
	w     io.Writer
	ended func() bool
	last  byte
}

// Write implements io.Writer.
func (l *lastByte) Write(p []byte) (int, error) {
	if l.ended() {
		return len(p), nil
	}
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}

// endsWithin bounds the shutdown of a function after its only call.
const endsWithin = 3 * time.Second

// mostData is the maximum size of a function's input.
const mostData = runtimeapi.MaxPayload

// errInterrupted says that an interrupt has ended the command.
var errInterrupted = errors.New("interrupted")

// data reads the value of --data.
func (s Streams) data(ctx context.Context, written string) ([]byte, error) {
	name, file := strings.CutPrefix(written, "@")
	switch {
	case written == "-":
		return readData(ctx, func() (io.ReadCloser, error) { return io.NopCloser(s.In), nil })
	case file:
		return readData(ctx, func() (io.ReadCloser, error) { return os.Open(name) })
	}
	return []byte(written), nil
}

// readData reads everything from what open returns. A read from a terminal, or from a pipe that is never written to,
// cannot be interrupted: if ctx ends first, the reading goroutine stays until the process ends.
func readData(ctx context.Context, open func() (io.ReadCloser, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		in, err := open()
		if err != nil {
			done <- result{nil, err}
			return
		}
		data, err := io.ReadAll(io.LimitReader(in, mostData+1))
		done <- result{data, errors.Join(err, in.Close())}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case r := <-done:
		if r.err == nil && len(r.data) > mostData {
			return nil, fmt.Errorf("it has more than %d bytes, the most that a function accepts", mostData)
		}
		return r.data, r.err
	}
}

func (s Streams) ask(ctx context.Context, f *invoke.Function, cfg *config.Config, i invocation, data []byte) (invoke.Report, error) {
	if i.event == httpEvent || !f.TakesPayloads() {
		return s.askRequest(ctx, f, cfg, i, data)
	}
	if !i.given {
		data = []byte("{}")
	}
	if !json.Valid(data) {
		return invoke.Report{}, usageError{errors.New(i.flag + `: a payload must be JSON, and this is not; a string needs its own quotes: --data '"text"'`)}
	}
	report, err := f.Payload(ctx, data, s.answer)
	if failure, ok := errors.AsType[*function.Failure](err); ok && failure.Body != nil {
		s.line(failure.Body)
	}
	return report, err
}

// answer prints a function's answer to a payload.
func (s Streams) answer(a function.Answer) error {
	if a.Stream == nil {
		s.line(a.Payload)
		return nil
	}
	_, err := io.Copy(s.Out, a.Stream)
	return err
}

// line prints data and ends it with a newline.
func (s Streams) line(data []byte) {
	if !strings.HasSuffix(string(data), "\n") {
		data = append(slices.Clone(data), '\n')
	}
	_, _ = s.Out.Write(data)
}

func (s Streams) askRequest(ctx context.Context, f *invoke.Function, cfg *config.Config, i invocation, body []byte) (invoke.Report, error) {
	if len(body) > 0 && !slices.ContainsFunc(i.query.Headers, namesContentType) {
		i.query.Headers = append(slices.Clone(i.query.Headers), "Content-Type: "+contentType(body))
	}
	plan, err := f.Plan(app.Parts(), cfg, i.query)
	if err != nil {
		return invoke.Report{}, usageError{err}
	}
	if plan.Route == "" {
		_, _ = fmt.Fprintln(s.Err, s.color(dim, "no route leads "+i.query.Method+" "+i.query.URL+" to "+i.name+", so the request is sent unchanged"))
	}
	head := func(int, exchange.Head) {}
	if i.head {
		head = s.head
	}
	return f.Request(ctx, plan, body, exchange.Printing(s.Out, head))
}

func namesContentType(field string) bool {
	name, _, _ := strings.Cut(field, ":")
	return strings.EqualFold(strings.TrimSpace(name), "Content-Type")
}

func contentType(body []byte) string {
	switch {
	case json.Valid(body):
		return "application/json"
	case utf8.Valid(body):
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// report prints how a call went, in the form of AWS Lambda's logs.
func (s Streams) report(r invoke.Report) {
	line := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms", r.ID, milliseconds(r.Took))
	if r.Start > 0 {
		line += fmt.Sprintf("\tInit Duration: %.2f ms", milliseconds(r.Start))
	}
	if r.Limit > 0 {
		line += fmt.Sprintf("\tMemory Size: %d MB", r.Limit>>20)
	}
	if r.Memory > 0 {
		line += fmt.Sprintf("\tMax Memory Used: %.0f MB", math.Ceil(float64(r.Memory)/(1<<20)))
	}
	_, _ = fmt.Fprintln(s.Err, s.color(dim, line))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// head prints the head of a response.
func (s Streams) head(status int, fields exchange.Head) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\n", status, http.StatusText(status))
	names := fields.Names()
	slices.Sort(names)
	for _, name := range names {
		for _, value := range fields.Values(name) {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	_, _ = fmt.Fprintln(s.Out, b.String())
}
