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

// Run sends one query after the other.
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

// asking is the state of a provider while it runs.
type asking struct {
	*provider

	index    uint64 // of the known state; 0: none is known
	failures int    // in a row
	hasty    int    // answers in a row that came at once
	teller   discovery.Teller
	believed time.Time         // from when on it is believed that there are no instances; zero: nothing is doubted
	left     map[string]string // instances that are no endpoints, and why
}

// Pauses between queries.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 10 * time.Second
	longestHaste  = 2 * time.Second // after an answer that came at once
	mostAfter     = time.Minute     // that Consul may ask for
	// An answer that comes sooner than this did not block. A few of them are the many changes of a rollout; more mean a
	// server that does not block queries.
	soon       = 100 * time.Millisecond
	mostlyFine = 10
)

// once sends a query, passes on the result, and returns the pause before the next query.
func (a *asking) once(ctx context.Context) time.Duration {
	if !a.take(ctx) {
		return 0
	}
	began := time.Now()
	wait := a.wait()
	if !a.believed.IsZero() {
		wait = max(min(wait, a.believed.Sub(began)), shortestWait)
	}
	found, err := a.ask(ctx, a.reference, a.index, wait)
	a.leave()
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		a.index = 0 // the next query does not wait, to get changes made meanwhile
		a.failures++
		a.teller.Looked(fmt.Errorf("%s: %w", a.where, err))
		return a.pauseAfter(err)
	}
	a.failures = 0
	a.advance(found.index)
	a.believed = time.Time{}
	if doubted := a.teller.Found(a.endpoints(found.entries), "instance of "+a.reference.name); doubted > 0 {
		a.believed = time.Now().Add(doubted)
	}
	if time.Since(began) > soon {
		a.hasty = 0
		return 0
	}
	if a.hasty++; a.hasty <= mostlyFine {
		return 0
	}
	return backoff.Spread(backoff.Doubling{First: 2 * shortestPause, Most: longestHaste}.After(a.hasty - mostlyFine))
}

// advance takes the index of an answer. If the index goes back, as with a server that was restored or lags behind
// another one, it starts again from 0, and the next query does not wait.
func (a *asking) advance(index uint64) {
	if index < a.index {
		index = 0
	}
	a.index = index
}

// pauseAfter returns the pause after a failure. It is randomised, because all gateways have failed at the same time.
func (a *asking) pauseAfter(err error) time.Duration {
	pause := backoff.Spread(backoff.Doubling{First: shortestPause, Most: longestPause}.After(a.failures))
	if refused, ok := errors.AsType[*refusedError](err); ok {
		pause = max(pause, min(refused.after, mostAfter))
	}
	return pause
}

// endpoints makes endpoints of instances. An instance that cannot be one is logged once and left out.
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
