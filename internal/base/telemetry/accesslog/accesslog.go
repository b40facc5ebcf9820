package accesslog

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// The formats.
const (
	Text     = "text"     // key=value
	JSON     = "json"     // one object per line
	Common   = "common"   // the Common Log Format of NCSA's and Apache's servers
	Combined = "combined" // the Common Log Format with Referer and User-Agent
)

// Formats are all of them.
func Formats() []string { return []string{Text, JSON, Common, Combined} }

// Options are where lines are written and what they hold.
type Options struct {
	// Out is written to by one goroutine. If it is nil, Path is a file that is appended to, and opened again when it
	// was renamed or removed.
	Out  io.Writer
	Path string
	// Format is one of Formats; "" is Text.
	Format string
	// Fields are names of fields, in the order of the line; nil: DefaultFields. The formats Common and Combined have
	// fixed fields.
	Fields []string
	// RequestHeaders and ResponseHeaders are names of header fields to add.
	RequestHeaders, ResponseHeaders []string
	// Sample is the share of requests that are logged, from 0 to 1. Requests that failed (a problem, or a status from
	// 500 on) are always logged.
	Sample float64
	// Level, if not nil, is the minimum level of lines: WARN from status 500 on, INFO below.
	Level slog.Leveler
	// Counts counts lines, of several logs if they share it; nil: this log has its own.
	Counts *Counts
	// Log receives a message when lines cannot be written.
	Log *slog.Logger
}

// Counts are how many lines were written, and how many were lost because the output did not accept them in time or
// failed.
type Counts struct{ Written, Dropped atomic.Uint64 }

// Log is an access log. It is safe for concurrent use; a nil *Log writes nothing.
type Log struct {
	format format
	sample float64
	level  slog.Leveler
	sink   *sink
}

// Open makes a log, which must be closed with Close. It fails if Path cannot be opened.
func Open(o Options) (*Log, error) {
	out := output(plain{o.Out})
	if o.Out == nil {
		f, err := openFile(o.Path)
		if err != nil {
			return nil, err
		}
		out = f
	}
	if o.Counts == nil {
		o.Counts = new(Counts)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Log{format: newFormat(o), sample: o.Sample, level: o.Level, sink: newSink(out, o.Counts, o.Log)}, nil
}

func newFormat(o Options) format {
	switch o.Format {
	case Common:
		return common{}
	case Combined:
		return common{combined: true}
	case JSON:
		return newLine(jsonStyle{}, o)
	}
	return newLine(textStyle{}, o)
}

// format builds the line of an event, including its end.
type format interface {
	line(b []byte, e *event) []byte
}

// event is a request that has ended.
type event struct {
	r       *http.Request
	head    exchange.Head // of the response
	x       *exchange.Exchange
	outcome exchange.Outcome
	level   slog.Level
	time    time.Time
}

// scratch is reused memory for building a line.
type scratch struct {
	event event
	line  []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{line: make([]byte, 0, 512)} }} // reused buffers

// mostScratch bounds the size of a buffer that is kept, which one long line may have grown.
const mostScratch = 8 << 10

// Write writes the line of a request; head is the head of its response. Write never blocks, and keeps nothing of its
// arguments.
func (l *Log) Write(r *http.Request, head exchange.Head, x *exchange.Exchange, o exchange.Outcome) {
	if l == nil {
		return
	}
	level := slog.LevelInfo
	if o.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if l.level != nil && level < l.level.Level() || !l.sampled(x, o) {
		return
	}
	s, _ := scratches.Get().(*scratch)
	s.event = event{r: r, head: head, x: x, outcome: o, level: level, time: x.Start.Add(o.Took)}
	s.line = l.format.line(s.line[:0], &s.event)
	l.sink.put(s.line)
	s.event = event{}
	if cap(s.line) <= mostScratch {
		scratches.Put(s)
	}
}

func (l *Log) sampled(x *exchange.Exchange, o exchange.Outcome) bool {
	if x.Fault != nil || o.Status >= http.StatusInternalServerError {
		return true
	}
	return !x.Routine && (l.sample >= 1 || rand.Float64() < l.sample) //nolint:gosec // chance decides, not a secret
}

// Reopen makes the log open its file again by its path, after the file was rotated.
func (l *Log) Reopen() {
	if l != nil {
		l.sink.reopen.Store(true)
	}
}

// Close writes the remaining lines, until a second after ctx ends. Lines written afterwards are lost.
func (l *Log) Close(ctx context.Context) { l.sink.close(ctx) }
