package health

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world stands in for endpoints, by address.
type world struct {
	mu   sync.Mutex
	down map[string]error
	took time.Duration
	asks map[string][]time.Time
	open int
	most int
}

func newWorld() *world { return &world{down: map[string]error{}, asks: map[string][]time.Time{}} }

func (*world) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("only connections are made")
}

func (w *world) Connect(ctx context.Context, host string) error {
	w.mu.Lock()
	w.asks[host] = append(w.asks[host], time.Now())
	w.open++
	w.most = max(w.most, w.open)
	took, err := w.took, w.down[host]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open--
	}()
	if took == 0 {
		return err
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) set(host string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[host] = err
}

func (w *world) asked(host string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asks[host]
}

func tcp() *Check {
	c := &Check{Health: config.DefaultHealth()}
	c.Check = config.CheckTCP
	return c
}

// told counts what a follower is told.
type told struct {
	mu sync.Mutex
	n  int
}

func (t *told) tell() { t.mu.Lock(); defer t.mu.Unlock(); t.n++ }

func (t *told) times() int { t.mu.Lock(); defer t.mu.Unlock(); return t.n }

var errDown = errors.New("down")

func TestAnEndpointIsFollowedThroughItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, checkers := newWorld(), NewCheckers(0, nil)
		defer checkers.Close()
		var heard told
		f := checkers.Follow(Target{Address: "a:1"}, tcp(), "", w, heard.tell)
		if v := f.Verdict(); v.State != Starting || !v.Asked.IsZero() {
			t.Errorf("before the first answer: %+v", v)
		}
		wait := func(d time.Duration, want State, times int, why string) {
			t.Helper()
			time.Sleep(d) //nolint:forbidigo // virtual
			synctest.Wait()
			if v := f.Verdict(); v.State != want || heard.times() != times || v.Why != why {
				t.Errorf("after %s: %s (%q), told %d times; want %s (%q), %d", d, v.State, v.Why, heard.times(), want, why, times)
			}
		}
		wait(0, Healthy, 1, "")
		wait(time.Minute, Healthy, 1, "")
		w.set("a:1", errDown)
		wait(8*time.Second, Unhealthy, 2, "down")
		wait(time.Minute, Unhealthy, 2, "down")
		w.set("a:1", nil)
		wait(8*time.Second, Healthy, 3, "")
		f.Stop()
		before := len(w.asked("a:1"))
		wait(time.Minute, Healthy, 3, "")
		if after := len(w.asked("a:1")); after != before {
			t.Errorf("asked %d times after nobody wanted to know", after-before)
		}
	})
}

// Who doubts has the target asked anew. What was asked before may have been answered before the doubt arose.
func TestADoubtIsAnsweredByNewQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, checkers := newWorld(), NewCheckers(0, nil)
		defer checkers.Close()
		var heard told
		f := checkers.Follow(Target{Address: "a:1"}, tcp(), "", w, heard.tell)
		time.Sleep(time.Second) //nolint:forbidigo // virtual: the next question is seconds away
		for _, asking := range []bool{false, true} {
			if w.mu.Lock(); asking {
				w.took = time.Second
			}
			w.mu.Unlock()
			if asking {
				for before := len(w.asked("a:1")); len(w.asked("a:1")) == before; {
					time.Sleep(time.Millisecond) //nolint:forbidigo // virtual
				}
			}
			doubted, times, asked := time.Now(), heard.times(), len(w.asked("a:1"))
			f.Doubt()
			for heard.times() == times {
				time.Sleep(time.Millisecond) //nolint:forbidigo // virtual
			}
			v, questions := f.Verdict(), w.asked("a:1")[asked:]
			if took := v.Assured.Sub(doubted); v.State != Healthy || len(questions) != 2 || took > 5*time.Second {
				t.Errorf("asking %v: %+v, after %s and %d questions", asking, v, took, len(questions))
			}
			if first := questions[0].Sub(doubted); !asking && first > 0 {
				t.Errorf("it was asked after %s", first)
			}
		}
	})
}

func TestPausesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, checkers := newWorld(), NewCheckers(0, nil)
		defer checkers.Close()
		checkers.Follow(Target{Address: "a:1"}, tcp(), "", w, func() {})
		time.Sleep(10 * time.Minute) //nolint:forbidigo // virtual
		asked := w.asked("a:1")
		different := map[time.Duration]bool{}
		for i := 2; i < len(asked); i++ {
			pause := asked[i].Sub(asked[i-1])
			different[pause] = true
			if pause < 4*time.Second || pause > 6*time.Second {
				t.Errorf("a pause of %s", pause)
			}
		}
		if len(different) < 10 {
			t.Errorf("%d different pauses of %d", len(different), len(asked))
		}
	})
}

func TestWhoAsksTheSameSharesAChecker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, checkers := newWorld(), NewCheckers(0, nil)
		defer checkers.Close()
		at := Target{Address: "a:1"}
		w.took = time.Second // who follows when the answer is there is not told of it: both come before
		var one, two told
		first := checkers.Follow(at, tcp(), "plain", w, one.tell)
		second := checkers.Follow(at, tcp(), "plain", w, two.tell)
		time.Sleep(2 * time.Second) //nolint:forbidigo // virtual
		if n := len(w.asked("a:1")); n != 1 || one.times() != 1 || two.times() != 1 {
			t.Errorf("asked %d times, told %d and %d times", n, one.times(), two.times())
		}
		late := checkers.Follow(at, tcp(), "plain", w, func() {})
		if late.Verdict().State != Healthy {
			t.Error("who comes later is told nothing of what is known")
		}
		for _, f := range []*Following{first, first, late} { // once more changes nothing
			f.Stop()
		}
		w.set("a:1", errDown)
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual
		if one.times() != 1 || two.times() != 2 {
			t.Errorf("told %d and %d times", one.times(), two.times())
		}
		second.Stop()

		// Another instance at the address, another question and another way are others.
		other := tcp()
		other.Port = 2
		_ = []*Following{
			checkers.Follow(Target{ID: "x", Address: "b:1"}, tcp(), "plain", w, func() {}), checkers.Follow(Target{ID: "y", Address: "b:1"}, tcp(), "plain", w, func() {}),
			checkers.Follow(Target{ID: "y", Address: "b:1"}, tcp(), "secure", w, func() {}), checkers.Follow(Target{ID: "y", Address: "b:1"}, other, "plain", w, func() {}),
		}
		synctest.Wait()
		for host, want := range map[string]int{
			transport.Host("b:1", "", "", "x"): 1, transport.Host("b:1", "", "", "y"): 2, transport.Host("b:2", "", "", "y"): 1,
		} {
			if n := len(w.asked(host)); n != want {
				t.Errorf("%s was asked %d times, want %d", host, n, want)
			}
		}
	})
}

func TestNoMoreQuestionsAreOpenThanMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := telemetry.New("test")
		w, checkers := newWorld(), NewCheckers(8, m.Checks())
		defer checkers.Close()
		w.took = time.Second
		var following []*Following
		for i := range 100 {
			following = append(following, checkers.Follow(Target{Address: string(rune('a'+i)) + ":1"}, tcp(), "", w, func() {}))
		}
		time.Sleep(14 * time.Second) //nolint:forbidigo // virtual
		for i, f := range following {
			if f.Verdict().State != Healthy {
				t.Errorf("%d: %+v", i, f.Verdict())
			}
		}
		w.mu.Lock()
		most := w.most
		w.mu.Unlock()
		if most != 8 {
			t.Errorf("%d were open at once", most)
		}
		if n := counted(t, m, "weir_health_checks_late_total"); n == 0 {
			t.Error("none was late")
		}
	})
}

// counted gives the sum of a counter.
func counted(t *testing.T, m *telemetry.Metrics, name string) (sum float64) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, one := range f.GetMetric() {
				sum += one.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestAnAnswerHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, checkers := newWorld(), NewCheckers(0, nil)
		defer checkers.Close()
		w.took = time.Hour
		f := checkers.Follow(Target{Address: "a:1"}, tcp(), "", w, func() {})
		time.Sleep(8 * time.Second) //nolint:forbidigo // virtual
		if v := f.Verdict(); v.State != Unhealthy || v.Served || v.Why != "no answer within 2s" {
			t.Errorf("%+v", v)
		}
		f.Stop() // while it is asked
		synctest.Wait()
		if w.mu.Lock(); w.open != 0 {
			t.Error("a question is open that nobody wants answered")
		}
		w.mu.Unlock()
	})
}
