package pool

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errClosed = errors.New("the function's pool is closed")

// Replace lets another version of the function take over, whose instances start
// makes. It starts as many of them as recent requests needed at once, at least one,
// beside those that serve; once they are ready they get all requests, those that
// wait too, and the instances before them end with their last request.
//
// Where the first of them cannot be started, all remains as it is, and taken is
// false. Only where the version that serves cannot be started either does the new
// one take its place with its error.
//
// It returns when the new version serves, or does not. It must not be called while
// another call goes on.
func (p *Pool[I]) Replace(ctx context.Context, start Start[I]) (taken bool, err error) {
	p.mu.Lock()
	count := max(1, p.wanted(time.Now()))
	p.mu.Unlock()
	first, err := start(ctx)
	if err != nil {
		return ctx.Err() == nil && p.Supersede(start, err), err // one that was given up says nothing
	}
	fresh := append(p.more(ctx, start, count-1), first)
	if !p.adopt(start, fresh) {
		stopAll(ctx, fresh)
		return false, errClosed
	}
	return true, nil
}

// Hold keeps at least one instance from ending unused: there is a newer version that
// cannot be started, and what serves may not be there to be started again.
func (p *Pool[I]) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = on
}

// Failed notes that the version that serves cannot be started, as whoever tried
// outside of the pool has found.
func (p *Pool[I]) Failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backoff.failed(time.Now(), err)
}

// Supersede lets a version take over that cannot be started, because of err, if the
// one that serves cannot be started either: the newest error is the one to tell.
func (p *Pool[I]) Supersede(start Start[I], err error) (taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.closed || p.backoff.failures == 0 || p.count[idle]+p.count[busy] > 0 {
		return false
	}
	p.take(start)
	p.backoff.failed(now, err)
	p.queue.fail(p.backoff.fault(now))
	return true
}

// more starts instances, and gives those that could be; the others are not missed
// before a request needs them.
func (p *Pool[I]) more(ctx context.Context, start Start[I], count int) []I {
	p.mu.Lock()
	starts := make(chan struct{}, p.bounds.Starts)
	p.mu.Unlock()
	var all sync.WaitGroup
	var mu sync.Mutex
	var made []I
	for range count {
		all.Go(func() {
			starts <- struct{}{}
			defer func() { <-starts }()
			one, err := start(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			made = append(made, one)
		})
	}
	all.Wait()
	return made
}

// adopt makes instances of another version those that serve.
func (p *Pool[I]) adopt(start Start[I], fresh []I) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.take(start)
	for _, instance := range fresh {
		m := &member[I]{version: p.version, instance: instance, places: p.placesOf(instance), state: idle, idleSince: time.Now(), wake: make(chan struct{}, 1), abandon: func() {}}
		p.members[m] = struct{}{}
		p.count[idle]++
		p.room = append(p.room, m)
		go p.keep(m)
	}
	p.settle()
	return true
}

// take makes start the one that makes instances, and lets those before end.
func (p *Pool[I]) take(start Start[I]) {
	p.start, p.backoff, p.held = start, backoff{}, false
	p.version++
	for m := range p.members {
		if m.state != draining {
			p.drain(m)
		}
	}
}

func stopAll[I Instance](ctx context.Context, instances []I) {
	var all sync.WaitGroup
	for _, one := range instances {
		all.Go(func() {
			stop, cancel := context.WithTimeout(ctx, stopTime)
			defer cancel()
			one.Stop(stop, false)
		})
	}
	all.Wait()
}
