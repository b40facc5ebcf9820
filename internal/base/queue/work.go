package queue

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// The causes with which the context of an attempt ends.
var (
	errCancelled = errors.New("the job was cancelled")
	errEnding    = errors.New("the gateway is ending")
)

// sweepEvery is how often the scheduler looks for jobs that are too old.
const sweepEvery = 20 * time.Second

// schedule starts attempts when they are due, until the queue ends.
func (q *Queue) schedule() {
	timer, sweep := time.NewTimer(0), time.NewTicker(sweepEvery)
	defer timer.Stop()
	defer sweep.Stop()
	for {
		if next := q.startDue(time.Now()); next > 0 {
			timer.Reset(next)
		}
		select {
		case <-q.wake:
		case <-timer.C:
		case <-sweep.C:
			q.sweep(time.Now())
		case <-q.life.Done():
			return
		}
	}
}

// startDue starts the attempts that are due, and returns the time until the next one; 0 if that is unknown.
func (q *Queue) startDue(now time.Time) (next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.resting {
		return 0
	}
	for _, l := range q.lanes {
		in, waits := q.startIn(l, now)
		if waits && (next == 0 || in < next) {
			next = max(in, time.Millisecond)
		}
	}
	return next
}

// startIn starts the attempts that are due in one lane. waits says that the next one is due later, after in.
func (q *Queue) startIn(l *lane, now time.Time) (in time.Duration, waits bool) {
	for l.room() > 0 && len(l.waiting) > 0 {
		due := l.waiting[0].job.Due
		if l.paused.After(due) {
			due = l.paused
		}
		if due.After(now) {
			return due.Sub(now), true
		}
		e, _ := heap.Pop(&l.waiting).(*entry)
		q.begins(l, e, now.UTC())
	}
	return 0, false
}

// begins starts an attempt.
func (q *Queue) begins(l *lane, e *entry, now time.Time) {
	e.job.State, e.job.Started = Running, now
	e.job.Attempts++
	l.running++
	ctx, cancel := context.WithCancelCause(q.attempt)
	e.cancel = cancel
	job, serves := e.job, *l.serves
	q.using.Add(1)
	q.under.Go(func() {
		defer q.using.Done()
		defer cancel(nil)
		if raw, err := job.encode(); err == nil {
			q.store.note(change{inRecords, job.ID, raw})
		}
		body, err := q.Body(job.ID)
		outcome := Outcome{Verdict: NotNow, Reason: "what is stored of it cannot be read"}
		switch {
		case err != nil:
			q.log.Error("a job cannot be read", "job", job.ID, "lane", job.LaneName(), "error", err)
		case body == nil:
			outcome.Verdict = Hopeless
		default:
			outcome = q.run(ctx, serves, Attempt{job, body})
		}
		q.settle(ctx, serves, e, body, outcome)
	})
}

// run makes the attempt. A panic in the lane's code counts as a failure of this one job.
func (q *Queue) run(ctx context.Context, serves Lane, a Attempt) (o Outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			q.log.Error("panic in an attempt of a job", "job", a.Job.ID, "lane", a.Job.LaneName(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			o = Outcome{Verdict: Again, Reason: "something went wrong inside the gateway"}
		}
	}()
	return serves.Run(ctx, a)
}

// settle stores the outcome of an attempt, and continues with the job accordingly.
func (q *Queue) settle(ctx context.Context, serves Lane, e *entry, body []byte, o Outcome) {
	now := time.Now().UTC()
	q.mu.Lock()
	l := q.lane(e.job.Place)
	if ended := context.Cause(ctx); errors.Is(ended, errEnding) && o.Verdict >= Again {
		o = Outcome{Verdict: NotNow, After: time.Millisecond, Reason: "the gateway ended meanwhile"}
	} else {
		l.heard(o, now)
	}
	job := e.job
	job.follow(o, serves.Retry, l.pause(o), now)
	if e.wanted && (!job.State.Ended() || job.State == Dead) {
		job.end(Cancelled, "", now)
	}
	job.HasResult = job.HasResult || o.Result != nil
	q.mu.Unlock()
	q.conclude(serves, e, job, body, o.Result)
	q.mu.Lock()
	defer q.mu.Unlock()
	l.running--
	q.nudge()
}

// follow updates j after an attempt. pause is how long the lane starts nothing. After NotNow, j waits at least that
// long.
func (j *Job) follow(o Outcome, retry Retry, pause time.Duration, now time.Time) {
	switch o.Verdict {
	case Succeeded:
		j.end(Done, o.Reason, now)
		return
	case Refused:
		j.end(Failed, o.Reason, now)
		return
	case Hopeless:
		j.end(Dead, o.Reason, now)
		return
	case NotNow:
		j.Due = now.Add(max(o.After, pause))
	case Again:
		j.Failures++
		if j.Failures > retry.Times {
			j.end(Dead, o.Reason, now)
			return
		}
		j.Due = now.Add(max(o.After, retry.after(j.Failures)))
	}
	j.State, j.Reason = Queued, o.Reason
	if !j.Due.Before(j.Expires) {
		j.end(Dead, tooOld(o.Reason), now)
	}
}

func tooOld(reason string) string {
	const text = "it is too old to be tried again"
	if reason == "" {
		return text
	}
	return text + "; at last: " + reason
}

// end makes j a job that has ended.
func (j *Job) end(s State, reason string, now time.Time) {
	j.State, j.Reason, j.Ended, j.HeldBy = s, reason, now, ""
	keep := j.Keep.Ended
	if s == Dead {
		keep = j.Keep.Dead
	}
	j.Until = now.Add(keep)
}

// conclude stores the new state of a job together with the jobs that follow from its end, and then makes them visible.
// If the disk cannot be written, conclude keeps retrying; no caller waits for it.
func (q *Queue) conclude(serves Lane, e *entry, job Job, body, result []byte) {
	changes, follow := q.consequences(serves, job, body, result)
	q.insist(job, changes)
	q.mu.Lock()
	if e.wanted && !job.State.Ended() { // it was cancelled while that was being stored
		q.mu.Unlock()
		job.end(Cancelled, "", time.Now().UTC())
		changes, _ = q.consequences(serves, job, nil, nil) // nothing follows
		q.insist(job, changes)
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	e.job, e.cancel, e.wanted = job, nil, false
	if result != nil { // it replaces the previous attempt's result
		more := int64(len(result)) - e.result
		e.result += more
		e.size += more
		q.bytes += more
	}
	if job.State.Ended() {
		q.lane(job.Place).tally.Ended[job.State]++
		q.tell(job)
	} else {
		q.lane(job.Place).push(e)
	}
	for _, f := range follow {
		close(f.stored)
		q.add(f)
		q.lane(f.job.Place).push(f)
	}
	q.nudge()
}

// insist stores the new state of a job, and retries until that succeeds or the attempts are cut off.
func (q *Queue) insist(job Job, changes []change) {
	for {
		err := q.store.commit(changes...)
		if err == nil {
			return
		}
		q.log.Error("what became of a job cannot be stored; until it can, nobody sees it", "job", job.ID, "lane", job.LaneName(), "error", err)
		select {
		case <-time.After(time.Second):
		case <-q.attempt.Done(): // the next process tries the job once more
			return
		}
	}
}

// consequences returns the changes to be written when a job has reached its new state, and the jobs that follow.
func (q *Queue) consequences(serves Lane, job Job, body, result []byte) (changes []change, follow []*entry) {
	raw, err := job.encode()
	if err != nil { // only times far out of range could cause that
		q.log.Error("a job cannot be written", "job", job.ID, "error", err)
		return nil, nil
	}
	changes = []change{{inRecords, job.ID, raw}}
	if result != nil {
		changes = append(changes, change{inResults, job.ID, result})
	}
	if serves.Ended == nil || !job.State.Ended() || job.State == Cancelled {
		return changes, nil
	}
	for _, n := range serves.Ended(job, body, result) {
		e := q.entryOf(n, time.Now().UTC())
		own, err := e.changes(n.Body)
		if err != nil {
			continue
		}
		changes, follow = append(changes, own...), append(follow, e)
	}
	return changes, follow
}

// tell logs the end of a job.
func (q *Queue) tell(job Job) {
	attributes := []any{"job", job.ID, "lane", job.LaneName(), "about", job.About, "state", job.State, "attempts", job.Attempts, "took", job.Ended.Sub(job.Created)}
	if job.Purpose != "" {
		attributes = append(attributes, "purpose", job.Purpose)
	}
	if job.Reason != "" {
		attributes = append(attributes, "reason", job.Reason)
	}
	if job.State == Dead {
		q.log.Warn("a job is dead; weir jobs retry, with the admin.token, tries it once more", attributes...)
		return
	}
	q.log.Info("job", attributes...)
}

// Rest starts no more attempts, and returns when the running ones have ended. If ctx ends first, they are cut off, and
// the next process repeats them.
func (q *Queue) Rest(ctx context.Context) {
	if q == nil {
		return
	}
	q.mu.Lock()
	q.resting = true
	q.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); q.under.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
		q.cut(errEnding)
		<-done
	}
}

// Close ends the queue: it cuts off running attempts and closes the file. No job is lost.
func (q *Queue) Close() {
	if q == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	q.Rest(ctx)
	q.cut(errEnding)
	q.mu.Lock()
	was := q.closed
	q.closed = true
	o := q.opening
	q.mu.Unlock()
	if was {
		return
	}
	q.finish()
	q.work.Wait()
	q.using.Wait()
	if o != nil && o.err == nil && q.store != nil {
		q.store.end()
	}
}
