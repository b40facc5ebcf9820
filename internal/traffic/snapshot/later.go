package snapshot

import (
	"context"

	"github.com/weir-gateway/weir/internal/base/queue"
)

// Lanes are how the jobs of the current snapshot's routes are sent, by the names of the routes.
// Each attempt is made by the snapshot that serves when it begins, which it holds as a request does.
func (g *Gateway) Lanes() map[string]queue.Lane {
	s := g.enter()
	if s == nil {
		return nil
	}
	defer s.use.leave()
	lanes := make(map[string]queue.Lane, len(s.Lanes))
	for name, later := range s.Lanes {
		lane := later.Lane
		lane.Run = func(ctx context.Context, a queue.Attempt) queue.Outcome { return g.send(ctx, name, a) }
		lanes[name] = lane
	}
	return lanes
}

func (g *Gateway) send(ctx context.Context, route string, a queue.Attempt) queue.Outcome {
	s := g.enter()
	if s == nil {
		return queue.Outcome{Verdict: queue.NotNow}
	}
	use := s.use // not s itself, which a long attempt would hold
	defer use.leave()
	later, spans := s.Lanes[route], s.Tracer
	if later == nil { // it is gone since the attempt was begun
		return queue.Outcome{Verdict: queue.NotNow, Reason: "the route is gone"}
	}
	return later.Run(ctx, a, spans)
}

// Events are how the events of the current snapshot's functions are processed, by the names of
// the functions, in the same way.
func (g *Gateway) Events() map[string]queue.Lane {
	s := g.enter()
	if s == nil {
		return nil
	}
	defer s.use.leave()
	lanes := make(map[string]queue.Lane, len(s.Events))
	for name, lane := range s.Events {
		lane.Run = func(ctx context.Context, a queue.Attempt) queue.Outcome { return g.process(ctx, name, a) }
		lanes[name] = lane
	}
	return lanes
}

func (g *Gateway) process(ctx context.Context, function string, a queue.Attempt) queue.Outcome {
	s := g.enter()
	if s == nil {
		return queue.Outcome{Verdict: queue.NotNow}
	}
	use := s.use // not s itself, which a long attempt would hold
	defer use.leave()
	lane, ok := s.Events[function]
	if !ok { // it is gone since the attempt was begun
		return queue.Outcome{Verdict: queue.NotNow, Reason: "the function is gone"}
	}
	return lane.Run(ctx, a)
}
