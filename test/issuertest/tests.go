package issuertest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Token is a kept token.
type Token = cloud.Kept[secret.Value]

// SurvivesAnOutage checks that a token is fetched again before it expires, and that an outage in between, during
// which the issuer answers with status, is not noticed. The issuer must not have issued a token yet.
func (i *Issuer) SurvivesAnOutage(t *testing.T, status int, use func() *Token) {
	t.Helper()
	i.Live(15 * time.Second) // ten of which are a margin
	token := use()
	first, err := token.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i.Fail(func(int) int { return status })
	await.That(t, "another fetch, in the outage", func() bool { return len(i.Calls()) > 1 })
	if held, err := token.Get(t.Context()); time.Until(first.Expires) > 11*time.Second && (err != nil || held.Value != first.Value) {
		t.Errorf("in the outage: %v", err)
	}
	i.Live(time.Hour)
	i.Fail(func(n int) int { return []int{http.StatusServiceUnavailable, 0}[n%2] }) // it alternates between failure and success
	await.That(t, "a token after the outage", func() bool {
		held, err := token.Get(t.Context())
		return err == nil && time.Until(held.Expires) > 30*time.Minute
	})
}

// IsAskedOnce checks that all that need a token from a slow issuer wait for a single call.
func (i *Issuer) IsAskedOnce(t *testing.T, use func() *Token) {
	t.Helper()
	release := i.Slow()
	defer release()
	var all sync.WaitGroup
	for range 3 { // functions
		token := use()
		for range 20 { // requests
			all.Go(func() {
				if _, err := token.Get(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	await.That(t, "the issuer is asked", func() bool { return len(i.Calls()) > 0 })
	release()
	all.Wait()
	if calls := i.Calls(); len(calls) != 1 {
		t.Errorf("asked were %v", calls)
	}
}

// IsAskedAnew checks that fetch calls the issuer each time, which code that keeps the result relies on. Nothing in
// between may remember a result, or that there was none.
func (i *Issuer) IsAskedAnew(t *testing.T, fetch func(context.Context) error) {
	t.Helper()
	calls := func() int {
		before := len(i.Calls())
		if err := fetch(t.Context()); err != nil {
			t.Errorf("fetch: %v", err)
		}
		return len(i.Calls()) - before
	}
	first := calls()
	i.Fail(func(int) int { return http.StatusServiceUnavailable })
	if err := fetch(t.Context()); err == nil {
		t.Error("while the issuer is down, something is given")
	}
	i.Fail(func(int) int { return 0 })
	if again := calls(); first == 0 || again != first {
		t.Errorf("the issuer was asked %d times, and then %d", first, again)
	}
}

// Together has many callers get at once, and returns what they are given.
func Together[T any](t *testing.T, kept *cloud.Kept[T]) cloud.Held[T] {
	t.Helper()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, err := kept.Get(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	held, _ := kept.Get(t.Context()) // its error has been reported
	return held
}
