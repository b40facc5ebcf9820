package consul

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the instances of one service.
type provider struct {
	*source

	env       discovery.Env
	reference reference
}

// Run asks one question after the other.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	p.users.Add(1)
	defer p.users.Add(-1)
	a := &asking{provider: p, teller: discovery.Teller{Env: p.env, Set: set, Emptied: discovery.Emptied{Doubt: p.doubt}}, left: map[string]string{}}
	for {
		pause := a.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !backoff.Wait(ctx, pause) {
			return nil
		}
	}
}

// asking is the work of a provider while it runs.
type asking struct {
	*provider

	index    uint64 // of the state that is known; 0: of none
	failures int    // one after the other
	hasty    int    // answers one after the other that came at once
	teller   discovery.Teller
	left     map[string]string // instances that are no endpoints, and why
}

// Pauses between questions.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 10 * time.Second
	longestHaste  = 2 * time.Second // after an answer that came at once
	mostAfter     = time.Minute     // that Consul may ask for
	// An answer that comes sooner than that is one that was not waited for. A few of them are
	// the many changes of a roll-out; more are a server that does not let anybody wait.
	soon       = 100 * time.Millisecond
	mostlyFine = 10
)

// once asks, tells what came of it, and gives the pause before the next question.
func (a *asking) once(ctx context.Context) time.Duration {
	if !a.take(ctx) {
		return 0
	}
	began := time.Now()
	wait := a.wait()
	if doubted := a.teller.Emptied.Left(began); doubted > 0 {
		wait = max(min(wait, doubted), shortestWait)
	}
	found, err := a.ask(ctx, a.reference, a.index, wait)
	a.leave()
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		a.index = 0 // what has changed meanwhile is asked for without waiting
		a.failures++
		a.teller.Looked(fmt.Errorf("%s: %w", a.where, err))
		return a.pauseAfter(err)
	}
	a.failures = 0
	a.advance(found.index)
	a.teller.Found(a.endpoints(found.entries), "instance of "+a.reference.name)
	if time.Since(began) > soon {
		a.hasty = 0
		return 0
	}
	if a.hasty++; a.hasty <= mostlyFine {
		return 0
	}
	return backoff.Spread(backoff.Doubling{First: 2 * shortestPause, Most: longestHaste}.After(a.hasty - mostlyFine))
}

// advance takes the index of an answer. One that goes back, as of a server that was restored or
// is behind another, begins anew; 0 would not let anybody wait.
func (a *asking) advance(index uint64) {
	if index < a.index {
		index = 0
	}
	a.index = index
}

// pauseAfter is how long nothing is asked after a failure. All gateways have failed at once, so
// chance spreads them.
func (a *asking) pauseAfter(err error) time.Duration {
	pause := backoff.Spread(backoff.Doubling{First: shortestPause, Most: longestPause}.After(a.failures))
	if refused, ok := errors.AsType[*refusedError](err); ok {
		pause = max(pause, min(refused.after, mostAfter))
	}
	return pause
}

// endpoints makes endpoints of instances. One that is none is told, once, and left out.
func (a *asking) endpoints(entries []entry) []discovery.Endpoint {
	var list []discovery.Endpoint
	left := map[string]string{}
	for i := range entries {
		e, err := entries[i].endpoint(a.warning, a.zone)
		if err == nil {
			list = append(list, e)
			continue
		}
		left[e.ID] = err.Error()
		if a.left[e.ID] != err.Error() {
			a.env.Log.Warn("an instance in Consul is no endpoint; it is left out", "id", entries[i].Service.ID, "node", e.Node, "error", err)
		}
	}
	a.left = left
	return discovery.Distinct(list)
}
