package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// console is a log for people who watch a gateway work: one line for each record, and the output of functions under
// their names. Its methods are safe for concurrent use.
type console struct {
	out   *printer
	level slog.Leveler
	// own is the minimum level of records that do not come from a function; nil: level.
	own slog.Leveler
	// bare leaves out the time and the name, for a single function whose output need not be told apart.
	bare     bool
	function string      // of the records; "" for none
	attrs    []slog.Attr // of all records, apart from function
}

// printer writes whole lines, for concurrent writers.
type printer struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
	width int // of the longest name so far
}

func newPrinter(w io.Writer, color bool) *printer { return &printer{w: w, color: color} }

// Write implements io.Writer.
func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.Write(b)
}

// write writes text, which ends with a newline.
func (p *printer) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.w, text)
}

// The attributes that console treats specially; package function/local sets them.
const (
	functionAttr  = "function"
	streamAttr    = "stream"
	extensionAttr = "extension"
)

// Enabled implements slog.Handler.
func (c *console) Enabled(_ context.Context, level slog.Level) bool { return level >= c.level.Level() }

// WithAttrs implements slog.Handler.
func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *c
	more.attrs = slices.Clip(c.attrs)
	for _, a := range attrs {
		if a.Key == functionAttr {
			more.function = a.Value.String()
		} else {
			more.attrs = append(more.attrs, a)
		}
	}
	return &more
}

// WithGroup implements slog.Handler. It ignores groups, whose names would only make lines longer.
func (c *console) WithGroup(string) slog.Handler { return c }

// Handle implements slog.Handler.
func (c *console) Handle(_ context.Context, r slog.Record) error {
	function, extension, output := c.function, "", false
	attrs := slices.Clip(c.attrs)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case functionAttr:
			function = a.Value.String()
		case streamAttr:
			output = true
		case extensionAttr:
			extension = a.Value.String()
		default:
			attrs = append(attrs, a)
		}
		return true
	})
	if extension != "" {
		function += "/" + extension
	}
	switch {
	case output:
		c.out.write(c.lines(r.Time, function, r.Message))
		return nil
	case function == "" && c.own != nil && r.Level < c.own.Level():
		return nil
	}
	code := dim
	switch {
	case r.Level >= slog.LevelError:
		code = red
	case r.Level >= slog.LevelWarn:
		code = yellow
	}
	short, long := parameters(attrs)
	c.out.write(c.prefix(r.Time, function) + c.out.paint(code, r.Message+short) + "\n" + strings.Join(long, ""))
	return nil
}

// lines formats the output of a function. AWS's runtimes separate the lines within one log entry by carriage returns,
// with which a terminal would overwrite the line.
func (c *console) lines(at time.Time, function, text string) string {
	prefix := c.prefix(at, function)
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\r") {
		b.WriteString(prefix + line + "\n")
	}
	return b.String()
}

// parameters formats attributes: those with a single line for the record's own line, the lines of others separately and
// indented.
func parameters(attrs []slog.Attr) (short string, long []string) {
	for _, a := range attrs {
		value := strings.TrimSpace(a.Value.Resolve().String())
		if strings.Contains(value, "\n") {
			for line := range strings.Lines(value) {
				long = append(long, "    "+printable(strings.TrimRight(line, "\r\n"))+"\n")
			}
			continue
		}
		short += "  " + a.Key + "=" + printable(nearby(value))
	}
	return short, long
}

// nearby returns a path inside the working folder relative to it, and any other value unchanged.
func nearby(value string) string {
	if !filepath.IsAbs(value) {
		return value
	}
	here, err := os.Getwd()
	if err != nil {
		return value
	}
	if path, err := filepath.Rel(here, value); err == nil && filepath.IsLocal(path) {
		return path
	}
	return value
}

// prefix returns the start of a line: the time, and the name of the function that it comes from.
func (c *console) prefix(at time.Time, function string) string {
	if c.bare {
		return ""
	}
	return c.out.prefix(at, function)
}

// prefix returns the start of a line of a function, or of the gateway itself if name is "".
func (p *printer) prefix(at time.Time, name string) string {
	p.mu.Lock()
	p.width = max(p.width, len(name))
	width := p.width
	p.mu.Unlock()
	begin := p.paint(dim, at.Format("15:04:05")) + "  "
	if name == "" {
		return begin
	}
	return begin + p.paint(colorOf(name), fmt.Sprintf("%-*s", width, name)) + p.paint(dim, " | ")
}

func (p *printer) paint(code, text string) string {
	if !p.color || text == "" {
		return text
	}
	return code + text + plain
}

// colorOf returns one of the colours without a meaning, always the same one for a name.
func colorOf(name string) string {
	colors := []string{"\x1b[36m", "\x1b[35m", "\x1b[34m", "\x1b[32m", "\x1b[96m", "\x1b[95m", "\x1b[94m", "\x1b[92m"}
	sum := 0
	for _, c := range []byte(name) {
		sum = sum*31 + int(c)
	}
	return colors[uint(sum)%uint(len(colors))]
}
