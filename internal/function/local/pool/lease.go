package pool

import "time"

// Verdict is what became of a request, and so of its instance.
type Verdict uint8

// The verdicts.
const (
	Unused   Verdict = iota // the instance was not asked
	Served                  // it is ready for the next request
	Poisoned                // it did not answer in time or broke its contract: it is ended and never asked again
)

// Lease is the right to ask an instance for one answer. It is safe for
// concurrent use.
type Lease[I Instance] struct {
	pool     *Pool[I]
	member   *member[I]
	released bool // guarded by the pool's lock
}

// Instance is what was lent.
func (l *Lease[I]) Instance() I { return l.member.instance }

// lend gives m's place to a request; m has room.
func (p *Pool[I]) lend(m *member[I]) *Lease[I] {
	m.inFlight++
	if m.state == idle {
		p.move(m, busy)
	}
	if m.inFlight >= p.bounds.Concurrency {
		p.leaveRoom(m)
	}
	return &Lease[I]{pool: p, member: m}
}

// Finishing says that the instance has given its answer and will be free in a
// moment, so that a new request may rather wait for it than start another.
func (l *Lease[I]) Finishing() {
	p, m := l.pool, l.member
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.released && m.state == busy && !m.finishing {
		m.finishing = true
		p.finishing++
	}
}

// Release gives the instance back. Only the first call counts.
func (l *Lease[I]) Release(v Verdict) {
	p, m := l.pool, l.member
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.released {
		return
	}
	l.released = true
	m.inFlight--
	p.unfinish(m)
	switch v {
	case Served:
		m.served++
		p.backoff.succeeded()
	case Poisoned:
		if !m.poisoned {
			m.poisoned, m.graceEnds = true, time.Now().Add(p.bounds.Grace)
		}
	case Unused:
	}
	p.afterRequest(m)
	p.settle()
}

// afterRequest moves a member on that has one request less.
func (p *Pool[I]) afterRequest(m *member[I]) {
	switch {
	case m.state != busy:
		m.nudge() // draining: this may have been its last request
	case m.poisoned:
		p.drain(m)
	default:
		if m.inFlight == 0 {
			p.move(m, idle)
			m.idleSince = time.Now()
			if p.alive() > p.bounds.Max { // the bound was lowered
				p.drain(m)
				return
			}
		}
		if m.inFlight == p.bounds.Concurrency-1 { // it was full
			p.room = append(p.room, m)
		}
	}
}
