package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// place is where the jobs of these tests are.
var place = queue.Place{Kind: "route", Lane: "POST /orders"}

func open(t *testing.T, folder string, change ...func(*queue.Options)) *queue.Queue {
	t.Helper()
	o := queue.Options{Folder: folder, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range change {
		c(&o)
	}
	q, err := queue.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	if err := q.Open(); err != nil {
		t.Fatal(err)
	}
	return q
}

// draft is a job that is tried for an hour and kept for another one.
func draft(body string) queue.Draft {
	return queue.Draft{Place: place, Age: time.Hour, Keep: queue.Keep{Ended: time.Hour, Dead: 2 * time.Hour}, About: "POST /orders", Body: []byte(body)}
}

func put(t *testing.T, q *queue.Queue, d queue.Draft) string {
	t.Helper()
	job, again, err := q.Put(t.Context(), d)
	if err != nil || again || job.State != queue.Queued || len(job.ID) != 48 {
		t.Fatalf("put: %+v, %v, %v", job, again, err)
	}
	return job.ID
}

func serve(q *queue.Queue, run func(context.Context, queue.Attempt) queue.Outcome) {
	q.Serve("route", map[string]queue.Lane{place.Lane: {Concurrency: 2, Retry: queue.Retry{Times: 2, First: 10 * time.Second, Most: time.Minute}, Run: run}})
}

func content(context.Context, queue.Attempt) queue.Outcome {
	return queue.Outcome{Result: []byte("content")}
}

func get(t *testing.T, q *queue.Queue, id string) queue.Job {
	t.Helper()
	job, err := q.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func becomes(t *testing.T, q *queue.Queue, id string, state queue.State) queue.Job {
	t.Helper()
	await.That(t, "the job is "+string(state), func() bool { return get(t, q, id).State == state })
	return get(t, q, id)
}

func TestAJobIsDoneAndKept(t *testing.T) {
	folder := t.TempDir()
	q := open(t, folder)
	got := make(chan queue.Attempt, 1)
	serve(q, func(_ context.Context, a queue.Attempt) queue.Outcome {
		got <- a
		return queue.Outcome{Result: []byte("the answer")}
	})
	id := put(t, q, draft("the order"))
	a := await.From(t, "the attempt", got)
	if string(a.Body) != "the order" || a.Job.ID != id || a.Job.Attempts != 1 || a.Job.About != "POST /orders" {
		t.Errorf("the attempt was given %+v", a)
	}
	becomes(t, q, id, queue.Done)
	q.Close()
	q = open(t, folder)
	job := get(t, q, id)
	result, err := q.Result(id)
	if job.State != queue.Done || job.Attempts != 1 || job.Place != place || err != nil || string(result) != "the answer" {
		t.Errorf("after a restart: %+v with %q, %v", job, result, err)
	}
	if _, err := q.Get(t.Context(), "0123"); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("another one: %v", err)
	}
}

func TestWhatWaitsAndWhatIsUnderWayOutlivesACrash(t *testing.T) {
	folder, copied := t.TempDir(), t.TempDir()
	q := open(t, folder)
	started := make(chan struct{}, 1)
	serve(q, func(ctx context.Context, _ queue.Attempt) queue.Outcome {
		started <- struct{}{}
		<-ctx.Done()
		return queue.Outcome{Verdict: queue.NotNow}
	})
	under := put(t, q, draft("under way"))
	await.From(t, "the attempt", started)
	late := draft("waits")
	late.Delay = time.Minute
	waits := put(t, q, late)
	for _, name := range []string{"jobs.db", "jobs.key"} { // as a crash of the process leaves them
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	after := open(t, copied)
	if job := get(t, after, waits); job.State != queue.Queued || job.Due.Before(time.Now()) {
		t.Errorf("what waits: %+v", job)
	}
	serve(after, content)
	if job := becomes(t, after, under, queue.Done); job.Attempts < 1 {
		t.Errorf("what was under way: %+v", job)
	}
}

func TestNothingLiesThereInTheClear(t *testing.T) {
	folder := t.TempDir()
	q := open(t, folder)
	serve(q, func(context.Context, queue.Attempt) queue.Outcome {
		return queue.Outcome{Result: []byte("swordfish"), Reason: "swordfish"}
	})
	d := draft("Authorization: swordfish")
	d.Owner, d.Key = "swordfish", "swordfish"
	becomes(t, q, put(t, q, d), queue.Done)
	q.Close()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(folder, e.Name()))
		info, _ := e.Info()
		if err != nil || bytes.Contains(raw, []byte("swordfish")) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s, %v, and is readable", e.Name(), info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "jobs.key"), bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong, err := queue.New(queue.Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if err := wrong.Open(); err == nil {
		t.Error("another key opens it")
	}
	if _, _, err := wrong.Put(t.Context(), draft("")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
}

func TestOneKeyIsOneJob(t *testing.T) {
	q := open(t, t.TempDir())
	d := draft("once")
	d.Owner, d.Key, d.Digest = "ann", "k", "digest"
	var ids sync.Map
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			job, _, err := q.Put(t.Context(), d)
			if err != nil {
				t.Error(err)
			}
			ids.Store(job.ID, true)
		})
	}
	all.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d jobs", n)
	}
	other := d
	other.Digest = "another one"
	if _, _, err := q.Put(t.Context(), other); !errors.Is(err, queue.ErrMismatch) {
		t.Errorf("the key of another request: %v", err)
	}
	other.Owner = "ben"
	put(t, q, other)
}

func TestFailuresAreTriedAgainUntilTheJobIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir())
		defer q.Close()
		var times []time.Duration
		begin := time.Now()
		serve(q, func(context.Context, queue.Attempt) queue.Outcome {
			times = append(times, time.Since(begin).Round(time.Second))
			return queue.Outcome{Verdict: queue.Again, Reason: "status 500", Result: []byte("500")}
		})
		id := put(t, q, draft(""))
		time.Sleep(5 * time.Minute) //nolint:forbidigo // of the bubble
		job := get(t, q, id)
		if job.State != queue.Dead || job.Attempts != 3 || job.Failures != 3 || job.Reason != "status 500" || !job.HasResult {
			t.Errorf("the job is %+v", job)
		}
		if len(times) != 3 || times[0] > time.Second || times[1] < 5*time.Second || times[1] > 10*time.Second || times[2]-times[1] < 10*time.Second || times[2]-times[1] > 20*time.Second {
			t.Errorf("it was tried after %v", times)
		}
		serve(q, content)
		if job, err := q.Retry(t.Context(), id); err != nil || job.State != queue.Queued || job.Failures != 0 {
			t.Errorf("tried once more: %+v, %v", job, err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble
		if job := get(t, q, id); job.State != queue.Done || job.Attempts != 4 {
			t.Errorf("the job is %+v", job)
		}
		if _, err := q.Retry(t.Context(), id); !errors.Is(err, queue.ErrState) {
			t.Errorf("what is done: %v", err)
		}
	})
}

// A job that is tried once more has as long as a new one, however often that happens.
func TestEachRetryHasTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir())
		defer q.Close()
		serve(q, func(context.Context, queue.Attempt) queue.Outcome { return queue.Outcome{Verdict: queue.Hopeless} })
		id := put(t, q, draft(""))
		for range 3 {
			time.Sleep(time.Hour) //nolint:forbidigo // of the bubble
			job, err := q.Retry(t.Context(), id)
			if left := time.Until(job.Expires); err != nil || left > time.Hour {
				t.Errorf("it is tried for %v more, %v", left, err)
			}
		}
	})
}

func TestWhoHasNoTimeIsAskedLaterAndByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir())
		defer q.Close()
		var mu sync.Mutex
		asked := 0
		until := time.Now().Add(10 * time.Minute)
		serve(q, func(context.Context, queue.Attempt) queue.Outcome {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				asked++
				return queue.Outcome{Verdict: queue.NotNow, Reason: "busy"}
			}
			return queue.Outcome{}
		})
		var ids []string
		for i := range 50 {
			ids = append(ids, put(t, q, draft(fmt.Sprint(i))))
		}
		time.Sleep(20 * time.Minute) //nolint:forbidigo // of the bubble
		if asked > 15 {
			t.Errorf("who had no time was asked %d times in ten minutes", asked)
		}
		for _, id := range ids {
			if job := get(t, q, id); job.State != queue.Done || job.Failures != 0 {
				t.Errorf("the job is %+v", job)
			}
		}
	})
}

// A Retry-After of an hour may be meant for one customer. The job that got it waits so
// long; the others find out for themselves.
func TestAJobsOwnPauseIsNotThatOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir())
		defer q.Close()
		begin := time.Now()
		serve(q, func(_ context.Context, a queue.Attempt) queue.Outcome {
			if string(a.Body) == "0" && time.Since(begin) < time.Hour {
				return queue.Outcome{Verdict: queue.NotNow, After: time.Hour, Reason: "status 503"}
			}
			return queue.Outcome{}
		})
		var ids []string
		for i := range 20 {
			d := draft(fmt.Sprint(i))
			d.Age = 3 * time.Hour
			ids = append(ids, put(t, q, d))
		}
		time.Sleep(6 * time.Minute) //nolint:forbidigo // of the bubble
		for i, id := range ids {
			if job := get(t, q, id); (job.State == queue.Done) != (i > 0) || i == 0 && job.Due.Sub(begin) < time.Hour {
				t.Errorf("job %d is %+v", i, job)
			}
		}
		time.Sleep(time.Hour) //nolint:forbidigo // of the bubble
		if job := get(t, q, ids[0]); job.State != queue.Done || job.Attempts != 2 {
			t.Errorf("at last it is %+v", job)
		}
	})
}

func TestWhatIsTooOldDiesAlsoWhereNobodySendsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir())
		defer q.Close()
		id := put(t, q, draft(""))
		time.Sleep(59 * time.Minute) //nolint:forbidigo // of the bubble
		if job := get(t, q, id); job.State != queue.Queued {
			t.Errorf("before its time: %+v", job)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // of the bubble
		if job := get(t, q, id); job.State != queue.Dead || job.Reason == "" || job.Attempts != 0 {
			t.Errorf("after its time: %+v", job)
		}
		time.Sleep(2*time.Hour + time.Minute) //nolint:forbidigo // of the bubble
		if _, err := q.Get(t.Context(), id); !errors.Is(err, queue.ErrUnknown) {
			t.Errorf("what is kept long enough is forgotten: %v", err)
		}
	})
}

func TestWhatFollowsFromAnEndIsStoredWithIt(t *testing.T) {
	folder := t.TempDir()
	q := open(t, folder)
	after := queue.Place{Kind: "route", Lane: "after"}
	q.Serve("route", map[string]queue.Lane{place.Lane: {
		Run: func(context.Context, queue.Attempt) queue.Outcome { return queue.Outcome{Verdict: queue.Refused} },
		Ended: func(job queue.Job, body, _ []byte) []queue.Draft {
			d := draft(string(job.State) + " " + string(body))
			d.Place = after
			return []queue.Draft{d}
		},
	}})
	becomes(t, q, put(t, q, draft("it")), queue.Failed)
	q.Close()
	q = open(t, folder)
	list, all := q.List(queue.Filter{Place: after})
	if all != 1 {
		t.Fatalf("%d follow", all)
	}
	if body, err := q.Body(list[0].ID); string(body) != "failed it" {
		t.Errorf("what follows is %q, %v", body, err)
	}
}

func TestJobsAreTakenBack(t *testing.T) {
	q := open(t, t.TempDir())
	waits := put(t, q, draft("waits"))
	if job, err := q.Cancel(t.Context(), waits); err != nil || job.State != queue.Cancelled {
		t.Errorf("one that waits: %+v, %v", job, err)
	}
	started := make(chan struct{}, 1)
	serve(q, func(ctx context.Context, _ queue.Attempt) queue.Outcome {
		started <- struct{}{}
		<-ctx.Done()
		return queue.Outcome{Verdict: queue.Again, Reason: context.Cause(ctx).Error()}
	})
	under := put(t, q, draft("under way"))
	await.From(t, "the attempt", started)
	if job, err := q.Cancel(t.Context(), under); err != nil || job.State != queue.Running {
		t.Errorf("one under way: %+v, %v", job, err)
	}
	becomes(t, q, under, queue.Cancelled)
	if _, err := q.Cancel(t.Context(), under); !errors.Is(err, queue.ErrState) {
		t.Errorf("twice: %v", err)
	}
	if err := q.Drop(t.Context(), under); err != nil {
		t.Error(err)
	}
	if _, err := q.Get(t.Context(), under); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("dropped: %v", err)
	}
}

func TestBounds(t *testing.T) {
	q := open(t, t.TempDir(), func(o *queue.Options) { o.Jobs, o.Bytes = 4, 100_000 })
	d := draft("x")
	d.Most = 2
	first := put(t, q, d)
	put(t, q, d)
	if _, _, err := q.Put(t.Context(), d); !errors.Is(err, queue.ErrFull) {
		t.Errorf("the share of the place: %v", err)
	}
	d.Most = 0
	put(t, q, d)
	put(t, q, d)
	if _, _, err := q.Put(t.Context(), d); !errors.Is(err, queue.ErrFull) {
		t.Errorf("all jobs: %v", err)
	}
	if _, err := q.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	put(t, q, d) // in the place of the one that has ended
	if _, err := q.Get(t.Context(), first); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("what has ended makes room: %v", err)
	}
	large := open(t, t.TempDir(), func(o *queue.Options) { o.Bytes = 4000 })
	put(t, large, draft(string(make([]byte, 2000))))
	if _, _, err := large.Put(t.Context(), draft(string(make([]byte, 2000)))); !errors.Is(err, queue.ErrFull) {
		t.Errorf("all bytes: %v", err)
	}
	_, totals := large.Status()
	if totals.Jobs != 1 || totals.Bytes < 2000 || totals.File == 0 {
		t.Errorf("the totals are %+v", totals)
	}
}

// TestAQueueGoesFromOneProcessToTheNext plays both in one process: the lock of a file is that
// of whoever has opened it.
func TestAQueueGoesFromOneProcessToTheNext(t *testing.T) {
	folder := t.TempDir()
	before := open(t, folder)
	leave := map[string]chan struct{}{"comes through": make(chan struct{}), "is first": make(chan struct{})}
	started := make(chan string, 5)
	serve(before, func(ctx context.Context, a queue.Attempt) queue.Outcome {
		started <- string(a.Body)
		select {
		case <-leave[string(a.Body)]:
			return queue.Outcome{Result: []byte("of the process before")}
		case <-ctx.Done():
			return queue.Outcome{Verdict: queue.Again}
		}
	})
	comes, first := put(t, before, draft("comes through")), put(t, before, draft("is first"))
	await.From(t, "an attempt", started)
	await.From(t, "another attempt", started)
	waiting := put(t, before, draft("waits")) // for one of the two

	after, err := queue.New(queue.Options{Folder: folder, Succeeds: true})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	told := make(chan error, 1)
	go func() { // it waits for the file
		job, _, err := after.Put(t.Context(), draft("for the next one"))
		if err == nil && job.State != queue.Queued {
			err = fmt.Errorf("it is %s", job.State)
		}
		told <- err
	}()
	before.Release()
	if err := await.From(t, "the next one has the file", told); err != nil {
		t.Fatal(err)
	}
	if job := get(t, after, comes); job.State != queue.Running {
		t.Errorf("what the one before is at: %+v", job)
	}
	close(leave["is first"])              // and the one before begins nothing more
	late := put(t, before, draft("late")) // of a request that was under way
	if _, err := after.Get(t.Context(), late); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("a job that only the one before knows: %v", err)
	}
	ran := make(chan string, 10)
	serve(after, func(_ context.Context, a queue.Attempt) queue.Outcome {
		ran <- string(a.Body)
		return queue.Outcome{Result: []byte("of the next one")}
	})
	becomes(t, after, waiting, queue.Done)
	close(leave["comes through"])
	before.Rest(t.Context())
	before.Close()
	becomes(t, after, comes, queue.Done)
	becomes(t, after, first, queue.Done)
	await.That(t, "the late one is known", func() bool { _, err := after.Get(t.Context(), late); return err == nil })
	becomes(t, after, late, queue.Done)
	if result, err := after.Result(comes); string(result) != "of the process before" {
		t.Errorf("the result is %q, %v", result, err)
	}
	for range 3 {
		if body := await.From(t, "an attempt of the next one", ran); leave[body] != nil {
			t.Errorf("what %s was tried anew", body)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(folder, "*.late")); len(names) > 0 {
		t.Errorf("%v are left", names)
	}
}

func TestWhatWasCutOffIsTriedByTheNextProcess(t *testing.T) {
	folder := t.TempDir()
	before := open(t, folder)
	started := make(chan struct{}, 1)
	serve(before, func(ctx context.Context, _ queue.Attempt) queue.Outcome {
		started <- struct{}{}
		<-ctx.Done()
		return queue.Outcome{Verdict: queue.Again}
	})
	id := put(t, before, draft("slow"))
	await.From(t, "an attempt", started)
	before.Release()
	after := open(t, folder)
	serve(after, content)
	if job := get(t, after, id); job.State != queue.Running {
		t.Errorf("meanwhile: %+v", job)
	}
	before.Close()
	if job := becomes(t, after, id, queue.Done); job.Attempts != 2 || job.Failures != 0 {
		t.Errorf("the job is %+v", job)
	}
}

func TestAFileThatAnotherProcessHasIsAnError(t *testing.T) {
	folder := t.TempDir()
	open(t, folder)
	other, err := queue.New(queue.Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Open(); err == nil {
		t.Error("two have it open")
	}
}

func TestAFileThatIsNoneIsAnError(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "jobs.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	q, err := queue.New(queue.Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Open(); err == nil {
		t.Error("it is opened")
	}
	var none *queue.Queue
	if none.Open() == nil {
		t.Error("no folder is opened")
	}
	none.Rest(t.Context())
	none.Release()
	none.Close()
}

// TestAResultReplacesTheOneBefore holds that what is counted is what lies on disk, after
// every attempt and after a restart.
func TestAResultReplacesTheOneBefore(t *testing.T) {
	folder := t.TempDir()
	q := open(t, folder)
	sizes := []int{1000, 10, 500}
	q.Serve("route", map[string]queue.Lane{place.Lane: {Retry: queue.Retry{Times: len(sizes) - 1, First: time.Millisecond, Most: time.Millisecond}, Run: func(_ context.Context, a queue.Attempt) queue.Outcome {
		return queue.Outcome{Verdict: queue.Again, Result: bytes.Repeat([]byte("x"), sizes[a.Job.Attempts-1])}
	}}})
	id := put(t, q, draft("tea"))
	counted := func(q *queue.Queue) int64 { _, t := q.Status(); return t.Bytes }
	becomes(t, q, id, queue.Dead)
	after := counted(q)
	q.Close()
	q = open(t, folder) // and nobody serves the job's route
	if again := counted(q); again < after {
		t.Errorf("%d bytes were counted, and on disk are %d", after, again)
	}
}
