package rolling

import (
	"encoding/json"
	"errors"
	"regexp"
	"sync"
	"testing"
)

// The kinds of requests.
const (
	gets    = "GETs"
	posts   = "POSTs"
	streams = "gRPC streams"
)

// report is the results of all requests.
type report struct {
	mu   sync.Mutex
	sent map[string]int
	lost map[string][]*lostError
}

func newReport() report { return report{sent: map[string]int{}, lost: map[string][]*lostError{}} }

func (r *report) note(kind string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[kind]++
	if err == nil {
		return
	}
	lost, ok := errors.AsType[*lostError](err)
	if !ok {
		lost = &lostError{why: err.Error()}
	}
	r.lost[kind] = append(r.lost[kind], lost)
}

// of returns how many requests were lost before the head of their response, or the first message, and how many after
// it.
func (r *report) of(kind string) (before, after int) {
	for _, l := range r.lost[kind] {
		if l.begun {
			after++
		} else {
			before++
		}
	}
	return before, after
}

// numbered matches the parts in which equal failures differ.
var numbered = regexp.MustCompile(`(127|10)\.\d+\.\d+\.\d+(:\d+)?|order \d+\.*`)

// reasons counts why requests were lost.
func (r *report) reasons(kind string, book *book) map[string]int {
	counted, came := map[string]int{}, book.all()
	for _, l := range r.lost[kind] {
		counted[numbered.ReplaceAllString(l.why, "N")+l.fate(came)]++
	}
	return counted
}

// fate describes what happened to a POST.
func (e *lostError) fate(came map[string]int) string {
	switch {
	case e.post == "":
		return ""
	case came[e.post] == 0:
		return ": no backend had read it"
	default:
		return ": a backend had read it"
	}
}

func (r *report) log(t *testing.T, book *book) {
	t.Helper()
	for _, kind := range []string{gets, posts, streams} {
		before, after := r.of(kind)
		t.Logf("%s: %d sent, %d lost before their response began, %d after", kind, r.sent[kind], before, after)
		for why, n := range r.reasons(kind, book) {
			t.Logf("%8d %s", n, why)
		}
	}
}

// problem returns the code of a problem, or the text if it is not a problem.
func problem(text []byte) string {
	var p struct{ Code string }
	if err := json.Unmarshal(text, &p); err != nil || p.Code == "" {
		return string(text)
	}
	return p.Code
}

// reset is the error for a connection that ended while a backend may have acted on the request.
const reset = "502 backend-reset"

// judge checks what was lost. Nothing may be lost while backends end gracefully. Otherwise two kinds of requests may
// be lost: those that must not be sent again because a backend may have acted on them, and those whose response had
// begun when the backend ended.
func (r *report) judge(t *testing.T, e Ending, book *book) {
	t.Helper()
	for _, kind := range []string{gets, posts, streams} {
		if r.sent[kind] == 0 {
			t.Errorf("no %s were sent", kind)
		}
		before, after := r.of(kind)
		unsafe := kind == posts && e != Graceful || kind == streams && e == AtOnce
		if before > 0 && !unsafe {
			t.Errorf("%s: %d %s were lost before their response began", e, before, kind)
		}
		if after > 0 && e != AtOnce {
			t.Errorf("%s: %d responses to %s were cut", e, after, kind)
		}
	}
	for _, l := range r.lost[posts] {
		if !l.begun && l.why != reset {
			t.Errorf("%s: a POST was lost though it could be sent elsewhere: %s", e, l.why)
		}
	}
	for said, n := range book.all() {
		if n > 1 {
			t.Errorf("%s: %d backends had %q", e, n, said)
		}
	}
}
