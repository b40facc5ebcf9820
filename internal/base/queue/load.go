package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// The names of a queue's files.
const (
	fileName = "jobs.db"
	keyName  = "jobs.key"
)

func (q *Queue) path(name string) string { return filepath.Join(q.options.Folder, name) }

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// lockTurn is how long one attempt to lock a file takes. Between attempts, the end of the queue is noticed.
const lockTurn = 250 * time.Millisecond

// open opens the file and starts the scheduler.
func (q *Queue) open(o *opening) {
	defer close(o.done)
	defer func() { // bbolt panics at some damage in a file
		if cause := recover(); cause != nil {
			o.err = fmt.Errorf("%s is broken: %v; move it away to begin with an empty queue", q.path(fileName), cause)
		}
	}()
	s, err := q.openStore()
	if err != nil {
		o.err = err
		return
	}
	s.start()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.store = s
	q.work.Go(q.schedule)
	if len(q.late) > 0 {
		q.work.Go(q.awaitLate)
	}
}

// openStore opens the file as soon as no other process has it, and loads it.
func (q *Queue) openStore() (*store, error) {
	if err := statefile.Make(q.options.Folder); err != nil {
		return nil, err
	}
	key, err := openSeal(q.path(keyName))
	if err != nil {
		return nil, err
	}
	db, err := q.locked(q.life, fileName)
	if err != nil {
		return nil, err
	}
	s := &store{db: db, seal: key, writes: make(chan write, mostTogether), ended: make(chan struct{})}
	err = s.prepare(db)
	if err == nil {
		err = q.takeOver(s)
	}
	if err == nil {
		err = q.load(s)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", q.path(fileName), err), db.Close())
	}
	return s, nil
}

// locked opens a file once no other process has it.
func (q *Queue) locked(ctx context.Context, name string) (*bolt.DB, error) {
	for told := false; ; told = true {
		db, err := openFile(q.path(name), lockTurn)
		if !errors.Is(err, berrors.ErrTimeout) {
			if err != nil {
				err = fmt.Errorf("%s: %w; move it away to begin with an empty queue", q.path(name), err)
			}
			return db, err
		}
		if !told && !q.options.Succeeds {
			q.log.Warn("another process has the queue open; nothing is taken until it lets go", "file", q.path(name))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// load builds the index of the jobs in the file.
func (q *Queue) load(s *store) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(inRecords)).ForEach(func(k, sealed []byte) error {
			q.loadOne(s, tx, string(k), sealed)
			return nil
		})
	})
}

// loadOne makes the entry for one record. A record that cannot be read is left in place.
func (q *Queue) loadOne(s *store, tx *bolt.Tx, id string, sealed []byte) {
	raw, err := s.seal.open(inRecords, id, sealed)
	var job Job
	if err == nil {
		job, err = decode(id, raw)
	}
	if err != nil {
		q.lost++
		q.log.Error("a record of the queue cannot be read, and is left where it is", "job", id, "error", err)
		return
	}
	body, result := tx.Bucket([]byte(inBodies)).Get([]byte(id)), tx.Bucket([]byte(inResults)).Get([]byte(id))
	e := &entry{job: job, at: -1, size: overhead + int64(len(body)+len(result)), result: int64(len(result)), stored: make(chan struct{})}
	close(e.stored)
	q.add(e)
	switch {
	case job.State == Running && q.late[job.HeldBy]:
		return // the earlier process is still working on it
	case job.State == Running:
		e.job.State, e.job.Due = Queued, time.Now().UTC() // the process ended without recording an outcome
	case job.State != Queued:
		return
	}
	e.job.HeldBy = ""
	q.lane(job.Place).push(e)
}
