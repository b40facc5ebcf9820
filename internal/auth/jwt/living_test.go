package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// server is an issuer's key server whose behaviour a test changes. It lives in the
// bubble's time.
type server struct {
	mu     sync.Mutex
	keys   []byte
	maxAge time.Duration
	err    error
	delay  time.Duration
	asked  atomic.Int64
}

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *server) fetch(ctx context.Context) (fetched, error) {
	s.asked.Add(1)
	s.mu.Lock()
	keys, maxAge, err, delay := s.keys, s.maxAge, s.err, s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return fetched{}, ctx.Err()
	}
	if err != nil {
		return fetched{}, err
	}
	set, _, err := parseSet(keys, publicAlgorithms())
	return fetched{set, maxAge}, err
}

// bubble runs a test of a living set in time of its own.
func bubble(t *testing.T, s *server, test func(t *testing.T, v *verifier)) {
	t.Helper()
	issued() // outside, for it takes long
	synctest.Test(t, func(t *testing.T) {
		l := start(sourced{fetch: s.fetch, stale: 24 * time.Hour, log: slog.New(slog.DiscardHandler)})
		defer l.close(context.Background())
		synctest.Wait()
		test(t, &verifier{
			headers: newHeaders(), policy: policy{way: "customer", issuer: issuer, audience: []string{"shop"}, types: usualTypes(), allowed: publicAlgorithms(), leeway: time.Minute, subject: "sub"},
			places: []auth.Place{auth.AuthorizationOf("Bearer")}, live: l, seen: auth.NewMemory[auth.Digest, seen](100),
		})
	})
}

// outcome of a token: "passes", or the code of what is answered instead.
func outcome(v *verifier, token string) string {
	_, err := v.recognise(request(token))
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	if refused, ok := errors.AsType[*auth.RefusedError](err); ok {
		return refused.Code
	}
	if err != nil {
		return err.Error()
	}
	return "passes"
}

func want(t *testing.T, v *verifier, token, want string) {
	t.Helper()
	if got := outcome(v, token); got != want {
		t.Errorf("at %s: %s, not %s", time.Now().UTC().Format(time.TimeOnly), got, want)
	}
}

var errDown = errors.New("connection refused")

func TestKeysThatWereNeverFetchedDenyAndSaySo(t *testing.T) {
	s := &server{err: errDown}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		want(t, v, good("rsa", "RS256"), "auth-unavailable")
		// What needs no keys to be refused is refused.
		want(t, v, good("rsa", "RS256", "iss", "https://other.example.com/"), "invalid_token")
		want(t, v, good("rsa", "RS256", "exp", time.Now().Unix()-3600), "invalid_token")
		want(t, v, "nonsense", "invalid_token")
		s.set(func() { s.err, s.keys = nil, allIssued() })
		time.Sleep(lastRetry) //nolint:forbidigo // the bubble's time
		want(t, v, good("rsa", "RS256"), "passes")
	})
}

// TestOldKeysCountWhileTheIssuerIsDownAndNoLonger holds the documented bound, for tokens
// that are remembered too.
func TestOldKeysCountWhileTheIssuerIsDownAndNoLonger(t *testing.T) {
	s := &server{keys: allIssued()}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		remembered := good("rsa", "RS256", "exp", time.Now().Add(100*time.Hour).Unix())
		want(t, v, remembered, "passes")
		s.set(func() { s.err = errDown })
		for range 23 {
			time.Sleep(time.Hour) //nolint:forbidigo // the bubble's time
			want(t, v, good("ed", "EdDSA"), "passes")
			want(t, v, remembered, "passes")
		}
		asked := s.asked.Load()
		time.Sleep(time.Hour + time.Minute) //nolint:forbidigo // the bubble's time
		want(t, v, good("ed", "EdDSA"), "auth-unavailable")
		want(t, v, remembered, "auth-unavailable")
		if n := s.asked.Load() - asked; n < 50 || n > 100 {
			t.Errorf("in an hour without an answer the issuer was asked %d times", n)
		}
		s.set(func() { s.err = nil })
		time.Sleep(lastRetry) //nolint:forbidigo // the bubble's time
		want(t, v, remembered, "passes")
	})
}

func TestAWithdrawnKeyTakesItsTokensAlong(t *testing.T) {
	s := &server{keys: allIssued(), maxAge: 5 * time.Minute}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		byRSA, byEd := good("rsa", "RS256"), good("ed", "EdDSA")
		want(t, v, byRSA, "passes")
		want(t, v, byEd, "passes")
		s.set(func() { s.keys = set(issued()["ed"]) })
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the bubble's time
		want(t, v, byRSA, "invalid_token")
		want(t, v, byEd, "passes")
	})
}

// TestAKeyThatStandsTwiceIsWithdrawnOnce holds the same for a set that says a key twice.
func TestAKeyThatStandsTwiceIsWithdrawnOnce(t *testing.T) {
	s := &server{keys: set(issued()["rsa"], issued()["rsa"], issued()["ed"])}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		token := good("rsa", "RS256", "exp", time.Now().Add(24*time.Hour).Unix())
		want(t, v, token, "passes")
		time.Sleep(usual) //nolint:forbidigo // the bubble's time
		want(t, v, token, "passes")
		s.set(func() { s.keys = set(issued()["ed"]) })
		time.Sleep(usual) //nolint:forbidigo // the bubble's time
		want(t, v, token, "invalid_token")
	})
}

// TestANewKeyUnderAnOldKidIsAnother holds that tokens of the key before do not go on.
func TestANewKeyUnderAnOldKidIsAnother(t *testing.T) {
	old := issued()["p256"]
	s := &server{keys: set(old)}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		token := good("p256", "ES256")
		want(t, v, token, "passes")
		next := signer{KID: "p256", Private: stranger()["p256"]}
		s.set(func() { s.keys = set(next) })
		time.Sleep(usual) //nolint:forbidigo // the bubble's time
		want(t, v, token, "invalid_token")
		want(t, v, sealed(encode(map[string]any{"alg": "ES256", "kid": "p256"}), claims(), by("ES256", next.Private)), "passes")
	})
}

// TestANewKeyIsFoundWhenItsFirstTokenComes holds that a rotation locks nobody out.
func TestANewKeyIsFoundWhenItsFirstTokenComes(t *testing.T) {
	s := &server{keys: set(issued()["rsa"]), delay: 300 * time.Millisecond}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's time
		want(t, v, good("rsa", "RS256"), "passes")
		s.set(func() { s.keys = allIssued() })
		before := s.asked.Load()
		var several sync.WaitGroup
		for range 20 {
			several.Go(func() { want(t, v, good("ed", "EdDSA"), "passes") })
		}
		several.Wait()
		if n := s.asked.Load() - before; n != 1 {
			t.Errorf("twenty requests made %d fetches", n)
		}
	})
}

// TestMadeUpKidsCauseFewFetches holds the bound, and that meanwhile a new key is found
// within it.
func TestMadeUpKidsCauseFewFetches(t *testing.T) {
	s := &server{keys: set(issued()["rsa"])}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		forged := sealed(encode(map[string]any{"alg": "RS256", "kid": "made up"}), claims(), by("RS256", stranger()["rsa"]))
		before := s.asked.Load()
		for range 1000 {
			want(t, v, forged, "invalid_token")
			time.Sleep(60 * time.Millisecond) //nolint:forbidigo // the bubble's time
		}
		if n := s.asked.Load() - before; n > 7 {
			t.Errorf("a thousand made-up kids in a minute caused %d fetches", n)
		}
		s.set(func() { s.keys = allIssued() })
		began := time.Now()
		for outcome(v, good("ed", "EdDSA")) != "passes" {
			_ = outcome(v, forged)
			if time.Sleep(time.Second); time.Since(began) > 2*unknownKeys { //nolint:forbidigo // the bubble's time
				t.Fatal("a new key is not found while others make kids up")
			}
		}
		if took := time.Since(began); took > unknownKeys+time.Second {
			t.Errorf("it took %s to find a new key", took)
		}
	})
}

// TestASlowIssuerHoldsNobodyForLong holds the wait of a request whose key is unknown, and
// that what can be checked is not delayed at all.
func TestASlowIssuerHoldsNobodyForLong(t *testing.T) {
	s := &server{keys: set(issued()["rsa"])}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's time
		s.set(func() { s.delay, s.keys = time.Hour, allIssued() })
		began := time.Now()
		want(t, v, good("ed", "EdDSA"), "auth-unavailable") // it may be right: nobody can tell
		if took := time.Since(began); took != longestWait {
			t.Errorf("an unknown key held its request for %s", took)
		}
		began = time.Now()
		want(t, v, good("rsa", "RS256"), "passes")
		if took := time.Since(began); took > 0 {
			t.Errorf("a known key held its request for %s", took)
		}
		var several sync.WaitGroup
		began = time.Now()
		for range 3 * mostWaiting {
			several.Go(func() { want(t, v, good("ed", "EdDSA"), "auth-unavailable") })
		}
		several.Wait()
		if took := time.Since(began); took > longestWait {
			t.Errorf("many unknown keys were held for %s", took)
		}
		time.Sleep(fetchTime) //nolint:forbidigo // the bubble's time; the fetch is given up
		s.set(func() { s.delay = 0 })
		time.Sleep(lastRetry) //nolint:forbidigo // the bubble's time
		want(t, v, good("ed", "EdDSA"), "passes")
	})
}

// TestALyingIssuerChangesNothing holds that nonsense in place of keys is as if nothing had come.
func TestALyingIssuerChangesNothing(t *testing.T) {
	s := &server{keys: allIssued()}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		for _, lie := range []string{"", "<html>", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"}]}`, strings.Repeat("[", 100_000)} {
			s.set(func() { s.keys = []byte(lie) })
			time.Sleep(usual + lastRetry) //nolint:forbidigo // the bubble's time
			want(t, v, good("rsa", "RS256"), "passes")
			want(t, v, sealed(encode(map[string]any{"alg": "HS256"}), claims(), byHMAC([]byte{0, 0, 0}, sha256.New)), "invalid_token")
		}
	})
}

func TestWhenAnIssuerIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		failures    int
		maxAge      time.Duration
		least, most time.Duration
	}{
		{0, 0, 8 * time.Minute, usual}, {0, 5 * time.Second, 48 * time.Second, soonest}, {0, time.Nanosecond, 48 * time.Second, soonest},
		{0, 20 * time.Minute, 16 * time.Minute, 20 * time.Minute}, {0, 24 * time.Hour, 48 * time.Minute, rarest},
		{1, 0, 800 * time.Millisecond, time.Second}, {4, 0, 6400 * time.Millisecond, 8 * time.Second}, {7, 0, 48 * time.Second, lastRetry}, {1000, time.Hour, 48 * time.Second, lastRetry},
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := pauseAfter(c.failures, c.maxAge)
			if seen[d] = true; d < c.least || d > c.most {
				t.Errorf("after %d failures and max-age %s the pause is %s", c.failures, c.maxAge, d)
			}
		}
		if len(seen) < 10 {
			t.Errorf("after %d failures and max-age %s there is no chance in the pause", c.failures, c.maxAge)
		}
	}
}

func TestRememberedTokensEnd(t *testing.T) {
	s := &server{keys: allIssued()}
	bubble(t, s, func(t *testing.T, v *verifier) {
		t.Helper()
		token := good("rsa", "RS256", "exp", time.Now().Unix()+120)
		want(t, v, token, "passes")
		time.Sleep(179 * time.Second) //nolint:forbidigo // the bubble's time
		want(t, v, token, "passes")
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		want(t, v, token, "invalid_token")
		if n := v.seen.Len(); n > 0 {
			t.Errorf("%d tokens are still remembered", n)
		}
	})
}
