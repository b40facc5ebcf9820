package limit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// The bounds of rates. The interval between two requests is counted in nanoseconds, so it would no longer be exact
// beyond a million requests a second. A bucket that takes longer than a year to fill is a typing error.
const (
	mostPerSecond = 1_000_000
	longestWindow = 366 * 24 * time.Hour
)

// Rate is how many requests may pass in a time. They may come evenly or all at once: Burst of them are available at
// first, and each is available again after an interval.
type Rate struct {
	Count  int64         // at least 1
	Window time.Duration // whole seconds
	Burst  int64         // at least 1; Count by default
}

// interval is the time after which one more request may pass.
func (r Rate) interval() int64 { return int64(r.Window) / r.Count }

// full is the time that an empty bucket takes to fill.
func (r Rate) full() int64 { return r.Burst * r.interval() }

// String writes the rate as it is read: "50/s", "100/15m burst 20".
func (r Rate) String() string {
	s := r.quota()
	if r.Burst != r.Count {
		s += " burst " + strconv.FormatInt(r.Burst, 10)
	}
	return s
}

// quota is the rate without its burst.
func (r Rate) quota() string {
	unit, n := unitOf(r.Window)
	s := strconv.FormatInt(r.Count, 10) + "/"
	if n > 1 {
		s += strconv.FormatInt(n, 10)
	}
	return s + unit
}

// units are the units of a window, the largest first.
var units = []struct {
	name string
	time time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// unitOf returns the largest unit that divides a window, and how many of it there are.
func unitOf(window time.Duration) (name string, n int64) {
	for _, u := range units {
		if window%u.time == 0 {
			return u.name, int64(window / u.time)
		}
	}
	return "s", int64(window / time.Second)
}

// syntaxError is a mistake in the text of a limit; Offset is in bytes.
type syntaxError struct {
	Offset    int
	What, Fix string
}

func (e *syntaxError) Error() string { return e.What }

const example = "for example 50/s, 1000/h or 100/15m burst 20"

// parseRate reads RATE: `50/s`, `100/15m`, `1000/d burst 50`.
func parseRate(text string) (Rate, error) {
	rate, rest, err := parseText(text)
	if err == nil && rest.text != "" {
		err = &syntaxError{Offset: rest.at - len("per "), What: "a key cannot stand here", Fix: "write the rate alone"}
	}
	return rate, err
}

// part is a piece of a text with its offset in it.
type part struct {
	text string
	at   int
}

// parseText reads `RATE [per KEY]`.
func parseText(text string) (rate Rate, key part, err error) {
	rest := skipBlanks(part{text: text})
	word, rest := nextWord(rest)
	if rate, err = parseQuota(word); err != nil {
		return Rate{}, part{}, err
	}
	rate.Burst = rate.Count
	if word, after := nextWord(rest); word.text == "burst" {
		number, after := nextWord(after)
		if rate.Burst, err = parseCount(number, "a burst"); err != nil {
			return Rate{}, part{}, err
		}
		rest = after
	}
	switch word, after := nextWord(rest); {
	case word.text == "":
	case word.text != "per":
		return Rate{}, part{}, &syntaxError{word.at, fmt.Sprintf("%q is not understood behind a rate", word.text), "behind it may stand `burst NUMBER` and `per KEY`"}
	case strings.TrimSpace(after.text) == "":
		return Rate{}, part{}, &syntaxError{word.at, "no key stands behind per", "for example `per client.ip`; without a key all requests of the route count together"}
	default:
		key = after
	}
	return rate, key, check(rate, word.at)
}

// check enforces the bounds of a rate whose text begins at the offset.
func check(r Rate, at int) error {
	switch {
	case r.Count > mostPerSecond*int64(r.Window/time.Second):
		return &syntaxError{at, "that is more than a million requests a second", "write a lower rate, or leave the limit out"}
	case r.Burst > int64(longestWindow)/max(r.interval(), 1):
		return &syntaxError{at, "a burst of " + strconv.FormatInt(r.Burst, 10) + " would take more than a year to come back", "write a smaller burst"}
	}
	return nil
}

// parseQuota reads `NUMBER/[NUMBER]UNIT`.
func parseQuota(word part) (Rate, error) {
	count, window, ok := strings.Cut(word.text, "/")
	if !ok {
		return Rate{}, &syntaxError{word.at, fmt.Sprintf("%q is no rate", word.text), example}
	}
	n, err := parseCount(part{count, word.at}, "a rate")
	if err != nil {
		return Rate{}, err
	}
	at := word.at + len(count) + 1
	digits := len(window) - len(strings.TrimLeft(window, "0123456789"))
	times := int64(1)
	if digits > 0 {
		if times, err = parseCount(part{window[:digits], at}, "a time"); err != nil {
			return Rate{}, err
		}
	}
	for _, u := range units {
		if u.name != window[digits:] {
			continue
		}
		if times > int64(longestWindow/u.time) {
			return Rate{}, &syntaxError{at, "that is longer than a year", "write a shorter time"}
		}
		return Rate{Count: n, Window: time.Duration(times) * u.time}, nil
	}
	return Rate{}, unknownUnit(part{window[digits:], at + digits})
}

// unknownUnit suggests the unit that was most likely meant.
func unknownUnit(unit part) error {
	e := &syntaxError{Offset: unit.at, What: fmt.Sprintf("%q is no unit of time here", unit.text), Fix: "those are s, m, h and d"}
	switch strings.ToLower(unit.text) {
	case "":
		e.What, e.Fix = "the rate has no unit of time", "those are s, m, h and d; "+example
	case "sec", "secs", "second", "seconds":
		e.Fix = "write s"
	case "min", "mins", "minute", "minutes":
		e.Fix = "write m"
	case "hr", "hour", "hours":
		e.Fix = "write h"
	case "day", "days":
		e.Fix = "write d"
	case "w", "week", "weeks":
		e.Fix = "write 7d"
	case "mo", "month", "months":
		e.Fix = "write 30d"
	}
	return e
}

// parseCount reads a number of at least 1.
func parseCount(word part, what string) (int64, error) {
	n, err := strconv.ParseInt(word.text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, &syntaxError{word.at, word.text + " is too large", "write a smaller number"}
	case err != nil || word.text != strconv.FormatInt(n, 10):
		return 0, &syntaxError{word.at, fmt.Sprintf("%s is a whole number, this is %q", what, word.text), example}
	case n < 1:
		return 0, &syntaxError{word.at, what + " is at least 1", "to let nothing pass write `allow: =false`"}
	}
	return n, nil
}

// nextWord takes a word off p.
func nextWord(p part) (word, rest part) {
	end := strings.IndexAny(p.text, " \t")
	if end < 0 {
		return p, part{"", p.at + len(p.text)}
	}
	return part{p.text[:end], p.at}, skipBlanks(part{p.text[end:], p.at + end})
}

func skipBlanks(p part) part {
	trimmed := strings.TrimLeft(p.text, " \t")
	return part{trimmed, p.at + len(p.text) - len(trimmed)}
}

// DecodeDoc reads a rate.
func (r *Rate) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Scalar {
		ps.Add(doc.Problem{Pos: n.Pos, What: "the rate is " + n.Kind.String(), Fix: example})
		return
	}
	rate, err := parseRate(n.Value)
	if err != nil {
		ps.Add(problem(n, err))
		return
	}
	*r = rate
}

// EncodeDoc writes the rate as it is read.
func (r Rate) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: r.String()} }

// DocSchema implements doc.SchemaWriter.
func (Rate) DocSchema() *doc.Schema {
	return &doc.Schema{
		Type: doc.Types{"string"}, Pattern: `^[1-9]\d*/([1-9]\d*)?[smhd]( +burst +[1-9]\d*)?$`,
		Description: "requests in a time", Examples: []any{"50/s", "1000/h", "100/15m burst 20"},
	}
}

// problem gives a mistake its position in the text of n.
func problem(n *doc.Node, err error) doc.Problem {
	p := doc.Problem{Pos: n.Pos, What: err.Error()}
	if syntax, ok := errors.AsType[*syntaxError](err); ok {
		p.Fix = syntax.Fix
		p.Pos.Col += syntax.Offset
		if n.Quoted {
			p.Pos.Col++
		}
	}
	return p
}
