package registry

import "errors"

// ErrCompacted says that the changes since a revision are no longer known, or that the revision was never one of this
// registry's. The watcher must begin again.
var ErrCompacted = errors.New("changes since this revision are not known any more")

// Watcher follows the instances of one service, or of all services. It holds only the revision that it has seen last.
// So a slow watcher costs nothing, and finds the latest state of each instance. Its methods must be called by one
// goroutine.
type Watcher struct {
	registry *Registry
	service  string // "" for all services
	wake     chan struct{}
	seen     uint64
	whole    bool // it has seen nothing yet
	counts   bool // it counts towards the limit
}

// Change is a change of one instance.
type Change struct {
	Service, ID string
	Entry       Entry // its Instance is nil if it was removed
	Revision    string
}

// Batch is what has changed since the previous batch, the oldest change first, each instance once.
type Batch struct {
	// Whole says that the changes contain all instances. An instance that is not among them is gone.
	Whole    bool
	Changes  []Change
	Revision string // of the registry
	// Settled says that all live instances have had time to register. Until then, a missing instance may be alive.
	Settled bool
}

// Watch begins to follow a service, or all services if service is "". If from is "", the first batch contains all
// instances; otherwise it contains the changes since the revision from. The error is ErrCompacted, ErrClosed or a
// *LimitError. The caller must call Close.
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

// Attend is Watch with from "" for this process's own use: no limit applies to it, and it works until the end, even
// after Release. The caller must call Close.
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

// Changed returns a channel that receives a value when there may be something new. The first value comes at once.
func (w *Watcher) Changed() <-chan struct{} { return w.wake }

// Next returns what has changed since the last call.
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

// nudge never blocks. A watcher that has not yet received the earlier value finds everything with it.
func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// spread wakes the watchers of the services that have changed after a revision. The caller holds r.mu.
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
