// Package issuertest is what the doubles of issuers of tokens have in common: a server that
// counts its calls, gives what lives as long as it is told, and is slow or out of order. What
// a cloud asks of a call and answers it, its own package knows.
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

// Refusal is what an issuer says of an error (RFC 6749 section 5.2).
type Refusal struct {
	Code string `json:"error"`
	Text string `json:"error_description"`
}

// Start starts one that ends with the test. Busy is what it says when it is to fail.
func Start(t testing.TB, handler http.Handler, busy Refusal) *Issuer {
	t.Helper()
	i := &Issuer{Server: httptest.NewServer(handler), busy: busy, life: time.Hour}
	t.Cleanup(i.Close)
	return i
}

// Live sets how long tokens count.
func (i *Issuer) Live(life time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life = life
}

// Life is how long tokens count, an hour unless Live has said otherwise.
func (i *Issuer) Life() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.life
}

// Fail has the nth call from now on, from 1, answered with a status, or as ever for 0.
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

// Calls are the names of all calls.
func (i *Issuer) Calls() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.calls)
}

// Called notes a call, and tells whether it is answered; else it was.
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
