package queue

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Only one process has the file at a time, because bbolt locks it. When another process takes over (both serve for a
// while), this process lets go of the file at once, so that the other can answer 202. This process goes on with a small
// file of its own, the late file. The late file receives the requests that this process still accepts, and the outcomes
// of its running attempts. In the main file, these attempts are marked with the late file's name. The process that took
// over leaves them alone while another process has the late file locked. Once no process has it locked (the earlier
// process has ended, in whatever way), the new process takes in its content and repeats the attempts that have no
// outcome there.

const (
	latePattern = "jobs-*.late"
	inTaken     = "taken" // late files that were taken in, and may not be removed yet
)

// Release lets go of the file for the process that takes over. The queue still accepts jobs, and running attempts go on
// to their end, but no attempt is started. Close must still be called.
func (q *Queue) Release() {
	if q == nil {
		return
	}
	q.mu.Lock()
	o := q.opening
	q.resting = true
	opened := o != nil && o.over() && o.err == nil && !q.released && !q.closed
	if opened {
		q.released = true
		q.using.Add(1)
	}
	q.mu.Unlock()
	if !opened {
		q.finish() // a process that this one succeeds is left to the next process
		return
	}
	defer q.using.Done()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	name := "jobs-" + hex.EncodeToString(random[:]) + ".late"
	if err := q.store.do(func() error { return q.leave(name) }); err != nil {
		q.log.Error("the queue is handed over without a file for what is under way; that is tried anew", "error", err)
	}
}

// leave replaces the file with the late file. It is called between two transactions.
func (q *Queue) leave(name string) error {
	s := q.store
	db, err := openFile(q.path(name), time.Second)
	if err == nil {
		err = s.prepare(db)
	}
	if err != nil {
		name = "" // the next process must not wait for a file that will not exist
	}
	held := q.marked(name)
	err = errors.Join(err, s.put([]write{{changes: held}}))
	s.mu.Lock()
	defer s.mu.Unlock()
	err = errors.Join(err, s.db.Close())
	if s.db, s.late = db, true; name == "" && db != nil {
		err = errors.Join(err, db.Close())
		s.db = nil
	}
	return err
}

// marked returns the records of the running attempts, with the name of the file that will hold their outcome.
func (q *Queue) marked(name string) []change {
	q.mu.Lock()
	defer q.mu.Unlock()
	var changes []change
	for _, e := range q.jobs {
		if e.job.State != Running {
			continue
		}
		job := e.job
		if job.HeldBy == "" { // otherwise an earlier process is working on it
			job.HeldBy = name
		}
		if raw, err := job.encode(); err == nil {
			changes = append(changes, change{inRecords, job.ID, raw})
		}
	}
	return changes
}

// takeOver takes in the late files that no process has open, and notes those that a process still has. It is called
// before anything is loaded.
func (q *Queue) takeOver(s *store) error {
	paths, err := filepath.Glob(q.path(latePattern))
	if err != nil {
		return err
	}
	for _, path := range paths {
		name := filepath.Base(path)
		_, err := q.takeIn(s, name)
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			q.mu.Lock()
			q.late[name] = true
			q.mu.Unlock()
		case err != nil:
			q.log.Error("what a process before has left cannot be read, and is left where it is", "file", path, "error", err)
		}
	}
	return nil
}

// lateTurn is how long one attempt to lock a late file takes.
const lateTurn = 100 * time.Millisecond

// takeIn copies the content of a late file over the main file, and removes the late file. It returns the IDs of the
// jobs with a record there. The error is bolt's ErrTimeout if a process still has the late file.
func (q *Queue) takeIn(s *store, name string) (ids []string, err error) {
	late, err := openFile(q.path(name), lateTurn)
	if err != nil {
		return nil, err
	}
	err = late.View(func(from *bolt.Tx) error {
		return s.db.Update(func(to *bolt.Tx) error {
			taken, err := to.CreateBucketIfNotExists([]byte(inTaken))
			if err != nil || taken.Get([]byte(name)) != nil { // it was taken in before a crash
				return err
			}
			if ids, err = overlay(from, to); err != nil {
				return err
			}
			return taken.Put([]byte(name), []byte{1})
		})
	})
	if err := errors.Join(err, late.Close()); err != nil {
		return nil, err
	}
	if err := os.Remove(q.path(name)); err != nil {
		return ids, nil //nolint:nilerr // it is known to be taken in, and is looked for at the next start
	}
	return ids, s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(inTaken)).Delete([]byte(name)) })
}

// overlay copies all values, still sealed. An empty value removes the key.
func overlay(from, to *bolt.Tx) (ids []string, err error) {
	for _, bucket := range buckets() {
		source, target := from.Bucket([]byte(bucket)), to.Bucket([]byte(bucket))
		if source == nil { // the process ended before it had written anything
			continue
		}
		err := source.ForEach(func(k, sealed []byte) error {
			if bucket == inRecords {
				ids = append(ids, string(k))
			}
			if len(sealed) == 0 {
				return target.Delete(k)
			}
			return target.Put(k, sealed)
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// awaitLate takes in late files when the processes that have them have ended.
func (q *Queue) awaitLate() {
	for {
		left := q.lateFiles()
		for _, name := range left {
			q.lookAt(name)
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-time.After(lateTurn):
		case <-q.life.Done():
			return
		}
	}
}

func (q *Queue) lateFiles() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.released {
		return nil // they are left to the next process
	}
	var names []string
	for name := range q.late {
		names = append(names, name)
	}
	return names
}

// lookAt takes in one late file, if no process has it any more.
func (q *Queue) lookAt(name string) {
	var ids []string
	err := q.store.do(func() (err error) {
		if q.store.late { // released in the meantime
			return context.Canceled
		}
		ids, err = q.takeIn(q.store, name)
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout), errors.Is(err, context.Canceled):
		return
	case err != nil:
		q.log.Error("what the process before has left cannot be read, and is left where it is", "file", q.path(name), "error", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.late, name)
	q.refresh(ids)
	for _, e := range q.jobs {
		if e.job.State == Running && e.job.HeldBy == name { // it has no outcome
			e.job.State, e.job.HeldBy, e.job.Due = Queued, "", time.Now().UTC()
			q.lane(e.job.Place).push(e)
		}
	}
	q.log.Info("the queue of the process before is taken over", "jobs", len(ids))
	q.nudge()
}

// refresh reads the records of jobs again.
func (q *Queue) refresh(ids []string) {
	s := q.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return
	}
	_ = s.db.View(func(tx *bolt.Tx) error { // it fails only if the file is closed
		for _, id := range ids {
			if e := q.jobs[id]; e != nil {
				q.remove(e)
			}
			if sealed := tx.Bucket([]byte(inRecords)).Get([]byte(id)); sealed != nil {
				q.loadOne(s, tx, id, sealed)
			}
		}
		return nil
	})
}
