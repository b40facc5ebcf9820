package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// overhead is what a job costs beside its body and its result, in bytes.
const overhead = 512

// spare is how much is made free at once where there is no room: one part of so many of the
// bound, for looking through all jobs takes its time.
const spare = 50

// makeRoom holds the bounds for one more job. Where there is no room, jobs that have ended
// well, or because somebody wanted it, are forgotten before their time, the oldest first.
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

// sweep ends what waits and is too old, and forgets what has ended long ago.
func (q *Queue) sweep(now time.Time) {
	q.mu.Lock()
	var old []*entry
	var forget []change
	for _, e := range q.jobs {
		switch {
		case e.at >= 0 && !now.Before(e.job.Expires):
			q.lane(e.job.Place).drop(e)
			e.job.State = Running // somebody is at it: nobody else says how it ends
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

// Status is how a lane stands.
type Status struct {
	Place

	Served bool // somebody sends its jobs
	States map[State]int
	Oldest time.Time // when the oldest job was put that waits or runs; zero: there is none
	Paused time.Time // nothing is started before, for the backend had no time
	Tally  Tally
}

// Totals is how the whole queue stands.
type Totals struct {
	Jobs, MostJobs   int
	Bytes, MostBytes int64
	File             int64 // bytes of the file
	Unreadable       int   // records that cannot be read, and are left where they are
}

// Status tells how all lanes stand, in the order of their names.
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
		if s == nil { // of a route that was there before a restart
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
