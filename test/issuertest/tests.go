package issuertest

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Token is one that is kept.
type Token = cloud.Kept[secret.Value]

// SurvivesAnOutage holds that a token is fetched again before it ends, and that an outage
// meanwhile, of which a status tells, is not noticed. The issuer has given none so far.
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
	i.Fail(func(n int) int { return []int{http.StatusServiceUnavailable, 0}[n%2] }) // it flaps
	await.That(t, "a token after the outage", func() bool {
		held, err := token.Get(t.Context())
		return err == nil && time.Until(held.Expires) > 30*time.Minute
	})
}

// IsAskedOnce holds that all who need a token of an issuer that is slow wait for one question.
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
