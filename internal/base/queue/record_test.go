package queue

import (
	"reflect"
	"testing"
	"time"
)

// FuzzRecord holds that what is read is what would be written, and that nothing else is taken.
func FuzzRecord(f *testing.F) {
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for _, j := range []Job{
		{Place: Place{"route", "POST /x"}, State: Queued, Created: now, Due: now, Expires: now.Add(time.Hour)},
		{Place: Place{"lambda", "f"}, State: Dead, Created: now, Expires: now, Ended: now, Until: now, Attempts: 3, Failures: 3, Reason: "no", Owner: "1:a#b", Key: "k", Digest: "d"},
	} {
		raw, err := j.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"v":1,"kind":"route","lane":"x","state":"asleep"}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		j, err := decode("id", raw)
		if err != nil {
			return
		}
		again, err := j.encode()
		if err != nil {
			return // a time that no text can hold
		}
		back, err := decode("id", again)
		if err != nil {
			t.Fatalf("%s was read and written as %s, which is not read: %v", raw, again, err)
		}
		if third, _ := back.encode(); !reflect.DeepEqual(third, again) {
			t.Errorf("%s became %s and then %s", raw, again, third)
		}
	})
}

// TestAProcessThatEndedWithoutAWord has let go of the file, and was killed.
func TestAProcessThatEndedWithoutAWord(t *testing.T) {
	folder := t.TempDir()
	before, err := New(Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := before.Open(); err != nil {
		t.Fatal(err)
	}
	draft := Draft{Place: Place{"route", "x"}, Age: time.Hour, Keep: Keep{time.Hour, time.Hour}}
	job, _, err := before.Put(t.Context(), draft)
	if err != nil {
		t.Fatal(err)
	}
	before.mu.Lock()
	e := before.jobs[job.ID]
	before.lanes[job.Place].drop(e)
	e.job.State = Running // nobody will ever say what became of it
	before.mu.Unlock()
	before.Release()
	after, err := New(Options{Folder: folder, Succeeds: true})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if err := after.Open(); err != nil {
		t.Fatal(err)
	}
	if got, err := after.Get(t.Context(), job.ID); err != nil || got.State != Running || got.HeldBy == "" {
		t.Fatalf("while it lives: %+v, %v", got, err)
	}
	if err := before.store.do(func() error { // what the kernel does with its locks
		before.store.mu.Lock()
		defer before.store.mu.Unlock()
		return before.store.db.Close()
	}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		got, err := after.Get(t.Context(), job.ID)
		if err == nil && got.State == Queued && got.HeldBy == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not tried anew: %+v, %v", got, err)
		}
	}
}
