package pool

import (
	"context"
	"slices"
	"time"
)

// member is one instance with its place in the pool. Its fields are guarded by the pool's lock, except for instance,
// which is set once before the member becomes idle.
type member[I Instance] struct {
	version   int // the pool's version when it was started
	instance  I
	state     state
	places    int // requests that it takes at once
	inFlight  int
	asked     bool      // it was given a request before
	served    int       // requests that ended well
	poisoned  bool      // it may hang: it is killed and never asked again
	graceEnds time.Time // if poisoned: when its other requests are cut
	finishing bool
	idleSince time.Time
	busySince time.Time          // when it got the first of the requests in flight
	wake      chan struct{}      // tells the owner to look at state and bounds
	abandon   context.CancelFunc // gives up the start
}

func (m *member[I]) nudge() {
	select {
	case m.wake <- struct{}{}:
	default: // it was told already
	}
}

// stopTime is how long an instance may take to end when it is asked to.
const stopTime = 5 * time.Second

// spawn adds a member and starts the goroutine that owns it.
func (p *Pool[I]) spawn() {
	ctx, abandon := context.WithCancel(p.ctx) //nolint:gosec // own calls it
	m := &member[I]{version: p.version, state: starting, wake: make(chan struct{}, 1), abandon: abandon}
	p.members[m] = struct{}{}
	p.count[starting]++
	go p.own(ctx, m, p.start)
}

// own is the life of one instance, from its start to its end.
func (p *Pool[I]) own(ctx context.Context, m *member[I], start Start[I]) {
	defer m.abandon()
	instance, err := start(ctx)
	if err != nil {
		p.notStarted(m, err)
		return
	}
	m.instance = instance
	p.started(m)
	p.keep(m)
}

// keep is the rest of the life of an instance that was started.
func (p *Pool[I]) keep(m *member[I]) {
	p.watch(m)
	stop, cancel := context.WithTimeout(p.ctx, stopTime)
	m.instance.Stop(stop, p.isPoisoned(m))
	cancel()
	p.bury(m)
}

func (p *Pool[I]) notStarted(m *member[I], err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	abandoned := m.state == draining
	p.move(m, dead)
	delete(p.members, m)
	if !abandoned {
		now := time.Now()
		p.backoff.failed(now, err)
		if p.alive() == 0 {
			p.queue.fail(p.backoff.fault(now))
		}
		p.log.Warn("an instance could not be started", "error", err, "failures", p.backoff.failures)
	}
	p.settle()
}

func (p *Pool[I]) started(m *member[I]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.state == draining {
		return
	}
	m.places = p.placesOf(m.instance)
	p.move(m, idle)
	m.idleSince = time.Now()
	p.room = append(p.room, m)
	p.settle()
}

func (p *Pool[I]) placesOf(instance I) int {
	if few := instance.Places(); few > 0 {
		return min(few, p.bounds.Concurrency)
	}
	return p.bounds.Concurrency
}

// watch returns when the instance is to be stopped or has ended by itself.
func (p *Pool[I]) watch(m *member[I]) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.instance.Done():
		case <-m.wake:
		case <-timer.C:
		}
		select { // its end takes precedence over everything else
		case <-m.instance.Done():
			p.crashed(m)
			return
		default:
		}
		again, over := p.review(m)
		if over {
			return
		}
		timer.Reset(again)
	}
}

// review reports whether the member's life is over, and if not, when to look again.
func (p *Pool[I]) review(m *member[I]) (again time.Duration, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.state {
	case draining:
		over = m.inFlight == 0 || p.forced
		if m.poisoned {
			left := time.Until(m.graceEnds)
			return left, over || left <= 0
		}
		return p.bounds.Idle, over
	case idle:
		return p.unused(m, time.Now())
	case starting, busy, dead, states:
	}
	return max(p.bounds.Idle, time.Millisecond), false
}

// unused reviews an idle member. In each step of the demand at most half of all instances end for being unused, so that
// a burst that pauses for a moment still finds some.
func (p *Pool[I]) unused(m *member[I], now time.Time) (again time.Duration, over bool) {
	least := p.bounds.Min
	if p.held {
		least = max(least, 1)
	}
	p.demand.turn(now, p.alive())
	idleFor := now.Sub(m.idleSince)
	switch {
	case p.alive() > p.bounds.Max:
	case idleFor < p.bounds.Idle:
		return p.bounds.Idle - idleFor, false
	case p.alive() <= least:
		return p.bounds.Idle, false
	case p.demand.ends == 0:
		return p.demand.next(now), false
	default:
		p.demand.ends--
	}
	p.drain(m)
	return 0, true
}

// drain takes the member out of service. Its owner ends it.
func (p *Pool[I]) drain(m *member[I]) {
	p.leaveRoom(m)
	p.unfinish(m)
	if m.state == starting {
		m.abandon()
	}
	p.move(m, draining)
	m.nudge()
}

func (p *Pool[I]) isPoisoned(m *member[I]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m.poisoned
}

// crashed records that the instance has ended by itself.
func (p *Pool[I]) crashed(m *member[I]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := m.instance.Failure()
	p.meter.Crashed()
	p.log.Warn("an instance ended by itself", "error", err, "requests", m.inFlight)
	if m.served == 0 && m.version == p.version {
		p.backoff.crashed(time.Now(), err)
	}
	if m.state != draining {
		p.drain(m)
		p.settle()
	}
}

// bury forgets a member that has ended completely.
func (p *Pool[I]) bury(m *member[I]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.move(m, dead)
	delete(p.members, m)
	p.settle()
}

func (p *Pool[I]) leaveRoom(m *member[I]) {
	if i := slices.Index(p.room, m); i >= 0 {
		p.room = slices.Delete(p.room, i, i+1)
	}
}

func (p *Pool[I]) unfinish(m *member[I]) {
	if m.finishing {
		m.finishing = false
		p.finishing--
	}
}
