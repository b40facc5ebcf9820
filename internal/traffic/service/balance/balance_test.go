package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// ways returns all ways to choose, with the settings that they need.
func ways() map[Way]Settings {
	return map[Way]Settings{
		PeakEWMA: {Way: PeakEWMA}, LeastRequests: {Way: LeastRequests}, RoundRobin: {Way: RoundRobin}, Random: {Way: Random}, Hash: {Way: Hash, Bound: 1.25},
	}
}

// endpoints returns one endpoint for each weight, each with its own state.
func endpoints(weights ...int) []Endpoint {
	all := make([]Endpoint, len(weights))
	for i, w := range weights {
		all[i] = Endpoint{Address: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), Weight: w, State: new(State)}
	}
	return all
}

func equal(n int) []int {
	weights := make([]int, n)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

// chance makes Asks with seeded random numbers, each with another key.
type chance struct{ *rand.Rand }

func seeded() chance { return chance{rand.New(rand.NewPCG(1, 2))} }

func (c chance) ask() Ask {
	return Ask{Now: 1, Random: c.Uint64(), Key: c.Uint64(), Keyed: true, Sticks: -1}
}

// idle takes an endpoint and releases it at once.
func idle(t testing.TB, s *Set, a Ask) int {
	t.Helper()
	i := s.Take(a)
	if i < 0 {
		t.Fatal("nobody may be asked")
	}
	s.pool.Done(s.all[i].State)
	return i
}

func TestAnIdleServiceSharesByWeight(t *testing.T) {
	const picks = 20_000
	for way, settings := range ways() {
		for _, weights := range [][]int{{1}, {1, 1}, {1, 1, 1, 1}, {1, 99}, {3, 0, 1}, {1, 2, 3, 4}, {5, 1, 1}, equal(40), append(equal(40), 40)} {
			if settings.Bound = 0; way == Hash && len(weights) < 40 {
				weights = scaled(weights, 200) // a hash shares evenly only among many points
			}
			s, c := New(NewPool(), settings, endpoints(weights...)), seeded()
			sum := 0
			for _, w := range weights {
				sum += w
			}
			counts := make([]int, len(weights))
			for range picks {
				counts[idle(t, s, c.ask())]++
			}
			for i, w := range weights {
				want := picks * float64(w) / float64(sum)
				tolerance := 6*math.Sqrt(want) + 1
				if way == Hash {
					tolerance += 0.3 * want
				}
				if off := math.Abs(float64(counts[i]) - want); off > tolerance || w == 0 && counts[i] > 0 {
					t.Errorf("%s, weights %v: endpoint %d got %d picks, not about %v", way, weights, i, counts[i], want)
				}
			}
		}
	}
}

func scaled(weights []int, by int) []int {
	list := slices.Clone(weights)
	for i := range list {
		list[i] *= by
	}
	return append(list, 1)[:len(list)]
}

// A canary of 1 % gets its 1 %, although it is idle nearly always and the others never are.
func TestSharesAreKeptUnderLoad(t *testing.T) {
	for _, way := range []Way{PeakEWMA, LeastRequests, RoundRobin, Random} {
		s, c := New(NewPool(), Settings{Way: way}, endpoints(1, 33, 33, 33)), seeded()
		const picks = 20_000
		var under []int // endpoints of requests that are under way, oldest first
		canary := 0
		for range picks {
			i := s.Take(c.ask())
			if i == 0 {
				canary++
			}
			if under = append(under, i); len(under) > 20 {
				s.pool.Done(s.all[under[0]].State)
				under = under[1:]
			}
		}
		if canary < picks/100*7/10 || canary > picks/100*13/10 {
			t.Errorf("%s: a canary of 1 %% got %d of %d", way, canary, picks)
		}
	}
}

// Endpoints whose requests take long get fewer of them: no endpoint ever has many more requests than the others,
// relative to its weight.
func TestLoadIsLevel(t *testing.T) {
	for _, way := range []Way{PeakEWMA, LeastRequests} {
		for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1, 1}, {1, 3}, equal(32), equal(100)} {
			s, c := New(NewPool(), Settings{Way: way}, endpoints(weights...)), seeded()
			for range 10_000 {
				s.Take(c.ask())
			}
			least, most := math.Inf(1), 0.0
			for _, e := range s.all {
				load := float64(e.State.InFlight()) / float64(e.Weight)
				least, most = min(least, load), max(most, load)
			}
			if most > least*1.02+6 {
				t.Errorf("%s, weights %v: loads from %v to %v", way, weights, least, most)
			}
		}
	}
}

func TestNobodyIsAskedWhoMayNotBe(t *testing.T) {
	for way, settings := range ways() {
		for _, n := range []int{4, 100} {
			weights := equal(n)
			weights[2] = 0
			settings.InFlight = 3
			s, c := New(NewPool(), settings, endpoints(weights...)), seeded()
			tried := []string{s.all[0].Address, s.all[3].Address}
			for range 500 {
				a := c.ask()
				a.Tried = tried
				if i := idle(t, s, a); i == 2 || i == 0 || i == 3 {
					t.Fatalf("%s of %d: endpoint %d was asked", way, n, i)
				}
			}
			all := 0
			for ; s.Take(c.ask()) >= 0; all++ {
			}
			for i, e := range s.all {
				if got := e.State.InFlight(); got != 3 && i != 2 || i == 2 && got != 0 {
					t.Errorf("%s of %d: endpoint %d has %d requests", way, n, i, got)
				}
			}
			if got := s.pool.InFlight(); got != int64(all) {
				t.Errorf("%d in flight of %d that were taken", got, all)
			}
		}
		s := New(NewPool(), settings, endpoints(1, 1))
		a := seeded().ask()
		a.Tried = []string{s.all[0].Address, s.all[1].Address}
		if i := s.Take(a); i < 0 {
			t.Errorf("%s: nobody is asked where all were tried", way)
		}
		for _, weights := range [][]int{{}, {0, 0}} {
			if i := New(NewPool(), settings, endpoints(weights...)).Take(seeded().ask()); i >= 0 {
				t.Errorf("%s: endpoint %d has no weight", way, i)
			}
		}
	}
}

func TestRoundRobinIsEven(t *testing.T) {
	s, c := New(NewPool(), Settings{Way: RoundRobin}, endpoints(1, 1, 1)), seeded()
	first := idle(t, s, c.ask())
	for k := range 300 {
		if i := idle(t, s, c.ask()); i != (first+k+1)%3 {
			t.Fatalf("endpoint %d is out of its turn", i)
		}
	}
	s = New(NewPool(), Settings{Way: RoundRobin}, endpoints(5, 1, 1))
	counts := make([]float64, 3)
	for k := range 7000 {
		counts[idle(t, s, c.ask())]++
		for i, w := range []float64{5, 1, 1} {
			if off := math.Abs(counts[i] - w*float64(k+1)/7); off > 3.5 {
				t.Fatalf("after %d turns endpoint %d is off by %v", k+1, i, off)
			}
		}
	}
}

// moved counts the keys that lead to different endpoints in the two sets: those that moved between endpoints that are
// in both, and all.
func moved(t *testing.T, before, after *Set) (fromStaying, all int) {
	t.Helper()
	c := seeded()
	for range 10_000 {
		a := c.ask()
		was, is := before.all[idle(t, before, a)].Address, after.all[idle(t, after, a)].Address
		if was == is {
			continue
		}
		all++
		stays := slices.ContainsFunc(after.all, func(e Endpoint) bool { return e.Address == was })
		isNew := !slices.ContainsFunc(before.all, func(e Endpoint) bool { return e.Address == is })
		if stays && !isNew {
			fromStaying++
		}
	}
	return fromStaying, all
}

func TestAHashMovesNoMoreKeysThanItMust(t *testing.T) {
	settings := Settings{Way: Hash}
	for _, n := range []int{2, 3, 10, 40, 500} {
		pool, all := NewPool(), endpoints(equal(n+1)...)
		more, fewer := New(pool, settings, all), New(pool, settings, all[:n])
		for name, sets := range map[string][2]*Set{"grows": {fewer, more}, "shrinks": {more, fewer}} {
			needless, moves := moved(t, sets[0], sets[1])
			if fair := 10_000 / (n + 1); needless > 0 || moves > 3*fair/2+60 || moves == 0 {
				t.Errorf("%d %s by one: %d keys moved, about %d had to; %d between endpoints that stay", n, name, moves, fair, needless)
			}
		}
		other := slices.Clone(all)
		slices.Reverse(other)
		if _, moves := moved(t, more, New(pool, settings, other)); moves > 0 {
			t.Errorf("%d keys moved by another order of the list", moves)
		}
	}
}

// However unevenly the keys are distributed, no endpoint has more than its share times the bound in flight, and no
// more keys move elsewhere than need to.
func TestTheBoundOfAHashIsKept(t *testing.T) {
	for _, weights := range [][]int{equal(3), equal(20), {1, 2, 3, 4}, equal(100)} {
		s, c := New(NewPool(), Settings{Way: Hash, Bound: 1.25}, endpoints(weights...)), seeded()
		sum := 0.0
		for _, w := range weights {
			sum += float64(w)
		}
		var under []int
		for range 10_000 {
			a := c.ask()
			a.Key = mix(uint64(c.IntN(3))) // all requests have one of three keys
			i := s.Take(a)
			if i < 0 {
				t.Fatal("nobody may be asked")
			}
			under = append(under, i)
			if most := max(few, math.Ceil(1.25*float64(s.pool.InFlight())*float64(s.all[i].Weight)/sum)); float64(s.all[i].State.InFlight()) > most {
				t.Fatalf("weights %v: %d requests are at endpoint %d, at most %v may be", weights, s.all[i].State.InFlight(), i, most)
			}
			if len(under) > 1000 || len(under) > 0 && c.IntN(10) == 0 {
				k := c.IntN(len(under))
				s.pool.Done(s.all[under[k]].State)
				under = slices.Delete(under, k, k+1)
			}
		}
	}
}

func TestWhoHasNoKeyIsBalanced(t *testing.T) {
	s, c := New(NewPool(), Settings{Way: Hash, Bound: 1.25}, endpoints(equal(4)...)), seeded()
	for range 400 {
		a := c.ask()
		a.Key, a.Keyed = 7, false
		s.Take(a)
	}
	for i, e := range s.all {
		if n := e.State.InFlight(); n != 100 {
			t.Errorf("endpoint %d has %d of 400 requests", i, n)
		}
	}
}

func TestASlowEndpointGetsLess(t *testing.T) {
	for _, n := range []int{2, 10, 100} {
		pool := NewPool()
		s, c := New(pool, Settings{Way: PeakEWMA}, endpoints(equal(n)...)), seeded()
		now := int64(time.Hour)
		for _, e := range s.all {
			pool.Observe(e.State, now, 10*time.Millisecond, Answered)
		}
		pool.Observe(s.all[0].State, now, 100*time.Millisecond, Answered)
		count := func(now int64) (got int) {
			for range 1000 {
				a := c.ask()
				a.Now = now
				if idle(t, s, a) == 0 {
					got++
				}
			}
			return got
		}
		if got := count(now); got > 0 && n < 100 || got > 1 {
			t.Errorf("%d endpoints: the slow one got %d of 1000", n, got)
		}
		if got, fair := count(now+int64(time.Minute)), 1000/n; got < fair/2 {
			t.Errorf("%d endpoints: a minute later it got %d of 1000, and is never looked at again", n, got)
		}
	}
}

func TestAFailureCountsAsLatency(t *testing.T) {
	pool := NewPool()
	s, c := New(pool, Settings{Way: PeakEWMA}, endpoints(1, 1, 1)), seeded()
	const now = int64(time.Hour)
	for _, e := range s.all {
		pool.Observe(e.State, now, 2*time.Second, Answered) // an answer takes longer than a failure counts
	}
	failures := 0
	for range 1000 {
		a := c.ask()
		a.Now = now
		if i := idle(t, s, a); i == 0 {
			failures++
			pool.Observe(s.all[0].State, now, 200*time.Microsecond, Failed)
		} else {
			pool.Observe(s.all[i].State, now, 2*time.Second, Answered)
		}
	}
	if failures > 2 {
		t.Errorf("%d of 1000 went to who fails at once", failures)
	}
}

func TestDoubtsAreFailuresWhereThereAreSeveral(t *testing.T) {
	pool, s := NewPool(), new(State)
	const now = int64(time.Hour)
	latencyOf := func() time.Duration { return time.Duration(s.latency.at(now, pool.usual.seen())) }
	pool.Observe(s, now, 10*time.Millisecond, Answered)
	for range 5 { // failed requests, each followed by an answer
		pool.Observe(s, now, time.Millisecond, Doubtful)
		pool.Observe(s, now, time.Millisecond, Doubtful)
		pool.Observe(s, now, 10*time.Millisecond, Answered)
	}
	if got := latencyOf(); got < 9*time.Millisecond || got > 11*time.Millisecond {
		t.Errorf("single doubts: %v", got)
	}
	for range 3 {
		pool.Observe(s, now, time.Millisecond, Doubtful)
	}
	if got := latencyOf(); got < 499*time.Millisecond {
		t.Errorf("three doubts in a row: %v", got)
	}
}

func TestWhatIsGivenUpLastedAtLeastSoLong(t *testing.T) {
	pool, s := NewPool(), new(State)
	const now = int64(time.Hour)
	pool.Observe(s, now, 10*time.Millisecond, Answered)
	pool.Observe(s, now, time.Millisecond, Lasted)
	pool.Observe(s, now, time.Hour, Untold)
	if got := s.latency.at(now, pool.usual.seen()); got < 9e6 || got > 11e6 {
		t.Errorf("%v", time.Duration(got))
	}
	pool.Observe(s, now, time.Second, Lasted)
	if got := s.latency.at(now, pool.usual.seen()); got < 9e8 {
		t.Errorf("%v", time.Duration(got))
	}
}

func TestFadesAreExponential(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 50 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		got, want := float64(fade(100, 100+ticks(int64(d)))), math.Exp(-float64(d)/float64(decay))
		if math.Abs(got-want) > 0.03*want+1e-9 {
			t.Errorf("after %v %v is left, not %v", d, got, want)
		}
	}
	if got := fade(100, 99); got != 1 {
		t.Errorf("of what comes from the future %v is left", got)
	}
	if got := fade(math.MaxUint32-10, 20); got < 0.99 {
		t.Errorf("where ticks begin anew %v is left", got)
	}
}

// zoned returns endpoints of which the first n are in the gateway's own zone.
func zoned(n int, weights ...int) []Endpoint {
	all := endpoints(weights...)
	for i := range n {
		all[i].Local = true
	}
	return all
}

func TestTheOwnZoneIsPreferredAndNotOverloaded(t *testing.T) {
	for _, way := range []Way{PeakEWMA, LeastRequests, RoundRobin, Random} {
		for _, n := range []int{6, 100} {
			s, c := New(NewPool(), Settings{Way: way}, zoned(2, equal(n)...)), seeded()
			for range 1000 {
				if i := idle(t, s, c.ask()); i > 1 {
					t.Fatalf("%s of %d: endpoint %d of another zone was asked, and nobody waited", way, n, i)
				}
			}
			for range 40 * n {
				s.Take(c.ask())
			}
			near, far := 0.0, 0.0
			for i, e := range s.all {
				if i < 2 {
					near += float64(e.State.InFlight()) / 2
				} else {
					far += float64(e.State.InFlight()) / float64(n-2)
				}
			}
			if near < far || near > 2.6*far+3 {
				t.Errorf("%s of %d: the own zone's have %v requests each, the others %v", way, n, near, far)
			}
		}
	}
}

func TestWithoutTheOwnZoneAllAreAsked(t *testing.T) {
	for way, settings := range ways() {
		for _, local := range []int{0, 4} {
			s, c := New(NewPool(), settings, zoned(local, equal(4)...)), seeded()
			seen := map[int]bool{}
			for range 200 {
				seen[idle(t, s, c.ask())] = true
			}
			if len(seen) != 4 {
				t.Errorf("%s, %d local: only %v were asked", way, local, seen)
			}
		}
		s, a := New(NewPool(), settings, zoned(1, equal(3)...)), seeded().ask()
		a.Tried = []string{s.all[0].Address}
		if i := idle(t, s, a); i == 0 {
			t.Errorf("%s: the one of the own zone was tried already", way)
		}
	}
}

func TestSlowStartIsForWhoIsAddedOnly(t *testing.T) {
	const window = 10 * time.Second
	for way, settings := range ways() {
		if way == Hash {
			continue
		}
		settings.SlowStart = window
		pool, all := NewPool(), endpoints(equal(4)...)
		share := func(s *Set, after time.Duration) float64 {
			c, got := seeded(), 0
			now := pool.Now() + int64(after)
			for range 4000 {
				a := c.ask()
				a.Now = now
				if idle(t, s, a) == 3 {
					got++
				}
			}
			return float64(got) / 4000
		}
		if s := New(pool, settings, all[:3]); s.warm != 0 {
			t.Errorf("%s: at the start all are new, and are slowly started", way)
		}
		s := New(pool, settings, all)
		for after, want := range map[time.Duration]float64{0: 0.1 / 3.1, 5 * time.Second: 0.5 / 3.5, window: 0.25} {
			if got := share(s, after); math.Abs(got-want) > 0.02 {
				t.Errorf("%s: %v after it was added an endpoint got %v, not about %v", way, after, got, want)
			}
		}
		s = New(pool, settings, all) // nothing has changed
		if got := share(s, 0); got > 0.06 {
			t.Errorf("%s: the slow start ended with the list; share %v", way, got)
		}
		if s := New(pool, settings, []Endpoint{{Address: "x:1", Weight: 1, State: new(State)}, all[3]}); s.warm != 0 {
			t.Errorf("%s: nobody has grown, and all are slowly started", way)
		}
	}
}

// Keys move to a new endpoint gradually, and each moves once.
func TestKeysMoveToANewEndpointOnce(t *testing.T) {
	settings := Settings{Way: Hash, SlowStart: 10 * time.Second}
	pool, all := NewPool(), endpoints(equal(4)...)
	before := New(pool, settings, all[:3])
	s, now := New(pool, settings, all), pool.Now()
	c := seeded()
	keys := make([]Ask, 3000)
	for i := range keys {
		keys[i] = c.ask()
	}
	was := make([]int, len(keys))
	for i, a := range keys {
		was[i] = idle(t, before, a)
	}
	last := 0
	for after := time.Duration(0); after <= 10*time.Second; after += time.Second {
		there := 0
		for i, a := range keys {
			a.Now = now + int64(after)
			is := idle(t, s, a)
			if is == 3 {
				there++
			}
			if is != was[i] && is != 3 || was[i] == 3 && is != 3 {
				t.Fatalf("after %v a key moved from %d to %d", after, was[i], is)
			}
			was[i] = is
		}
		if there < last {
			t.Errorf("after %v %d keys are there, before %d", after, there, last)
		}
		last = there
	}
	if last < 500 || last > 1000 {
		t.Errorf("%d of 3000 keys are at the new one in the end", last)
	}
}

func TestAClientSticksToItsEndpointWhileThatIsThere(t *testing.T) {
	settings := Settings{Way: Random, Sticky: true, Secret: "s", InFlight: 10}
	pool, all := NewPool(), endpoints(equal(4)...)
	for i := range all {
		all[i].ID = fmt.Sprint("uid-", i)
	}
	s, c := New(pool, settings, all), seeded()
	name := s.Name(2)
	after := New(pool, settings, []Endpoint{all[3], all[2]})
	a := c.ask()
	if a.Sticks = after.Find(name); after.all[idle(t, after, a)].Address != all[2].Address {
		t.Error("another list, another endpoint")
	}
	a.Tried = []string{all[2].Address}
	if after.all[idle(t, after, a)].Address == all[2].Address {
		t.Error("who has failed is asked again")
	}
	for _, gone := range []string{"", "x", s.Name(0), New(pool, Settings{Sticky: true, Secret: "t"}, all).Name(2)} {
		if i := after.Find(gone); i >= 0 {
			t.Errorf("%q is found at %d", gone, i)
		}
	}
	another := all[2]
	another.ID = "uid-9"
	if New(pool, settings, []Endpoint{another}).Find(name) >= 0 {
		t.Error("another instance at the same address is taken for the one that is gone")
	}
}

func TestPicksWhileListsChange(t *testing.T) {
	for way, settings := range ways() {
		settings.SlowStart, settings.InFlight, settings.Sticky = time.Millisecond, 8, true
		pool, all := NewPool(), zoned(10, equal(60)...)
		var mu sync.RWMutex // the service does this with an atomic pointer
		current := New(pool, settings, all[:3])
		var wait sync.WaitGroup
		done := make(chan struct{})
		for worker := range 8 {
			wait.Go(func() {
				c := chance{rand.New(rand.NewPCG(uint64(worker), 3))}
				for {
					select {
					case <-done:
						return
					default:
					}
					mu.RLock()
					s := current
					mu.RUnlock()
					a := c.ask()
					a.Now = pool.Now()
					i := s.Take(a)
					if i < 0 {
						continue
					}
					if n := s.all[i].State.InFlight(); n > 8 {
						t.Errorf("%s: %d requests at one endpoint", way, n)
					}
					pool.Observe(s.all[i].State, a.Now, time.Duration(c.IntN(1e7)), Outcome(c.IntN(7)))
					s.Standing(s.all[i].State)
					pool.Done(s.all[i].State)
				}
			})
		}
		c := seeded()
		for range 300 {
			from := c.IntN(50)
			next := New(pool, settings, all[from:from+1+c.IntN(60-from)])
			mu.Lock()
			current = next
			mu.Unlock()
		}
		close(done)
		wait.Wait()
		for i, e := range all {
			if n := e.State.InFlight(); n != 0 {
				t.Errorf("%s: %d requests are left at endpoint %d", way, n, i)
			}
		}
		if n := pool.InFlight(); n != 0 {
			t.Errorf("%s: %d requests are left", way, n)
		}
	}
}

func TestPicksDoNotAllocate(t *testing.T) {
	for way, settings := range ways() {
		for _, n := range []int{1, 3, 32, 1000, 20_000} {
			s, a := New(NewPool(), settings, zoned(1, equal(n)...)), seeded().ask()
			a.Tried = []string{"10.0.0.2:80"}
			s.all[0].State.Unreachable(a.Now)
			if got := testing.AllocsPerRun(200, func() {
				a.Random++
				a.Key = mix(a.Random)
				i := s.Take(a)
				s.pool.Observe(s.all[i].State, a.Now, time.Millisecond, Answered)
				s.pool.Done(s.all[i].State)
			}); got != 0 {
				t.Errorf("%s of %d: %v allocations", way, n, got)
			}
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for _, way := range []Way{PeakEWMA, LeastRequests, RoundRobin, Random, Hash} {
		for _, n := range []int{1, 3, 32, 1000, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", way, n), func(b *testing.B) {
				s := New(NewPool(), ways()[way], endpoints(equal(n)...))
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					a := Ask{Now: 1, Random: rand.Uint64(), Keyed: true, Sticks: -1}
					for pb.Next() {
						a.Random = mix(a.Random + golden)
						a.Key = a.Random
						s.pool.Done(s.all[s.Take(a)].State)
					}
				})
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for _, way := range []Way{PeakEWMA, Hash} {
		for _, n := range []int{3, 1000, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", way, n), func(b *testing.B) {
				pool, all := NewPool(), endpoints(equal(n)...)
				b.ReportAllocs()
				for b.Loop() {
					New(pool, ways()[way], all)
				}
			})
		}
	}
}

func TestWhoTakesNoConnectionIsPassedOver(t *testing.T) {
	const begin = int64(time.Second)
	for way, settings := range ways() {
		s, c := New(NewPool(), settings, endpoints(equal(3)...)), seeded()
		named := func(later time.Duration, tried ...string) (n [3]int) {
			for range 300 {
				a := c.ask()
				a.Now, a.Tried = begin+int64(later), tried
				n[idle(t, s, a)]++
			}
			return n
		}
		s.all[0].State.Unreachable(begin)
		if n := named(0); n[0] != 0 {
			t.Errorf("%s: named %d times", way, n[0])
		}
		if n := named(0, s.all[1].Address, s.all[2].Address); n[0] != 300 {
			t.Errorf("%s: named %d times where the others were tried", way, n[0])
		}
		if n := named(0, s.all[0].Address, s.all[1].Address, s.all[2].Address); n[0]+n[1]+n[2] != 300 {
			t.Errorf("%s: where all were tried, named were %v", way, n)
		}
		if n := named(passedOver); n[0] > 1 {
			t.Errorf("%s: %d requests find out whether it takes connections again", way, n[0])
		}
		for i := range s.all {
			s.all[i].State.Unreachable(begin)
		}
		if n := named(0); n[0]+n[1]+n[2] != 300 {
			t.Errorf("%s: where nobody takes connections, named were %v", way, n)
		}
		for i := range s.all {
			s.pool.Observe(s.all[i].State, begin, time.Millisecond, Answered)
		}
		if n := named(0); n[0] == 0 || n[1] == 0 || n[2] == 0 {
			t.Errorf("%s: after all have answered, named were %v", way, n)
		}
	}
}
