package compose_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// spans is a trace that records its spans as lines, each with the path of the spans above it.
type spans struct {
	*ledger

	above string
}

type ledger struct {
	mu    sync.Mutex
	lines []string
}

func traceOf(r *http.Request) (*http.Request, *ledger) {
	l := &ledger{}
	exchange.Of(r).Trace = spans{l, ""}
	return r, l
}

func (spans) ID() string { return "0af7651916cd43dd8448eb211c80319c" }

func (s spans) Step(name, of string) (exchange.Trace, func(exchange.Settled)) {
	path := s.above + name
	return spans{s.ledger, path + " > "}, func(got exchange.Settled) {
		line := path + ": " + got.Outcome
		if got.Cached {
			line += ", cached"
		}
		if got.Elements > 0 {
			line += fmt.Sprintf(", %d elements", got.Elements)
		}
		if got.Err != nil {
			line += ", " + got.Err.Error()
		}
		s.note(line + " (" + of + ")")
	}
}

func (s spans) Call(c exchange.Call) func(exchange.Attempt) {
	return func(a exchange.Attempt) { s.note(fmt.Sprintf("%s%s %s: %d", s.above, c.Method, c.Backend, a.Status)) }
}

func (l *ledger) note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// String returns the lines sorted, because they are recorded in the order in which the spans end.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(l.lines)), "\n")
}

// traced reports a call to the trace, as services and functions do.
func traced(name string, b backend) backend {
	return func(r *http.Request) (*http.Response, error) {
		end := exchange.Of(r).Trace.Call(exchange.Call{Method: r.Method, Backend: name, Head: exchange.RequestHead(r)})
		res, err := b(r)
		tried := exchange.Attempt{Err: err}
		if res != nil {
			tried.Status = res.StatusCode
		}
		end(tried)
		return res, err
	}
}

func TestEachStepIsASpanWithItsCallsBelow(t *testing.T) {
	t.Parallel()
	c := world{"a": traced("a", says(200, `[1,2,3]`)), "b": traced("b", says(500, ``)), "k": traced("k", says(200, `1`))}.route(t, `
  GET /home/{user}:
    compose:
      list: http://a
      each: { to: "http://a", each: =steps.list.body }
      news: { to: "http://b", else: [] }
      never: { to: "http://a", when: =query.full == '1' }
      kept: { to: "http://k", cache: 1m }
      other: { to: inner, else: =null }
  POST /x: inner
compositions:
  inner: { steps: { deep: http://a } }
`)
	const first = `each > GET a: 200
each > GET a: 200
each > GET a: 200
each: ok, 3 elements (GET /home/{user})
kept > GET k: 200
kept: ok (GET /home/{user})
list > GET a: 200
list: ok (GET /home/{user})
never: skipped (GET /home/{user})
news > GET b: 500
news: else, it answered 500 (GET /home/{user})
other > deep > GET a: 200
other > deep: ok (inner)
other: ok (GET /home/{user})`
	for _, want := range []string{first, strings.Replace(strings.Replace(first, "kept > GET k: 200\n", "", 1), "kept: ok", "kept: ok, cached", 1)} {
		r, trace := traceOf(request(http.MethodGet, "/home/7", ""))
		if a := ask(t, c, r); a.status != 200 {
			t.Fatalf("%d %v", a.status, a.err)
		}
		if got := trace.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestASpanTellsWhatHasEndedAComposition(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ steps, want string }{
		"a failure": {
			"{ bad: 'http://bad', late: 'http://late' }",
			"bad: failed, it answered 500\nlate: cancelled",
		},
		"a response that is passed on": {
			"{ bad: { to: 'http://bad', status: { 500: pass } }, late: 'http://late' }",
			"bad: passed\nlate: cancelled",
		},
		"an expression": {
			"{ bad: { to: 'http://ok', query: { a: =string(steps.ok.body.id) } }, ok: 'http://ok' }",
			"bad: failed, expression \"string(steps.ok.body.id)\": no such key: id\nok: ok",
		},
		"what is undone": {
			"{ ok: { to: 'http://ok', method: POST, undo: { path: /7 } }, bad: { to: 'http://bad', query: { a: =string(steps.ok.status) } } }",
			"bad: failed, it answered 500\nok/undo: ok\nok: ok",
		},
	} {
		made := world{
			"ok": says(200, `{}`), "bad": says(500, ``),
			"late": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, errors.New("nobody waits")
			},
		}.route(t, "  POST /home/{user}:\n    compose: "+c.steps+"\n")
		r, trace := traceOf(request(http.MethodPost, "/home/7", ""))
		ask(t, made, r)
		if got := strings.ReplaceAll(trace.String(), " (POST /home/{user})", ""); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}
