package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// overhead is what a job costs in addition to its body and its result, in bytes.
const overhead = 512

// spare is the divisor for how much room is made at once: one part in spare of each bound. Making room looks through
// all jobs, which takes time.
const spare = 50

// makeRoom enforces the bounds for one more job. If there is no room, jobs that are Done, Failed or Cancelled are
// forgotten before their time, the oldest first.
func (q *Queue) makeRoom(p Place, most int, size int64) (forget []change, err error) {
	if l := q.lane(p); most > 0 && len(l.waiting)+l.running >= most {
		return nil, ErrFull
	}
	if q.fits(1, size) {
		return nil, nil
	}
	var ended []*entry
	var theirs int64
	for _, e := range q.jobs {
		if s := e.job.State; s == Done || s == Failed || s == Cancelled {
			ended = append(ended, e)
			theirs += e.size
		}
	}
	if !q.fits(1-len(ended), size-theirs) {
		return nil, ErrFull
	}
	slices.SortFunc(ended, func(a, b *entry) int { return cmp.Compare(a.job.ID, b.job.ID) })
	for _, e := range ended {
		if q.fits(1+q.options.Jobs/spare, size+q.options.Bytes/spare) {
			break
		}
		q.remove(e)
		forget = append(forget, e.removal()...)
	}
	return forget, nil
}

func (q *Queue) fits(jobs int, bytes int64) bool {
	return len(q.jobs)+jobs <= q.options.Jobs && q.bytes+bytes <= q.options.Bytes
}

// sweep ends waiting jobs that are too old, and forgets ended jobs that have been kept long enough.
func (q *Queue) sweep(now time.Time) {
	q.mu.Lock()
	var old []*entry
	var forget []change
	for _, e := range q.jobs {
		switch {
		case e.at >= 0 && !now.Before(e.job.Expires):
			q.lane(e.job.Place).drop(e)
			e.job.State = Running // claimed here: nothing else decides how it ends
			old = append(old, e)
		case e.job.State.Ended() && !now.Before(e.job.Until):
			q.remove(e)
			forget = append(forget, e.removal()...)
		}
	}
	if q.closed || q.released {
		q.mu.Unlock()
		return
	}
	q.using.Add(1)
	q.mu.Unlock()
	defer q.using.Done()
	if len(forget) > 0 {
		q.store.note(forget...)
	}
	for _, e := range old {
		q.tooOld(e, now.UTC())
	}
}

// tooOld ends a job that waited too long.
func (q *Queue) tooOld(e *entry, now time.Time) {
	q.mu.Lock()
	job, l := e.job, q.lane(e.job.Place)
	var serves Lane
	reason := tooOld(job.Reason)
	if l.serves != nil {
		serves = *l.serves
	} else {
		reason += "; nobody sends jobs of " + l.place.LaneName() + " any more"
	}
	q.mu.Unlock()
	job.end(Dead, reason, now)
	body, err := q.Body(job.ID)
	if err != nil {
		q.log.Error("a job cannot be read", "job", job.ID, "error", err)
	}
	q.conclude(serves, e, job, body, nil)
}

// Status is the current state of a lane.
type Status struct {
	Place

	Served bool // its jobs are being sent
	States map[State]int
	Oldest time.Time // when the oldest job was put that waits or runs; zero if there is none
	Paused time.Time // no attempt starts before this time, because the backend had no time
	Tally  Tally
}

// Totals is the current state of the whole queue.
type Totals struct {
	Jobs, MostJobs   int
	Bytes, MostBytes int64
	File             int64 // bytes of the file
	Unreadable       int   // records that cannot be read, and are left in place
}

// Status returns the state of all lanes, sorted by their names.
func (q *Queue) Status() ([]Status, Totals) {
	if q == nil {
		return nil, Totals{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	byPlace := map[Place]*Status{}
	for p, l := range q.lanes {
		s := &Status{Place: p, Served: l.serves != nil, States: map[State]int{}, Paused: l.paused, Tally: l.tally}
		s.Tally.Ended = maps.Clone(l.tally.Ended)
		byPlace[p] = s
	}
	for _, e := range q.jobs {
		s := byPlace[e.job.Place]
		if s == nil { // a lane from before a restart that is no longer used
			s = &Status{Place: e.job.Place, States: map[State]int{}}
			byPlace[e.job.Place] = s
		}
		s.States[e.job.State]++
		if !e.job.State.Ended() && (s.Oldest.IsZero() || e.job.Created.Before(s.Oldest)) {
			s.Oldest = e.job.Created
		}
	}
	list := make([]Status, 0, len(byPlace))
	for _, s := range byPlace {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Lane, b.Lane)) })
	t := Totals{Jobs: len(q.jobs), MostJobs: q.options.Jobs, Bytes: q.bytes, MostBytes: q.options.Bytes, Unreadable: q.lost}
	if q.store != nil {
		t.File = q.store.size()
	}
	return list, t
}
