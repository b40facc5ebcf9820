package pool

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errClosed = errors.New("the function's pool is closed")

// Replace lets another version of the function take over, whose instances are made by start. It starts as many of them
// as recent requests needed at once, at least one, next to those that serve. Once they are ready they get all requests,
// including those that wait, and the old instances end after their last request.
//
// If the first of them cannot be started, everything remains as it is, and taken is false. Only if the serving version
// cannot be started either does the new one take its place, with its error.
//
// Replace returns when the new version serves, or has failed. It must not be called while another call is running.
func (p *Pool[I]) Replace(ctx context.Context, start Start[I]) (taken bool, err error) {
	p.mu.Lock()
	count := max(1, p.wanted(time.Now()))
	p.mu.Unlock()
	first, err := start(ctx)
	if err != nil {
		return ctx.Err() == nil && p.Supersede(start, err), err // a start that was given up says nothing
	}
	fresh := append(p.more(ctx, start, count-1), first)
	if !p.adopt(start, fresh) {
		stopAll(ctx, fresh)
		return false, errClosed
	}
	return true, nil
}

// Hold keeps at least one instance from ending unused: there is a newer version that cannot be started, and the files
// of the serving version may be gone, so that it could not be started again.
func (p *Pool[I]) Hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = on
}

// Failed records that the serving version cannot be started, as the caller has found outside of the pool.
func (p *Pool[I]) Failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backoff.failed(time.Now(), err)
}

// Supersede lets a version take over that cannot be started, because of err, if the serving one cannot be started
// either: the newest error is the one to report.
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

// more starts instances and returns those that could be started. The others are not needed before a request asks for
// them.
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

// adopt makes instances of another version the serving ones.
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

// take makes start the function that starts instances, and lets the previous instances end.
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
