package queue

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// opened gives a queue with one job that waits, and what holds up the goroutine that
// writes to its file.
func opened(t *testing.T) (q *Queue, id string, holdUp func() (goOn func())) {
	t.Helper()
	q, err := New(Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	if err := q.Open(); err != nil {
		t.Fatal(err)
	}
	job, _, err := q.Put(t.Context(), Draft{Place: Place{"route", "x"}, Age: time.Hour, Keep: Keep{time.Hour, time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	return q, job.ID, func() (goOn func()) {
		held, over := make(chan struct{}), make(chan struct{})
		go func() {
			_ = q.store.do(func() error { close(held); <-over; return nil })
		}()
		<-held
		goOn = sync.OnceFunc(func() { close(over) })
		t.Cleanup(goOn)
		return goOn
	}
}

// stands gives what the queue has of a job.
func (q *Queue) stands(id string, of func(*entry) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return of(q.jobs[id])
}

// TestACancelIsHeardWhileAFailureIsBeingStored takes back what is about to wait again.
func TestACancelIsHeardWhileAFailureIsBeingStored(t *testing.T) {
	q, id, holdUp := opened(t)
	var goOn func()
	q.Serve("route", map[string]Lane{"x": {Retry: Retry{Times: 5, First: time.Hour, Most: time.Hour}, Run: func(context.Context, Attempt) Outcome {
		goOn = holdUp()
		return Outcome{Verdict: Again}
	}}})
	await.That(t, "the attempt has failed", func() bool {
		return q.stands(id, func(e *entry) bool { return q.lane(e.job.Place).tally.Attempts[Again] == 1 })
	})
	if job, err := q.Cancel(t.Context(), id); err != nil || job.State != Running {
		t.Errorf("the answer is %+v, %v", job, err)
	}
	goOn()
	await.That(t, "it is no more under way", func() bool {
		return q.stands(id, func(e *entry) bool { return e.job.State != Running })
	})
	if job, err := q.Get(t.Context(), id); err != nil || job.State != Cancelled {
		t.Errorf("it has become %+v, %v", job, err)
	}
}

// TestACancelOfWhatIsDyingIsNoOtherEnd holds that who is told how a job ended is told the truth.
func TestACancelOfWhatIsDyingIsNoOtherEnd(t *testing.T) {
	q, id, holdUp := opened(t)
	goOn := holdUp()
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		q.sweep(time.Now().Add(2 * time.Hour))
	}()
	await.That(t, "it waits no more", func() bool { return q.stands(id, func(e *entry) bool { return e.at < 0 }) })
	told := make(chan Job, 1)
	go func() {
		job, _ := q.Cancel(t.Context(), id)
		told <- job
	}()
	if job := await.From(t, "an answer, before the disk is free", told); job.State != Running {
		t.Errorf("whoever cancelled it was told %+v", job)
	}
	goOn()
	await.From(t, "the end of the sweep", swept)
	if job, err := q.Get(t.Context(), id); err != nil || job.State != Dead {
		t.Errorf("it has become %+v, %v", job, err)
	}
}

// TestChangesOfOneJobComeOneAfterTheOther holds that the disk knows the last one as the last.
func TestChangesOfOneJobComeOneAfterTheOther(t *testing.T) {
	q, id, holdUp := opened(t)
	if _, err := q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	goOn := holdUp()
	retried := make(chan error, 1)
	go func() {
		_, err := q.Retry(t.Context(), id)
		retried <- err
	}()
	await.That(t, "it is being retried", func() bool { return q.stands(id, func(e *entry) bool { return e.job.State == Queued }) })
	others := make(chan error, 2)
	go func() {
		_, err := q.Cancel(t.Context(), id)
		others <- err
		others <- q.Drop(t.Context(), id)
	}()
	for range 2 {
		if err := await.From(t, "an answer, before the disk is free", others); !errors.Is(err, ErrUnavailable) {
			t.Errorf("another change meanwhile: %v", err)
		}
	}
	goOn()
	if err := await.From(t, "the end of the retry", retried); err != nil {
		t.Error(err)
	}
	if job, err := q.Cancel(t.Context(), id); err != nil || job.State != Cancelled {
		t.Errorf("afterwards: %+v, %v", job, err)
	}
}
