package compile

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/traffic/variant"
)

// queue returns the queue for a filter, or nil if a config is only checked.
func (o *road) queue() (*queue.Queue, error) {
	if !o.start {
		return nil, nil
	}
	q := o.compiler.options.Queue
	err := q.Open()
	return q, err
}

// bounds returns the bounds of the addresses that a filter of the route calls itself.
func (o *road) bounds() *egress.Bounds {
	group, from := o.route.Group, o.route.Origin
	bounds := o.cfg.Bounds(group, from)
	o.notes.note(func(b *build) any { return b.cfg.Bounds(group, from).String() }, bounds.String())
	return bounds
}

// jobs is the name under which explain shows the backend that reports the status of jobs.
const jobs = "jobs"

// status lays the second road of a route that sends later: it has the same guards, and ends in the backend that reports
// the status of jobs.
func (o *road) status(onRoute built) {
	later := onRoute.later
	if later == nil {
		return
	}
	later.Tell = onRoute.tell()
	told := *o.target
	told.Later, told.Forwarded = nil, nil
	told.Choice = variant.New([]variant.Variant{{Name: jobs, Weight: 1, Backend: later.Status}}, nil)
	told.Backends = []snapshot.BackendNote{{Name: jobs, Weight: 1, Origin: o.route.Origin}}
	guarded := onRoute.guard(proxyTo(o.options, told.Choice))
	told.Handler = o.withoutManaged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		later.Recall(r)
		guarded.ServeHTTP(w, r)
	}))
	o.target.Jobs = &told
}

// addStatus adds the rules of the second road.
func (l *laid) addStatus(cfg *config.Config, matches rules) {
	if l.target.Jobs == nil {
		return
	}
	for _, m := range statusMatches(l.target.Later.Path, l.route) {
		l.addMatch(cfg, matches, m, withoutCondition(l.route, &m), l.target.Jobs)
	}
}

// statusMatches returns the matches of requests that ask for a job's status or cancel it.
func statusMatches(path string, r *config.Route) []config.Match {
	var list []config.Match
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		list = append(list, config.Match{Method: method, Path: config.PathMatch{Pattern: path}, Origin: r.Origin})
	}
	return list
}
