package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// ErrClosed says that this registry accepts no more changes: another process has taken over, or the registry is closed.
var ErrClosed = errors.New("the registry takes nothing any more")

// Options configure a Registry.
type Options struct {
	// Folder is the registry's own folder for its file. It is made when needed. If it is "", the registry is kept in
	// memory only, and after a restart instances register again.
	Folder string
	// Succeeds says that another process has the file and will let go of it (Release).
	Succeeds bool
	// MaxAge is the greatest age of the file at which its content still counts; 0 means a day.
	MaxAge time.Duration
	Log    *slog.Logger // nil for none
}

// Registry is safe for concurrent use.
type Registry struct {
	options Options
	log     *slog.Logger
	epoch   string // identifies this process's revisions
	start   time.Time
	wake    chan struct{} // capacity 1; a value means that there may be an earlier alarm
	life    context.Context
	finish  context.CancelFunc
	work    sync.WaitGroup
	opening sync.Once
	loaded  chan struct{} // closed when the file's content is restored, or it is known that there is none

	mu       sync.Mutex
	state    *state
	settled  bool // watchers have been told that the registry is settled
	store    *store
	unkept   error // why there is no store, if there should be one
	shut     bool
	watchers map[string]map[*Watcher]struct{} // by service; "" for all services
	watching int
	frozen   uint64 // the value of Tally.Frozen that was logged last
}

// New makes a registry, which runs nothing before Open. The error says why the folder cannot be used.
func New(o Options) (*Registry, error) {
	if o.Folder != "" {
		if err := statefile.Check(o.Folder); err != nil {
			return nil, err
		}
	}
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	var random [5]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	r := &Registry{
		options: o, log: o.Log, epoch: hex.EncodeToString(random[:]), start: time.Now(), wake: make(chan struct{}, 1), loaded: make(chan struct{}),
		watchers: map[string]map[*Watcher]struct{}{},
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.life, r.finish = context.WithCancel(context.Background())
	r.state = newState(Limits{}, r.touched)
	return r, nil
}

// loadPatience is how long Open waits for the file's content.
const loadPatience = 2 * time.Second

// Open makes the registry accept instances. It returns when the file's content has been restored, or after
// loadPatience.
func (r *Registry) Open() {
	r.opening.Do(func() {
		r.mu.Lock()
		shut := r.shut
		if !shut {
			r.work.Go(r.run)
			r.work.Go(r.load)
		}
		r.mu.Unlock()
	})
	timer := time.NewTimer(loadPatience)
	defer timer.Stop()
	select {
	case <-r.loaded:
	case <-r.life.Done():
	case <-timer.C:
	}
}

// Limit sets the limits. Instances already beyond them stay.
func (r *Registry) Limit(l Limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.limits = l.orDefaults()
}

// now is the state's current time.
func (r *Registry) now() time.Duration { return time.Since(r.start) }

// run advances the state's time until the registry ends.
func (r *Registry) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.life.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		d, ok := r.round()
		timer.Stop()
		if ok {
			timer.Reset(max(d, shortest))
		}
	}
}

// shortest is the least time between two looks at the alarms, so that alarms close together are handled together.
const shortest = 20 * time.Millisecond

// round ends the leases that are over, and returns when to look next.
func (r *Registry) round() (d time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, revision := r.state.tally, r.state.revision
	r.state.expire(r.now())
	r.tell(before)
	r.spread(revision)
	if !r.settled && r.state.settled() {
		r.settled = true
		for name := range r.watchers {
			r.nudge(name)
		}
	}
	return r.state.next()
}

// tell logs what an expiry has found. The caller holds r.mu.
func (r *Registry) tell(before Tally) {
	now := r.state.tally
	if n := now.Frozen - r.frozen; n > 0 { // calls other than round may have seen it first
		r.frozen = now.Frozen
		r.log.Warn("this process was away, so that nobody could be heard; every instance has its full time again", "instances", r.state.instances)
	}
	if n := now.Suspected - before.Suspected; n > 0 {
		r.log.Warn("most of a service, or of all, fell silent together; they are kept as suspect until they are heard again, or for their deregister_after", "instances", n, "suspect", r.state.suspects)
	}
	if n := now.Expired - before.Expired; n > 0 {
		r.log.Info("instances were silent for too long and are removed", "instances", n, "left", r.state.instances)
	}
}

// touched is called by the state for each instance that has changed.
func (r *Registry) touched(e *entry) {
	if r.store != nil {
		r.store.note(e.service, e.id, e.instance)
	}
}

// Put registers an instance, or updates it. The registry owns i from then on. Putting the same again is a heartbeat.
// The error is a *LimitError or ErrClosed.
func (r *Registry) Put(i *Instance) (e Entry, created bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return Entry{}, false, ErrClosed
	}
	revision := r.state.revision
	created, _, err = r.state.put(r.now(), i)
	if err != nil {
		return Entry{}, false, err
	}
	r.spread(revision)
	r.stir()
	return r.state.find(i.Service, i.ID).entry(), created, nil
}

// Heartbeat records that an instance is alive. The error is ErrUnknown or ErrClosed.
func (r *Registry) Heartbeat(service, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return ErrClosed
	}
	revision := r.state.revision
	err := r.state.heartbeat(r.now(), service, id)
	r.spread(revision)
	return err
}

// Remove removes an instance. The error is ErrUnknown or ErrClosed.
func (r *Registry) Remove(service, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return ErrClosed
	}
	revision := r.state.revision
	err := r.state.remove(r.now(), service, id)
	r.spread(revision)
	return err
}

// Get returns one instance.
func (r *Registry) Get(service, id string) (Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.state.find(service, id); e != nil {
		return e.entry(), nil
	}
	return Entry{}, ErrUnknown
}

// List returns the instances of a service, or of all services if service is "", sorted by service and id. It also
// returns the revision that they belong to.
func (r *Registry) List(service string) (entries []Entry, revision string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.living(service), r.name(r.state.revision)
}

// Settled reports whether all live instances have had time to register since the start.
func (r *Registry) Settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.look(r.now())
	return r.state.settled()
}

// name formats a revision for clients. The epoch tells it apart from revisions of another process.
func (r *Registry) name(revision uint64) string {
	return r.epoch + "-" + strconv.FormatUint(revision, 10)
}

// parse reads what name has written. ok is false for a revision of another process or one that does not exist yet.
func (r *Registry) parse(name string) (revision uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, r.epoch+"-")
	if !ok {
		return 0, false
	}
	revision, err := strconv.ParseUint(digits, 10, 64)
	return revision, err == nil && revision <= r.state.revision
}

// stir makes run look at the alarms again.
func (r *Registry) stir() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Status describes the registry's current state.
type Status struct {
	Services, Instances, Suspects, Watchers int
	Bytes                                   int64
	Limits                                  Limits
	Settled                                 bool
	Kept                                    bool // there is a file
	// Trouble is why the registered instances are not in the file. It is nil if they are or soon will be, or if there
	// is to be no file.
	Trouble error
	Tally   Tally
}

// Status returns the current status.
func (r *Registry) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, trouble := r.state, r.unkept
	if r.store != nil {
		trouble = r.store.failing()
	}
	return Status{
		Services: s.services, Instances: s.instances, Suspects: s.suspects, Watchers: r.watching, Bytes: s.bytes, Limits: s.limits,
		Settled: s.settled(), Kept: r.store != nil && !errors.Is(trouble, errBroken), Trouble: trouble, Tally: s.tally,
	}
}

// Release lets go of the file for the process that takes over. Instances are to register there from now on. The state
// can still be read. Close must still be called.
func (r *Registry) Release() { r.end() }

// Close ends the registry once everything is in its file.
func (r *Registry) Close() {
	r.end()
	r.work.Wait()
}

func (r *Registry) end() {
	r.mu.Lock()
	if r.shut {
		r.mu.Unlock()
		return
	}
	r.shut = true
	s := r.store
	r.store = nil
	r.mu.Unlock()
	r.finish()
	if s != nil {
		s.end()
	}
}

// load restores the file's content as soon as no other process has the file.
func (r *Registry) load() {
	if r.options.Folder == "" {
		close(r.loaded)
		return
	}
	defer close(r.loaded)
	debug.SetPanicOnFault(true) // as in store.run
	s, list, err := openStore(r.life, r.options, r.log)
	if err != nil {
		if r.life.Err() == nil {
			r.log.Error("the registry is kept in memory only; after a restart instances register again", "error", err)
			r.mu.Lock()
			r.unkept = err
			r.mu.Unlock()
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		r.work.Go(s.end)
		return
	}
	for _, e := range r.state.living("") { // instances that registered before this process had the file
		s.note(e.Service, e.ID, e.Instance)
	}
	r.store = s
	revision := r.state.revision
	if taken := r.state.restore(r.now(), list); taken > 0 {
		r.state.settles = 0 // the instances of before the start are known
		r.log.Info("instances of before the start are back, and have their full time to be heard", "instances", taken)
	}
	r.spread(revision)
	r.stir()
}
