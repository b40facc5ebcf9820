package cloud_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer gives numbers that count for an hour.
type issuer struct {
	mu   sync.Mutex
	at   []time.Time
	down bool
	life time.Duration // 0: what it gives does not end
	// until is when it ends, rather than after life; zero where that counts.
	until time.Time
}

func (i *issuer) fetch(context.Context) (int, time.Time, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.at = append(i.at, time.Now())
	if i.down {
		return 0, time.Time{}, errors.New("down")
	}
	if !i.until.IsZero() {
		return len(i.at), i.until, nil
	}
	if i.life == 0 {
		return len(i.at), time.Time{}, nil
	}
	return len(i.at), time.Now().Add(i.life), nil
}

func (i *issuer) set(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) asked() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.at
}

func TestAValueIsFetchedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int64
		k := cloud.Keep(func(ctx context.Context) (string, time.Time, error) {
			fetched.Add(1)
			select {
			case <-time.After(3 * time.Second): // a slow issuer
				return "a", time.Now().Add(time.Hour), nil
			case <-ctx.Done():
				return "", time.Time{}, ctx.Err()
			}
		}, cloud.KeptOptions{})
		defer k.Close()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if held, err := k.Get(t.Context()); err != nil || held.Value != "a" {
					t.Errorf("got %v, %v", held, err)
				}
			})
		}
		all.Wait()
		if n := fetched.Load(); n != 1 {
			t.Errorf("it was fetched %d times", n)
		}
	})
}

func TestAValueIsReplacedAheadAndSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		k := cloud.Keep(i.fetch, cloud.KeptOptions{})
		defer k.Close()
		first, err := k.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i.set(true)
		time.Sleep(59 * time.Minute) //nolint:forbidigo // synctest's time
		if held, err := k.Get(t.Context()); err != nil || held.Value != first.Value {
			t.Errorf("in the outage it gives %v, %v", held, err)
		}
		if n := len(i.asked()); n < 5 || n > 60 {
			t.Errorf("in the outage it was asked %d times", n)
		}
		if ahead := first.Expires.Sub(i.asked()[1]); ahead < 5*time.Minute || ahead > 11*time.Minute {
			t.Errorf("the second one was fetched %v ahead", ahead)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // synctest's time
		if held, err := k.Get(t.Context()); err == nil {
			t.Errorf("after its end it gives %v", held)
		}
		i.set(false)
		time.Sleep(time.Minute) //nolint:forbidigo // synctest's time
		if held, err := k.Get(t.Context()); err != nil || held.Value == first.Value {
			t.Errorf("after the outage it gives %v, %v", held, err)
		}
	})
}

// What says that it counts for ages is looked at each day all the same: whoever gave it may
// have taken it back.
func TestAValueIsReplacedWithinADayHoweverLongItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
		k := cloud.Keep(i.fetch, cloud.KeptOptions{})
		defer k.Close()
		held, err := k.Get(t.Context())
		if err != nil || held.Expires != i.until {
			t.Fatalf("got %+v, %v", held, err)
		}
		time.Sleep(7 * 24 * time.Hour) //nolint:forbidigo // synctest's time
		synctest.Wait()
		if n := len(i.asked()); n < 7 || n > 9 {
			t.Errorf("in a week it was fetched %d times", n)
		}
	})
}

func TestWhenATokenSaysThatItEnds(t *testing.T) {
	for claims, want := range map[string]string{
		`{"exp":1800000000}`: "2027-01-15T08:00:00Z", `{"exp":1800000000.9}`: "2027-01-15T08:00:00Z",
		`{"exp":253402300799}`: "9999-12-31T23:59:59Z", `{"exp":1e300}`: "9999-12-31T23:59:59Z",
		`{"exp":0}`: "", `{"exp":-1}`: "", `{}`: "", `{"exp":"1800000000"}`: "", `{"exp":1e999}`: "",
	} {
		at, err := cloud.ExpiryOf("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln")
		if (err == nil) != (want != "") || err == nil && at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", claims, at, err)
		}
	}
}

func TestTokensAreWhatAFieldMayHave(t *testing.T) {
	for text, right := range map[string]bool{
		"ya29.a0Af_B-y~+/==": true, "eyJhbGciOiJSUzI1NiJ9.e30.c2ln": true,
		"": false, "a b": false, "a\r\nX-Admin: yes": false, "a\n": false, "a\x00": false, "a\x7f": false, "tökén": false,
	} {
		err := cloud.CheckToken(text)
		if (err == nil) != right || err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWithoutAValueTheErrorIsToldAtOnceAndNotAskedForAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{down: true}
		k := cloud.Keep(i.fetch, cloud.KeptOptions{})
		defer k.Close()
		for range 1000 {
			if _, err := k.Get(t.Context()); err == nil {
				t.Fatal("no error")
			}
		}
		if n := len(i.asked()); n > 2 {
			t.Errorf("it was asked %d times", n)
		}
	})
}

func TestARefusedValueIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		k := cloud.Keep(i.fetch, cloud.KeptOptions{})
		defer k.Close()
		held, err := k.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if k.Refused(t.Context(), held) {
			t.Error("it was fetched just now, and would be fetched again")
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // synctest's time
		if !k.Refused(t.Context(), held) {
			t.Error("it is not fetched again")
		}
		next, err := k.Get(t.Context())
		if err != nil || next.Value == held.Value {
			t.Errorf("got %v, %v", next, err)
		}
		if !k.Refused(t.Context(), held) {
			t.Error("there is another one, which would help")
		}
	})
}

// A refusal may be a mistake of whoever refuses: nobody loses what still counts by it.
func TestARefusedValueIsKeptWhereThereIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		k := cloud.Keep(i.fetch, cloud.KeptOptions{})
		defer k.Close()
		held, err := k.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // synctest's time
		i.set(true)
		for range 3 {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if k.Refused(t.Context(), held) {
						t.Error("there is no other one, yet another try is promised to help")
					}
				})
			}
			all.Wait()
			if got, err := k.Get(t.Context()); err != nil || got.Value != held.Value {
				t.Errorf("what still counts is gone: %v, %v", got, err)
			}
		}
		if n := len(i.asked()); n != 2 {
			t.Errorf("300 refusals asked the issuer %d times beside the first", n-1)
		}
	})
}

// While another value is fetched, who was not refused goes on with the one that is there.
func TestARefusalHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := atomic.Bool{}
		fetched := atomic.Int64{}
		k := cloud.Keep(func(context.Context) (int64, time.Time, error) {
			if slow.Load() {
				time.Sleep(5 * time.Second) //nolint:forbidigo // synctest's time
			}
			return fetched.Add(1), time.Now().Add(time.Hour), nil
		}, cloud.KeptOptions{})
		defer k.Close()
		held, err := k.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // synctest's time
		slow.Store(true)
		var refused sync.WaitGroup
		for range 50 {
			refused.Go(func() {
				if !k.Refused(t.Context(), held) {
					t.Error("it is not replaced")
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		if got, err := k.Get(t.Context()); err != nil || got.Value != held.Value || time.Since(begin) != 0 {
			t.Errorf("got %v, %v after %v", got, err, time.Since(begin))
		}
		left, cancel := context.WithCancel(t.Context())
		cancel()
		if k.Refused(left, held) {
			t.Error("who has left waits")
		}
		refused.Wait()
		if got, err := k.Get(t.Context()); err != nil || got.Value != 2 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// Twenty gateways that start at once ask neither at once, nor when what they have ends.
func TestTwentyGatewaysDoNotStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		var gateways []*cloud.Kept[int]
		for range 20 {
			gateways = append(gateways, cloud.Keep(i.fetch, cloud.KeptOptions{}))
		}
		begin := time.Now()
		time.Sleep(4 * time.Hour) //nolint:forbidigo // synctest's time
		starts, perSecond, perTenth := 0, map[int]int{}, map[int]int{}
		for _, at := range i.asked() {
			if at.Sub(begin) <= 2*time.Second {
				starts++
				perTenth[int(at.Sub(begin)/(100*time.Millisecond))]++
				continue
			}
			perSecond[int(at.Sub(begin)/time.Second)]++
		}
		if starts != 20 || len(perTenth) < 6 { // of 20 tenths
			t.Errorf("%d have begun, within %d tenths of a second", starts, len(perTenth))
		}
		most := 0
		for _, n := range perSecond {
			most = max(most, n)
		}
		for _, k := range gateways {
			k.Close()
		}
		if most > 6 || len(perSecond) < 50 { // of 80; chance would have to be very unkind
			t.Errorf("%d asked in one second, in %d seconds in all", most, len(perSecond))
		}
	})
}

// Nor do they while it is down and requests come all the time, nor when it is back.
func TestTwentyGatewaysLetAnIssuerRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour, down: true}
		var gateways []*cloud.Kept[int]
		for range 20 {
			gateways = append(gateways, cloud.Keep(i.fetch, cloud.KeptOptions{}))
		}
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			if time.Since(begin) > 9*time.Minute {
				i.set(false)
			}
			for _, k := range gateways {
				_, _ = k.Get(t.Context()) // as requests do, each second
			}
			time.Sleep(time.Second) //nolint:forbidigo // synctest's time
		}
		minutes := map[int]int{}
		for _, at := range i.asked() {
			minutes[int(at.Sub(begin)/time.Minute)]++
		}
		for minute, n := range minutes {
			if most := 20 * 30; n > most {
				t.Errorf("in minute %d it was asked %d times by 20, more than every two seconds", minute, n)
			}
		}
		for _, k := range gateways {
			if _, err := k.Get(t.Context()); err != nil {
				t.Error(err)
			}
			k.Close()
		}
	})
}

func TestClosingLetsGoOfWhoWaits(t *testing.T) {
	k := cloud.Keep(func(ctx context.Context) (int, time.Time, error) {
		<-ctx.Done()
		return 0, time.Time{}, ctx.Err()
	}, cloud.KeptOptions{Timeout: time.Hour})
	got := make(chan error)
	go func() {
		_, err := k.Get(t.Context())
		got <- err
	}()
	k.Close()
	if err := <-got; err == nil {
		t.Error("no error")
	}
}

func TestAPoolLetsInAsManyAsMayAndQueuesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cloud.NewPool(cloud.PoolBounds{Max: 2, Size: 1, Wait: time.Second})
		for range 2 {
			if err := p.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		order := make(chan error, 1)
		go func() { order <- p.Acquire(t.Context()) }()
		synctest.Wait()
		if f := fault.From(p.Acquire(t.Context())); f == nil || f.Code != fault.FunctionBusy.Code || f.RetryAfter == 0 {
			t.Errorf("one more than the queue has room for gets %v", f)
		}
		p.Release()
		if err := <-order; err != nil {
			t.Error(err)
		}
		if f := fault.From(p.Acquire(t.Context())); f == nil || f.Code != fault.FunctionQueueTime.Code {
			t.Errorf("who waits in vain gets %v", f)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left gets %v", err)
		}
		if s := p.Status(); s.Busy != 2 || s.Waiting != 0 {
			t.Errorf("it is %+v", s)
		}
	})
}

func TestAPoolGivesWayToAThrottleAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cloud.NewPool(cloud.PoolBounds{Max: 10})
		for range 6 {
			if err := p.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		p.Throttled()
		if s := p.Status(); s.Limit != 5 {
			t.Errorf("it is %+v", s)
		}
		for range 5 + 6 + 7 + 8 + 9 {
			p.Served()
		}
		if s := p.Status(); s.Limit != 10 {
			t.Errorf("it is %+v", s)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		p.Throttled()           // nothing is under way as the pool sees it but six
		learned := p.Status().Limit
		if p.Tune(cloud.PoolBounds{Max: 20}); p.Status().Limit != learned {
			t.Errorf("a change of the config forgets what a throttle has taught: it is %+v", p.Status())
		}
		if p.Tune(cloud.PoolBounds{Max: 3}); p.Status().Limit != 3 {
			t.Errorf("it is %+v", p.Status())
		}
		if p.Tune(cloud.PoolBounds{Max: 8}); p.Status().Limit != learned {
			t.Errorf("a bound that was lower for a while makes it forget what a throttle has taught: it is %+v", p.Status())
		}
		for range 5 + 6 + 7 {
			p.Served()
		}
		p.Tune(cloud.PoolBounds{Max: 3})
		if p.Tune(cloud.PoolBounds{Max: 9}); p.Status().Limit != 9 {
			t.Errorf("what no throttle has made smaller does not grow: it is %+v", p.Status())
		}
		p.Tune(cloud.PoolBounds{Max: 1})
		for range 100 {
			p.Throttled()
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		}
		if s := p.Status(); s.Limit != 1 {
			t.Errorf("it is %+v", s)
		}
	})
}

// Others call there too: what is refused while few calls are under way says little.
func TestOneThrottleTakesHalfOfAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := cloud.NewPool(cloud.PoolBounds{Max: 1000})
		if err := p.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.Throttled() // one burst
		}
		if s := p.Status(); s.Limit != 500 {
			t.Errorf("it is %+v", s)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		if p.Throttled(); p.Status().Limit != 250 {
			t.Errorf("it is %+v", p.Status())
		}
	})
}

func TestSecondsAreBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "7": 7 * time.Second, "10000000000": time.Hour, "99999999999999999999999": time.Hour,
	} {
		if got := cloud.Seconds(text); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestRetriesAreAShare(t *testing.T) {
	r := cloud.NewRetries()
	spent := 0
	for range 1000 {
		if r.Spend() {
			spent++
		}
	}
	for range 100 {
		r.Served()
	}
	for r.Spend() {
		spent++
	}
	if spent < 18 || spent > 20 {
		t.Errorf("%d retries", spent)
	}
}
