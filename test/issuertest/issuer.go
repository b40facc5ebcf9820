// Package issuertest is the common part of the doubles of token issuers. It is a server that counts its calls, issues
// what is valid for as long as a test sets, and can be slow or out of order. What a cloud demands of a call and
// answers to it is in the cloud's own package.
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

// Refusal is an issuer's error response (RFC 6749 section 5.2).
type Refusal struct {
	Code string `json:"error"`
	Text string `json:"error_description"`
}

// Start starts an Issuer that ends with the test. busy is its answer when it is to fail.
func Start(t testing.TB, handler http.Handler, busy Refusal) *Issuer {
	t.Helper()
	i := &Issuer{Server: httptest.NewServer(handler), busy: busy, life: time.Hour}
	t.Cleanup(i.Close)
	return i
}

// Live sets how long tokens are valid.
func (i *Issuer) Live(life time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life = life
}

// Life returns how long tokens are valid: an hour unless Live has set something else.
func (i *Issuer) Life() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.life
}

// Fail has the nth call from now on, counted from 1, answered with a status; 0 means as usual.
func (i *Issuer) Fail(status func(n int) int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	from := len(i.calls)
	i.fail = func(n int) int { return status(n - from) }
}

// Slow has calls wait until release is called.
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

// Called records a call, and reports whether the caller is to answer it; otherwise it has been answered.
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
