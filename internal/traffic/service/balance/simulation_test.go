package balance

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var full = flag.Bool("full", false, "simulate 250,000 requests a case, as the figures in docs/balancing.md are; else fewer")

// The simulated world: several gateways, which know nothing of each other, send requests to servers that have some
// workers and a queue. An answer takes 10 ms of a worker on average, exponentially distributed, and requests arrive
// as a Poisson process. Everything happens in virtual time and from a seed, so that a run is the same on every
// machine.
const (
	gateways = 4
	most     = 48 // servers
	workers  = 4
	service  = 10 * time.Millisecond
	quickly  = 200 * time.Microsecond // how fast a broken server fails
	settling = time.Second            // what comes before is not counted, except for its failures
)

// scene describes what happens to the servers.
type scene struct {
	name    string
	servers int                                 // 0: 24
	load    float64                             // as a share of what all servers can do together at normal speed
	speed   func(server int, now int64) float64 // 1 is normal
	fails   func(server int, now int64) bool
}

func scenes() []scene {
	normal := func(int, int64) float64 { return 1 }
	return []scene{
		{name: "all alike, 90 %", load: 0.9, speed: normal},
		{name: "one 10 times slower, 70 %", load: 0.7, speed: func(server int, _ int64) float64 {
			if server == 0 {
				return 0.1
			}
			return 1
		}},
		{name: "half of them half as fast, 90 %", load: 0.9 * 0.75, speed: func(server int, _ int64) float64 {
			if server%2 == 0 {
				return 0.5
			}
			return 1
		}},
		{name: "antagonist: each at 0.35 for 1 s of 4, 70 %", load: 0.7, speed: func(server int, now int64) float64 {
			if (now+int64(server)*int64(173*time.Millisecond))%int64(4*time.Second) < int64(time.Second) {
				return 0.35
			}
			return 1
		}},
		{name: "one fails at once, 70 %", load: 0.7, speed: normal, fails: func(server int, _ int64) bool { return server == 0 }},
		{name: "one of 48 fails at once, 70 %", servers: most, load: 0.7, speed: normal, fails: func(server int, _ int64) bool { return server == 0 }},
		{name: "one of 48 10 times slower, 70 %", servers: most, load: 0.7, speed: func(server int, _ int64) float64 {
			if server == 0 {
				return 0.1
			}
			return 1
		}},
	}
}

// figures are the results of a scene.
type figures struct {
	p50, p95, p99, p999 time.Duration
	errors              float64 // share of all requests
}

// job is one request at a server.
type job struct {
	came    int64
	gateway int
}

// happening is the next event: an arrival, or the end of a job.
type happening struct {
	at     int64
	server int // -1: an arrival
	job    job
	failed bool
}

// queue is a heap of coming events.
type queue []happening

func (q *queue) push(h happening) {
	*q = append(*q, h)
	list := *q
	for i := len(list) - 1; i > 0; {
		up := (i - 1) / 2
		if list[up].at <= list[i].at {
			return
		}
		list[up], list[i] = list[i], list[up]
		i = up
	}
}

func (q *queue) pop() happening {
	list := *q
	first, last := list[0], len(list)-1
	list[0] = list[last]
	*q = list[:last]
	list = *q
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return first
		}
		if down+1 < last && list[down+1].at < list[down].at {
			down++
		}
		if list[i].at <= list[down].at {
			return first
		}
		list[i], list[down] = list[down], list[i]
		i = down
	}
}

// world is one run of the simulation.
type world struct {
	scene   scene
	chance  *rand.Rand
	coming  queue
	sets    []*Set
	busy    [most]int
	waiting [most][]job
	took    []time.Duration
	failed  int
}

func simulate(s scene, settings Settings, requests int) figures {
	servers := cmp.Or(s.servers, 24)
	w := &world{scene: s, chance: rand.New(rand.NewPCG(7, 11))}
	for range gateways {
		all := make([]Endpoint, servers)
		for i := range all {
			all[i] = Endpoint{Address: fmt.Sprintf("10.0.0.%d:80", i), Weight: 1, State: new(State)}
		}
		w.sets = append(w.sets, New(NewPool(), settings, all))
	}
	rate := s.load * float64(servers*workers) / float64(service)
	w.coming.push(happening{at: 1, server: -1})
	for come := 0; len(w.coming) > 0; {
		switch h := w.coming.pop(); {
		case h.server >= 0:
			w.end(h)
		default:
			w.arrive(h.at)
			if come++; come < requests {
				w.coming.push(happening{at: h.at + int64(w.chance.ExpFloat64()/rate), server: -1})
			}
		}
	}
	return w.figures(requests)
}

func (w *world) arrive(now int64) {
	gateway := w.chance.IntN(gateways)
	server := w.sets[gateway].Take(Ask{Now: now, Random: w.chance.Uint64(), Sticks: -1})
	j := job{now, gateway}
	switch {
	case w.scene.fails != nil && w.scene.fails(server, now):
		w.coming.push(happening{now + int64(quickly), server, j, true})
	case w.busy[server] < workers:
		w.begin(server, j, now)
	default:
		w.waiting[server] = append(w.waiting[server], j)
	}
}

func (w *world) begin(server int, j job, now int64) {
	w.busy[server]++
	takes := w.chance.ExpFloat64() * float64(service) / w.scene.speed(server, now)
	w.coming.push(happening{now + int64(takes), server, j, false})
}

func (w *world) end(h happening) {
	took := time.Duration(h.at - h.job.came)
	set := w.sets[h.job.gateway]
	state := set.all[h.server].State
	set.pool.Done(state)
	if h.failed {
		set.pool.Observe(state, h.at, took, Failed)
		w.failed++
		return
	}
	set.pool.Observe(state, h.at, took, Answered)
	if h.job.came > int64(settling) {
		w.took = append(w.took, took)
	}
	if w.busy[h.server]--; len(w.waiting[h.server]) > 0 {
		next := w.waiting[h.server][0]
		w.waiting[h.server] = w.waiting[h.server][1:]
		w.begin(h.server, next, h.at)
	}
}

func (w *world) figures(requests int) figures {
	slices.Sort(w.took)
	at := func(q float64) time.Duration { return w.took[int(q*float64(len(w.took)-1))] }
	return figures{at(0.5), at(0.95), at(0.99), at(0.999), float64(w.failed) / float64(requests)}
}

// TestOrderOfWays checks what is clear about the ways to choose an endpoint, and prints the rest.
func TestOrderOfWays(t *testing.T) {
	requests := 30_000
	if *full {
		requests = 250_000
	}
	ways := []Way{RoundRobin, Random, LeastRequests, PeakEWMA}
	var table strings.Builder
	got := map[string]map[Way]figures{}
	for _, s := range scenes() {
		got[s.name] = map[Way]figures{}
		for _, way := range ways {
			f := simulate(s, Settings{Way: way}, requests)
			got[s.name][way] = f
			fmt.Fprintf(&table, "| %-44s | %-14s | %s | %s | %s | %s | %.2f %% |\n", s.name, way, ms(f.p50), ms(f.p95), ms(f.p99), ms(f.p999), 100*f.errors)
		}
	}
	t.Logf("%d requests a case, ms\n| %-44s | %-14s | %7s | %7s | %7s | %7s | errors |\n%s", requests, "case", "way", "p50", "p95", "p99", "p99.9", table.String())

	less := func(scene string, what func(figures) time.Duration, better, worse Way, times float64) {
		t.Helper()
		a, b := what(got[scene][better]), what(got[scene][worse])
		if float64(a)*times > float64(b) {
			t.Errorf("%s: %s has %v, not %v times less than %s with %v", scene, better, a, times, worse, b)
		}
	}
	p99 := func(f figures) time.Duration { return f.p99 }
	p999 := func(f figures) time.Duration { return f.p999 }
	list := scenes()
	less(list[0].name, p99, PeakEWMA, RoundRobin, 1.2)
	less(list[0].name, p99, LeastRequests, RoundRobin, 1.2)
	less(list[1].name, p99, PeakEWMA, RoundRobin, 5)
	less(list[1].name, p999, PeakEWMA, LeastRequests, 1.5)
	less(list[2].name, p99, LeastRequests, RoundRobin, 5)
	less(list[2].name, p99, PeakEWMA, RoundRobin, 5)
	less(list[3].name, p99, PeakEWMA, RoundRobin, 5)
	less(list[6].name, p99, PeakEWMA, RoundRobin, 5)
	for i, fair := range map[int]float64{4: 1.0 / 24, 5: 1.0 / 48} {
		last := got[list[i].name]
		if got := last[PeakEWMA].errors; got > 0.001 {
			t.Errorf("%s: of all requests %.3f %% went there", list[i].name, 100*got)
		}
		for _, way := range []Way{RoundRobin, Random, LeastRequests} {
			if got := last[way].errors; got < 0.8*fair {
				t.Errorf("%s, %s: %.3f %% of all requests went there: the simulation shows nothing", list[i].name, way, 100*got)
			}
		}
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%7.1f", float64(d)/float64(time.Millisecond)) }
