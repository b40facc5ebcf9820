package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// The default bounds of a queue. They are documented promises.
const (
	DefaultJobs  = 100_000
	DefaultBytes = 1 << 30
)

// Options configure a Queue.
type Options struct {
	// Folder is the queue's own folder for its file. It is made when needed.
	Folder string
	// Jobs and Bytes bound what is kept, ended jobs included; 0 means the default. Bytes counts records, bodies and
	// results. The file is somewhat larger, and does not shrink.
	Jobs  int
	Bytes int64
	// Succeeds says that another process has the file and will let go of it (Release).
	Succeeds bool
	Log      *slog.Logger // nil for none
}

// Queue is safe for concurrent use. A nil *Queue accepts no jobs.
type Queue struct {
	options Options
	log     *slog.Logger
	store   *store
	wake    chan struct{}   // capacity 1; a value means that there may be something to start
	life    context.Context //nolint:containedctx // of the goroutines, from New to Close
	finish  context.CancelFunc
	cut     context.CancelCauseFunc // cancels the attempts
	attempt context.Context         //nolint:containedctx // of all attempts
	work    sync.WaitGroup          // the goroutines other than attempts
	under   sync.WaitGroup          // running attempts
	using   sync.WaitGroup          // operations that write

	mu       sync.Mutex
	opening  *opening
	jobs     map[string]*entry
	keys     map[keyed]*entry
	lanes    map[Place]*lane
	bytes    int64
	resting  bool // no more attempts are started
	released bool
	closed   bool
	late     map[string]bool // names of late files that earlier processes still have
	lost     int             // records that cannot be read
}

// opening is an attempt to open the file.
type opening struct {
	done chan struct{}
	err  error // valid once done is closed
}

func (o *opening) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// entry is the queue's record of a job. Its fields are guarded by the queue's mu.
type entry struct {
	job    Job
	size   int64         // bytes on disk
	result int64         // how many of them are the result
	at     int           // index in the heap of its lane; -1 if it is not waiting
	stored chan struct{} // closed when it is known whether the job is on disk
	failed bool          // the job could not be stored
	cancel context.CancelCauseFunc
	wanted bool // cancellation was requested
	// changing says that a requested change is being stored. A second change could otherwise reach the disk first.
	changing bool
}

// errChanging is the error for a second change while the first is being stored.
var errChanging = fmt.Errorf("%w just now: the job is being changed", ErrUnavailable)

// keyed identifies a job by its key: two Puts with the same values are one job.
type keyed struct {
	Place

	owner, key string
}

func (j *Job) keyed() keyed { return keyed{j.Place, j.Owner, j.Key} }

// New makes a queue. If the file exists, New begins to open it; otherwise the first call of Open does. The error says
// why the folder cannot be used.
func New(o Options) (*Queue, error) {
	if err := statefile.Check(o.Folder); err != nil {
		return nil, err
	}
	o.Jobs, o.Bytes = cmp.Or(o.Jobs, DefaultJobs), cmp.Or(o.Bytes, DefaultBytes)
	q := &Queue{
		options: o, log: o.Log, wake: make(chan struct{}, 1),
		jobs: map[string]*entry{}, keys: map[keyed]*entry{}, lanes: map[Place]*lane{}, late: map[string]bool{},
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	q.life, q.finish = context.WithCancel(context.Background())
	q.attempt, q.cut = context.WithCancelCause(context.Background())
	if there(q.path(fileName)) {
		q.begin()
	}
	return q, nil
}

// lockPatience is how long Open waits for another process that has the file.
const lockPatience = 3 * time.Second

// Open makes the queue accept jobs. The error says why it cannot. If this process succeeds another that still has the
// file, Open returns nil after lockPatience. The file is opened when the other process lets go of it, and Put waits for
// that.
func (q *Queue) Open() error {
	if q == nil {
		return errors.New("there is no state folder")
	}
	o := q.begin()
	timer := time.NewTimer(lockPatience)
	defer timer.Stop()
	select {
	case <-o.done:
		return o.err
	case <-timer.C:
	}
	if q.options.Succeeds {
		return nil
	}
	return fmt.Errorf("another process has %s open", q.path(fileName))
}

// begin opens the file in the background, unless that is done or in progress.
func (q *Queue) begin() *opening {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o := q.opening; o != nil && (!o.over() || o.err == nil) {
		return o
	}
	o := &opening{done: make(chan struct{})}
	q.opening = o
	q.work.Go(func() { q.open(o) })
	return o
}

// putPatience bounds how long a Put waits for the file.
const putPatience = 10 * time.Second

// ready waits until the file is open.
func (q *Queue) ready(ctx context.Context) error {
	if q == nil {
		return ErrUnavailable
	}
	q.mu.Lock()
	o := q.opening
	q.mu.Unlock()
	if o == nil {
		return ErrUnknown
	}
	if o.over() {
		return o.because()
	}
	ctx, cancel := context.WithTimeout(ctx, putPatience)
	defer cancel()
	select {
	case <-o.done:
		return o.because()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

func (o *opening) because() error {
	if o.err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, o.err)
	}
	return nil
}

// Put stores a job. When Put returns without an error, the job is on disk. If the same owner has used n's key before in
// the same place, Put returns that job, and again is true.
func (q *Queue) Put(ctx context.Context, n Draft) (job Job, again bool, err error) {
	if err := q.ready(ctx); err != nil {
		if errors.Is(err, ErrUnknown) { // it was never opened
			err = ErrUnavailable
		}
		return Job{}, false, err
	}
	e, forget, again, err := q.reserve(n)
	if err != nil {
		return Job{}, false, err
	}
	defer q.using.Done()
	if again {
		return q.same(ctx, e)
	}
	changes, err := e.changes(n.Body)
	if err == nil {
		err = q.store.commit(append(changes, forget...)...)
	}
	return q.decided(e, err)
}

// reserve makes an entry for a new job that is not on disk yet, or finds the job with its key. It adds the caller to
// q.using; the caller must call q.using.Done.
func (q *Queue) reserve(n Draft) (e *entry, forget []change, again bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, nil, false, ErrUnavailable
	case n.Key == "":
	case q.keys[keyed{n.Place, n.Owner, n.Key}] != nil:
		e := q.keys[keyed{n.Place, n.Owner, n.Key}]
		if e.job.Digest != n.Digest {
			return nil, nil, false, ErrMismatch
		}
		q.using.Add(1)
		return e, nil, true, nil
	}
	size := int64(len(n.Body)) + overhead
	forget, err = q.makeRoom(n.Place, n.Most, size)
	if err != nil {
		return nil, nil, false, err
	}
	e = q.entryOf(n, time.Now().UTC())
	q.add(e)
	q.using.Add(1)
	return e, forget, false, nil
}

// entryOf makes the entry of a new job that is not stored yet.
func (q *Queue) entryOf(n Draft, now time.Time) *entry {
	return &entry{at: -1, size: int64(len(n.Body)) + overhead, stored: make(chan struct{}), job: Job{
		Place: n.Place, ID: newID(now), Owner: n.Owner, Key: n.Key, Digest: n.Digest, About: n.About, Purpose: n.Purpose,
		State: Queued, Created: now, Age: n.Age, Due: now.Add(n.Delay), Expires: now.Add(n.Age), Keep: n.Keep,
	}}
}

// newID makes an ID. It begins with the time, so that jobs put one after the other are stored together on disk. 128
// random bits follow, which nobody can guess.
func newID(now time.Time) string {
	var raw [24]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixNano()))
	_, _ = rand.Read(raw[8:]) // never fails (crypto/rand)
	return hex.EncodeToString(raw[:])
}

// changes returns the changes that store a new job.
func (e *entry) changes(body []byte) ([]change, error) {
	raw, err := e.job.encode()
	if err != nil {
		return nil, err
	}
	if body == nil { // nil would store no body, and the job could not be sent
		body = []byte{}
	}
	return []change{{inRecords, e.job.ID, raw}, {inBodies, e.job.ID, body}}, nil
}

// decided queues a new job, or removes it if it could not be stored.
func (q *Queue) decided(e *entry, err error) (Job, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer close(e.stored)
	if err != nil {
		e.failed = true
		q.remove(e)
		q.log.Error("a job could not be stored, and was refused", "lane", e.job.LaneName(), "error", err)
		return Job{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l := q.lane(e.job.Place)
	l.tally.Put++
	l.push(e)
	q.nudge()
	return e.job, false, nil
}

// same waits until it is known whether the job with the same key is stored.
func (q *Queue) same(ctx context.Context, e *entry) (Job, bool, error) {
	select {
	case <-e.stored:
	case <-ctx.Done():
		return Job{}, false, ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.failed {
		return Job{}, false, ErrUnavailable
	}
	return e.job, true, nil
}

// Get returns a job. The error is ErrUnknown if there is none, or ErrUnavailable if that cannot be told at the moment.
func (q *Queue) Get(ctx context.Context, id string) (Job, error) {
	if err := q.ready(ctx); err != nil {
		return Job{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	e, err := q.find(id)
	if err != nil {
		return Job{}, err
	}
	return e.job, nil
}

// find returns the entry of a job that is on disk.
func (q *Queue) find(id string) (*entry, error) {
	e := q.jobs[id]
	if e == nil {
		if len(q.late) > 0 || q.released {
			return nil, fmt.Errorf("%w: another process may have it", ErrUnavailable)
		}
		return nil, ErrUnknown
	}
	select {
	case <-e.stored:
		return e, nil
	default: // no caller knows its ID yet
		return nil, ErrUnknown
	}
}

// Result returns the result that the last attempt has left, or nil if it has left none.
func (q *Queue) Result(id string) ([]byte, error) {
	raw, err := q.store.read(inResults, id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return raw, nil
}

// Body returns the body that was put, or nil if there is no such job.
func (q *Queue) Body(id string) ([]byte, error) {
	raw, err := q.store.read(inBodies, id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return raw, nil
}

// Filter selects jobs. An empty field matches all.
type Filter struct {
	Place Place // Lane may be empty on its own
	State State
	Most  int
}

// List returns the jobs that match, the newest first and at most f.Most, and how many match in all.
func (q *Queue) List(f Filter) (list []Job, all int) {
	if q == nil {
		return nil, 0
	}
	q.mu.Lock()
	for _, e := range q.jobs {
		fits := (f.Place.Kind == "" || f.Place.Kind == e.job.Kind) && (f.Place.Lane == "" || f.Place.Lane == e.job.Lane)
		if fits && (f.State == "" || f.State == e.job.State) {
			list = append(list, e.job)
		}
	}
	q.mu.Unlock()
	slices.SortFunc(list, func(a, b Job) int { return cmp.Compare(b.ID, a.ID) })
	all = len(list)
	if f.Most > 0 && len(list) > f.Most {
		list = list[:f.Most]
	}
	return list, all
}

// Cancel cancels a job. A waiting job is Cancelled at once. A running job is Cancelled when its attempt notices, unless
// the attempt succeeds. The error is ErrState if the job has ended.
func (q *Queue) Cancel(ctx context.Context, id string) (Job, error) {
	return q.change(ctx, id, func(e *entry) (changed bool, err error) {
		switch {
		case e.job.State == Running:
			e.wanted = true
			if e.cancel != nil {
				e.cancel(errCancelled)
			}
			return false, nil
		case e.job.State.Ended():
			return false, ErrState
		}
		q.lane(e.job.Place).drop(e)
		e.job.end(Cancelled, "", time.Now().UTC())
		return true, nil
	})
}

// Retry makes an ended job wait again, as if it were new. A job that is Done cannot be retried.
func (q *Queue) Retry(ctx context.Context, id string) (Job, error) {
	return q.change(ctx, id, func(e *entry) (changed bool, err error) {
		if !e.job.State.Ended() || e.job.State == Done {
			return false, ErrState
		}
		now := time.Now().UTC()
		e.job.Expires = now.Add(e.job.Age)
		e.job.State, e.job.Due, e.job.Failures = Queued, now, 0
		e.job.Ended, e.job.Until, e.job.Reason = time.Time{}, time.Time{}, ""
		return true, nil
	})
}

// changeable finds a job that may be changed now. The caller holds q.mu.
func (q *Queue) changeable(id string) (*entry, error) {
	e, err := q.find(id)
	switch {
	case err != nil:
		return nil, err
	case q.closed || q.released:
		return nil, ErrUnavailable
	case e.changing:
		return nil, errChanging
	}
	return e, nil
}

// change changes a job that no other operation is changing, and stores it. A job that waits again returns to its lane
// when it is on disk.
func (q *Queue) change(ctx context.Context, id string, how func(*entry) (bool, error)) (Job, error) {
	if err := q.ready(ctx); err != nil {
		return Job{}, err
	}
	q.mu.Lock()
	e, err := q.changeable(id)
	changed := false
	if err == nil {
		changed, err = how(e)
	}
	if err != nil || !changed {
		defer q.mu.Unlock()
		if err != nil {
			return Job{}, err
		}
		return e.job, nil
	}
	job := e.job
	e.changing = true
	q.using.Add(1)
	q.mu.Unlock()
	defer q.using.Done()
	raw, err := job.encode()
	if err == nil {
		err = q.store.commit(change{inRecords, id, raw})
	}
	if err != nil {
		q.log.Error("a change of a job is not on disk; a restart will not know of it", "job", id, "error", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	e.changing = false
	if e.job.State == Queued && e.at < 0 {
		q.lane(e.job.Place).push(e)
		q.nudge()
	}
	return e.job, nil
}

// Drop forgets a job that has ended.
func (q *Queue) Drop(ctx context.Context, id string) error {
	if err := q.ready(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	e, err := q.changeable(id)
	if err == nil && !e.job.State.Ended() {
		err = ErrState
	}
	if err != nil {
		q.mu.Unlock()
		return err
	}
	q.remove(e)
	q.using.Add(1)
	q.mu.Unlock()
	defer q.using.Done()
	return q.store.commit(e.removal()...)
}

// removal returns the changes that forget a job.
func (e *entry) removal() []change {
	return []change{{inRecords, e.job.ID, nil}, {inBodies, e.job.ID, nil}, {inResults, e.job.ID, nil}}
}

// add adds e to the jobs.
func (q *Queue) add(e *entry) {
	q.jobs[e.job.ID] = e
	if e.job.Key != "" {
		q.keys[e.job.keyed()] = e
	}
	q.bytes += e.size
}

// remove removes e from the jobs.
func (q *Queue) remove(e *entry) {
	if q.jobs[e.job.ID] != e {
		return
	}
	q.lane(e.job.Place).drop(e)
	delete(q.jobs, e.job.ID)
	if e.job.Key != "" && q.keys[e.job.keyed()] == e {
		delete(q.keys, e.job.keyed())
	}
	q.bytes -= e.size
}

// nudge wakes the scheduler.
func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
