// Package fault is the one form in which Weir reports that something went wrong: an RFC 9457 problem with a stable
// code, a short text for the client and a longer one for the operator that never leaves the gateway.
//
// Every error that Weir itself answers a request with is a *Fault. Its kinds are listed in kinds.go; each has a page
// docs/problems/CODE.md that says what it means, what causes it and what to do.
package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is one row of the table of problems. The code is a promise to clients and never changes its meaning.
type Kind struct {
	Code   string // stable, lower-case, words joined by '-': "route-not-found"
	Status int    // the HTTP status of the response
	Title  string // one short sentence, the same for every occurrence
}

// Fault is one occurrence of a Kind. It is immutable once made and may be shared by goroutines.
type Fault struct {
	Kind
	// Detail is for the client: what went wrong with this request and what to do about it. It must not hold secrets,
	// addresses or names of backends.
	Detail string
	// Problems are for the client too, if there is more than one thing to report.
	Problems []string
	// Internal is for operators only: the log, `weir explain` and the admin API.
	Internal string
	// RetryAfter, if positive, is sent as Retry-After in whole seconds (at least 1).
	RetryAfter time.Duration
	// Fields are further response header fields of this problem, such as Allow for a 405. Lines with the same name are
	// adjacent.
	Fields []Field
	// Cause is the underlying error; it may be nil.
	Cause error
}

// Option sets one of the less common fields of a Fault.
type Option func(*Fault)

// Internal adds the text for operators, formatted as by fmt.Sprintf.
func Internal(format string, args ...any) Option {
	return func(f *Fault) { f.Internal = fmt.Sprintf(format, args...) }
}

// Problems adds further problems, each in a line of its own.
func Problems(list []string) Option { return func(f *Fault) { f.Problems = list } }

// Cause sets err as the reason; errors.Is and errors.As can find it.
func Cause(err error) Option { return func(f *Fault) { f.Cause = err } }

// RetryAfter tells the client when to come back.
func RetryAfter(d time.Duration) Option { return func(f *Fault) { f.RetryAfter = d } }

// WithField adds a line to the response's head.
func WithField(name, value string) Option {
	return func(f *Fault) { f.Fields = append(f.Fields, Field{name, value}) }
}

// WithFields adds several lines. Lines with the same name must be adjacent.
func WithFields(lines ...Field) Option {
	return func(f *Fault) { f.Fields = append(f.Fields, lines...) }
}

// New makes a Fault of this kind. With an empty detail there is only the title.
//
//go:noinline // it is large, and would make the stack frames of hot functions larger
func (k Kind) New(detail string, options ...Option) *Fault {
	f := &Fault{Kind: k, Detail: detail}
	for _, set := range options {
		set(f)
	}
	return f
}

// Error returns everything: code, detail, internal text and cause.
func (f *Fault) Error() string {
	parts := slices.DeleteFunc([]string{f.Code, f.Detail, f.Operator()}, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// Operator returns what only operators may see: internal text and cause.
func (f *Fault) Operator() string {
	switch {
	case f.Cause == nil:
		return f.Internal
	case f.Internal == "":
		return f.Cause.Error()
	}
	return f.Internal + ": " + f.Cause.Error()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// From returns the Fault in err, or wraps err in an Unexpected one, so that an unforeseen error is a 500 that tells the
// client nothing. It returns nil for a nil error.
func From(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Unexpected.New("", Cause(err))
}
