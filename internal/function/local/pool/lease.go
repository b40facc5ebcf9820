package pool

import "time"

// Verdict is the outcome of a request, and therefore of its instance.
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
	begin    time.Time
	first    bool
	released bool // guarded by the pool's lock
}

// Instance returns the instance that was lent.
func (l *Lease[I]) Instance() I { return l.member.instance }

// First reports whether this is the instance's first request.
func (l *Lease[I]) First() bool { return l.first }

// lend gives one of m's places to a request; m has room.
func (p *Pool[I]) lend(m *member[I], now time.Time) *Lease[I] {
	if m.inFlight == 0 {
		m.busySince = now
	}
	m.inFlight++
	if m.state == idle {
		p.move(m, busy)
		p.demand.turn(now, p.alive())
		p.demand.note(p.count[busy])
	}
	first := !m.asked
	p.meter.Lent(first)
	m.asked = true
	if m.inFlight >= m.places {
		p.leaveRoom(m)
	}
	return &Lease[I]{pool: p, member: m, begin: now, first: first}
}

// Finishing says that the instance has given its answer and will be free in a moment, so that a new request should wait
// for it instead of starting another.
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
	now := time.Now()
	p.demand.turn(now, p.alive())
	p.demand.note(p.count[busy])
	m.inFlight--
	if m.inFlight == 0 {
		p.meter.Worked(now.Sub(m.busySince))
	}
	if v != Unused {
		p.pace.took(now.Sub(l.begin))
	}
	p.unfinish(m)
	switch v {
	case Served:
		m.served++
		if m.version == p.version {
			p.backoff.succeeded()
		}
	case Poisoned:
		if !m.poisoned {
			m.poisoned, m.graceEnds = true, now.Add(p.bounds.Grace)
		}
	case Unused:
	}
	p.afterRequest(m, now)
	p.settle()
}

// afterRequest updates a member that has one request less.
func (p *Pool[I]) afterRequest(m *member[I], now time.Time) {
	switch {
	case m.state != busy:
		m.nudge() // draining: this may have been its last request
	case m.poisoned:
		p.drain(m)
	default:
		if m.inFlight == 0 {
			p.move(m, idle)
			m.idleSince = now
			if p.alive() > p.bounds.Max { // the bound was lowered
				p.drain(m)
				return
			}
		}
		if m.inFlight == m.places-1 { // it had no room before
			p.room = append(p.room, m)
		}
	}
}
