// Package rolling replaces the backends of a gateway one after the other, under load, and counts what is lost. Every
// way to find backends is tested with this one scenario. A test of such a way says how the gateway learns of
// backends, and how long that may take.
//
//   - rolling.go: the scenario.
//   - backend.go: what is replaced, and the ways in which it ends.
//   - load.go: the clients meanwhile: GETs, POSTs and gRPC streams.
//   - report.go: what happened to the requests, and what may happen to them.
package rolling

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Instance is a backend as seen by what announces backends. It has two servers at one address.
type Instance struct {
	ID, Host   string
	HTTP, GRPC int  // ports, the same of all instances of a Stage
	Leaving    bool // it accepts nothing new, and will end
}

// Way is a way by which the gateway finds backends.
type Way struct {
	// Tell announces exactly these backends. It is called by one goroutine.
	Tell func(all []Instance)
	// Grace is how long a backend that ends gracefully goes on after its last request: longer than the gateway takes
	// to learn that the backend is leaving.
	Grace time.Duration
}

// Plan is how backends are replaced.
type Plan struct {
	Ending Ending
	Rounds int           // how many times all of them are replaced
	Every  time.Duration // how long a round takes
}

// backends is how many backends serve at once.
const backends = 3

// late is the longest delay until it is announced that a backend has ended at once.
const late = 100 * time.Millisecond

// Stage is where backends run.
type Stage struct {
	t    *testing.T
	host func(n int) string
	// HTTP and GRPC are the ports of all backends, for the gateway's config.
	HTTP, GRPC int

	book    book
	started int

	mu     sync.Mutex // guards what is announced
	known  []Instance
	ends   sync.WaitGroup
	living []*backend // oldest first
}

// NewStage finds ports. host returns the address of the nth backend, which no earlier backend had.
func NewStage(t *testing.T, host func(n int) string) *Stage {
	t.Helper()
	s := &Stage{t: t, host: host, book: book{came: map[string]int{}}}
	s.HTTP, s.GRPC = s.port(), s.port()
	return s
}

// port returns a port that is free at the first address, and so most likely at all of them.
func (s *Stage) port() int {
	s.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(s.host(0), "0")) //nolint:noctx // at once
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at, _ := l.Addr().(*net.TCPAddr)
	return at.Port
}

// Roll replaces backends behind the gateway while clients send requests. It checks the losses against what each
// ending allows, and logs the counts. The gateway sends requests below /calls to the backends' gRPC servers, and all
// others to their HTTP servers.
func (s *Stage) Roll(gateway string, w Way, p Plan) {
	s.t.Helper()
	for range backends {
		b := s.start(p.Ending)
		s.tell(w, func() { s.known = append(s.known, b.Instance) })
	}
	defer s.endAll()
	seen := newLoad(s.t, gateway)
	seen.served()
	clients := seen.begin()
	defer clients.end()
	tick := time.NewTicker(p.Every / backends)
	defer tick.Stop()
	begun := time.Now()
	for range p.Rounds * backends {
		<-tick.C
		s.replace(w, p.Ending)
	}
	took := time.Since(begun)
	s.ends.Wait()
	clients.end()
	s.t.Logf("%s: %d backends replaced in %s", p.Ending, p.Rounds*backends, took.Round(100*time.Millisecond))
	seen.report.log(s.t, &s.book)
	seen.report.judge(s.t, p.Ending, &s.book)
}

// start starts another backend, which is not announced yet.
func (s *Stage) start(e Ending) *backend {
	s.t.Helper()
	s.started++
	b, err := serve(Instance{ID: fmt.Sprintf("backend-%d", s.started), Host: s.host(s.started), HTTP: s.HTTP, GRPC: s.GRPC}, e, &s.book)
	if err != nil {
		s.t.Fatal(err)
	}
	s.living = append(s.living, b)
	return b
}

// tell changes which backends are known, and announces them.
func (s *Stage) tell(w Way, change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	w.Tell(slices.Clone(s.known))
}

// replace replaces the oldest backend with a new one.
func (s *Stage) replace(w Way, e Ending) {
	s.t.Helper()
	next, old := s.start(e), s.living[0]
	s.living = s.living[1:]
	forget := func() {
		s.known = slices.DeleteFunc(s.known, func(i Instance) bool { return i.ID == old.ID })
	}
	if e == AtOnce {
		s.tell(w, func() { s.known = append(s.known, next.Instance) })
		s.ends.Go(func() {
			heard := time.After(rand.N(late)) //nolint:gosec // no secret
			old.kill()
			<-heard
			s.tell(w, forget)
		})
		return
	}
	s.tell(w, func() {
		s.known = append(s.known, next.Instance)
		for i := range s.known {
			s.known[i].Leaving = s.known[i].Leaving || s.known[i].ID == old.ID
		}
	})
	s.ends.Go(func() {
		old.drain(w.Grace)
		s.tell(w, forget)
	})
}

// endAll ends the backends that still serve.
func (s *Stage) endAll() {
	s.ends.Wait()
	for _, b := range s.living {
		b.kill()
	}
}
