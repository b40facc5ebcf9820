package registry

import "errors"

// ErrCompacted says that what has changed since a revision is not known any more, or that
// it was never one of this registry's: who follows it begins anew.
var ErrCompacted = errors.New("changes since this revision are not known any more")

// Watcher follows the instances of one service, or of all. It holds nothing but what it has
// seen last, so that one that is slow costs nothing and finds the latest of each
// instance. Its methods are called by one goroutine.
type Watcher struct {
	registry *Registry
	service  string // "": all
	wake     chan struct{}
	seen     uint64
	whole    bool // it has seen nothing yet
	counts   bool // among those that are limited
}

// Change is what became of one instance.
type Change struct {
	Service, ID string
	Entry       Entry // its Instance is nil where it was removed
	Revision    string
}

// Batch is what has changed since the last one, the oldest change first, each instance
// once.
type Batch struct {
	// Whole tells that the changes are all instances there are: what is not among them is gone.
	Whole    bool
	Changes  []Change
	Revision string // that of the registry
	// Settled tells that everybody who lives has had the time to say so. Before, who is missing
	// may live.
	Settled bool
}

// Watch begins to follow a service, or all for "": with all there is where from is "", else
// with what has changed since that revision. The error is ErrCompacted, ErrClosed or a
// *LimitError. Close is to be called.
func (r *Registry) Watch(service, from string) (*Watcher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching >= r.state.limits.Watchers {
		r.state.tally.Refused++
		return nil, &LimitError{"watchers", int64(r.state.limits.Watchers)}
	}
	w := &Watcher{registry: r, service: service, wake: make(chan struct{}, 1), whole: from == "", counts: true}
	switch seen, ok := r.parse(from); {
	case r.shut:
		return nil, ErrClosed
	case w.whole:
	case !ok || seen < r.state.floor:
		return nil, ErrCompacted
	default:
		w.seen = seen
	}
	r.watching++
	r.attend(w)
	return w, nil
}

// Attend is Watch of all there is for this process's own use, which no limit concerns and
// which goes on until the end.
func (r *Registry) Attend(service string) *Watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &Watcher{registry: r, service: service, wake: make(chan struct{}, 1), whole: true}
	r.attend(w)
	return w
}

func (r *Registry) attend(w *Watcher) {
	if r.watchers[w.service] == nil {
		r.watchers[w.service] = map[*Watcher]struct{}{}
	}
	r.watchers[w.service][w] = struct{}{}
	w.nudge()
}

// Changed gives a value when there may be something new. The first one comes at once.
func (w *Watcher) Changed() <-chan struct{} { return w.wake }

// Next gives what has changed since the last call.
func (w *Watcher) Next() Batch {
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	list, forgot := r.state.since(w.service, w.seen)
	b := Batch{Whole: w.whole || forgot, Revision: r.name(r.state.revision), Settled: r.state.settled()}
	b.Changes = make([]Change, 0, len(list))
	for _, e := range list {
		switch {
		case e.instance != nil:
			b.Changes = append(b.Changes, Change{e.service, e.id, e.entry(), r.name(e.revision)})
		case !b.Whole:
			b.Changes = append(b.Changes, Change{Service: e.service, ID: e.id, Revision: r.name(e.revision)})
		}
	}
	w.seen, w.whole = r.state.revision, false
	return b
}

// Close ends the watch.
func (w *Watcher) Close() {
	r := w.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.watchers[w.service][w]; !there {
		return
	}
	if w.counts {
		r.watching--
	}
	if delete(r.watchers[w.service], w); len(r.watchers[w.service]) == 0 {
		delete(r.watchers, w.service)
	}
}

// nudge never waits: who has not come yet finds everything.
func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// spread tells those who watch of what has changed after a revision. r is locked.
func (r *Registry) spread(after uint64) {
	if r.state.revision == after {
		return
	}
	r.nudge("")
	for _, e := range r.state.changes.since(after) {
		r.nudge(e.service)
	}
}

func (r *Registry) nudge(service string) {
	for w := range r.watchers[service] {
		w.nudge()
	}
}
