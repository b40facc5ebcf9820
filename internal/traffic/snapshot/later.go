package snapshot

import (
	"context"

	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/sockets"
)

// attempt sends a job once.
type attempt func(ctx context.Context, a queue.Attempt) queue.Outcome

// Lanes returns how the jobs of the current snapshot's routes are sent, by the names of the routes. Each attempt is
// made by the snapshot that serves when the attempt begins; the attempt holds that snapshot as a request does.
func (g *Gateway) Lanes() map[string]queue.Lane {
	s := g.enter()
	if s == nil {
		return nil
	}
	defer s.use.leave()
	lanes := make(map[string]queue.Lane, len(s.Lanes))
	for name, later := range s.Lanes {
		lanes[name] = g.lane(later.Lane, func(s *Snapshot) attempt {
			later, spans := s.Lanes[name], s.Tracer
			if later == nil {
				return nil
			}
			return func(ctx context.Context, a queue.Attempt) queue.Outcome { return later.Run(ctx, a, spans) }
		})
	}
	return lanes
}

// Events returns how the events of the current snapshot's functions are processed, by the names of the functions, in
// the same way.
func (g *Gateway) Events() map[string]queue.Lane {
	s := g.enter()
	if s == nil {
		return nil
	}
	defer s.use.leave()
	lanes := make(map[string]queue.Lane, len(s.Events))
	for name, lane := range s.Events {
		lanes[name] = g.lane(lane, func(s *Snapshot) attempt { return s.Events[name].Run })
	}
	return lanes
}

// Way returns how the current snapshot tells functions about the WebSockets of the named route, or nil if it does not.
// The snapshot is held, as by a request, until release.
func (g *Gateway) Way(route string) (w sockets.Way, release func()) {
	s := g.enter()
	if s == nil {
		return nil, nil
	}
	use := s.use // not s itself, which a long connection would hold
	w, ok := s.Ways[route]
	if !ok {
		use.leave()
		return nil, nil
	}
	return w, use.leave
}

// lane returns l with attempts made by the snapshot that serves when they begin. by returns the attempt of a snapshot,
// or nil if it has none of that name.
func (g *Gateway) lane(l queue.Lane, by func(*Snapshot) attempt) queue.Lane {
	l.Run = func(ctx context.Context, a queue.Attempt) queue.Outcome {
		s := g.enter()
		if s == nil {
			return queue.Outcome{Verdict: queue.NotNow}
		}
		use := s.use // not s itself, which a long attempt would hold
		defer use.leave()
		run := by(s)
		if run == nil { // it was removed after the attempt began
			return queue.Outcome{Verdict: queue.NotNow, Reason: "it is gone from the config"}
		}
		return run(ctx, a)
	}
	return l
}
