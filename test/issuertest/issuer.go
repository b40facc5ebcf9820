// Package issuertest is what the fakes of token issuers have in common: a server that counts its calls, issues tokens
// with a lifetime that tests set, and can be made slow or out of order. The package of each cloud knows what that cloud
// expects of a call and what it answers.
package issuertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Issuer is a server for tests. It is safe for concurrent use.
type Issuer struct {
	*httptest.Server

	busy Refusal

	mu    sync.Mutex
	calls []string
	life  time.Duration
	fail  func(n int) int
	slow  chan struct{}
}

// Refusal is an issuer's error message (RFC 6749 section 5.2).
type Refusal struct {
	Code string `json:"error"`
	Text string `json:"error_description"`
}

// Start starts an Issuer that ends with the test. busy is its error message when it is made to fail.
func Start(t testing.TB, handler http.Handler, busy Refusal) *Issuer {
	t.Helper()
	i := &Issuer{Server: httptest.NewServer(handler), busy: busy, life: time.Hour}
	t.Cleanup(i.Close)
	return i
}

// Live sets the lifetime of tokens.
func (i *Issuer) Live(life time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life = life
}

// Life returns the lifetime of tokens: an hour, unless Live has set another one.
func (i *Issuer) Life() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.life
}

// Fail makes the nth call from now on, counted from 1, get the status that the function returns, or the usual answer
// for 0.
func (i *Issuer) Fail(status func(n int) int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	from := len(i.calls)
	i.fail = func(n int) int { return status(n - from) }
}

// Slow makes calls wait until release is called.
func (i *Issuer) Slow() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	wait := make(chan struct{})
	i.slow = wait
	return sync.OnceFunc(func() { close(wait) })
}

// Calls returns the names of all calls.
func (i *Issuer) Calls() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.calls)
}

// Called records a call, and reports whether the caller must answer it; otherwise it was answered or its client has
// left.
func (i *Issuer) Called(w http.ResponseWriter, r *http.Request, name string) bool {
	i.mu.Lock()
	i.calls = append(i.calls, name)
	status, wait := 0, i.slow
	if i.fail != nil {
		status = i.fail(len(i.calls))
	}
	i.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return false
		}
	}
	if status != 0 {
		Refuse(w, status, i.busy)
	}
	return status == 0
}

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, status int, what Refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(what)
}
