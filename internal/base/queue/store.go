package queue

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The buckets of the file. Keys are IDs; values are sealed.
const (
	inRecords = "records"
	inBodies  = "bodies"
	inResults = "results"
	inFile    = "file" // metadata of the file
)

func buckets() []string { return []string{inRecords, inBodies, inResults} }

// change is one value to be written. A nil value removes the key.
type change struct {
	bucket, key string
	value       []byte // not sealed yet
}

// write is a set of changes that is written atomically.
type write struct {
	changes []change
	// act is called by the writing goroutine instead of writing. It may replace the file.
	act  func() error
	done chan<- error // receives the result once it is on disk; nil if nobody waits
}

// mostTogether bounds the changes in one transaction.
const mostTogether = 1024

// store is the file, with the one goroutine that writes it. Changes that arrive while the disk is busy are written with
// one flush, so that many waiting callers cost little more than one.
type store struct {
	writes chan write
	ended  chan struct{} // closed when the goroutine has ended

	mu   sync.RWMutex // held for reading while the file is read or written, for writing while it is replaced
	db   *bolt.DB
	late bool // db is the late file of a queue that was released
	seal seal
}

// openFile opens or makes a file of the queue. The error is bolt's ErrTimeout if another process has it.
func openFile(path string, wait time.Duration) (*bolt.DB, error) {
	return bolt.Open(path, 0o600, &bolt.Options{Timeout: wait, FreelistType: bolt.FreelistMapType})
}

// start starts the writing goroutine.
func (s *store) start() { go s.run() }

// end writes what was given so far, closes the file and returns. Nothing may be given to the store afterwards.
func (s *store) end() {
	close(s.writes)
	<-s.ended
}

func (s *store) run() {
	defer close(s.ended)
	for first := range s.writes {
		if first.act != nil {
			first.finish(first.act())
			continue
		}
		batch, acting := s.gather(first)
		err := s.put(batch)
		for _, w := range batch {
			w.finish(err)
		}
		if acting != nil {
			acting.finish(acting.act())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		_ = s.db.Close() // an error does not matter: all of it is on disk
		s.db = nil
	}
}

// gather returns all writes that are waiting, up to the first one that has an act.
func (s *store) gather(first write) (batch []write, acting *write) {
	batch = []write{first}
	for n := len(first.changes); n < mostTogether; {
		select {
		case w, ok := <-s.writes:
			switch {
			case !ok:
				return batch, nil
			case w.act != nil:
				return batch, &w
			}
			batch = append(batch, w)
			n += len(w.changes)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

func (w write) finish(err error) {
	if w.done != nil {
		w.done <- err
	}
}

var errNoFile = errors.New("the file is not open")

// put writes a batch in one transaction.
func (s *store) put(batch []write) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errNoFile
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, w := range batch {
			for _, c := range w.changes {
				if err := s.apply(tx, c); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// apply writes one change. In a late file, a removal is stored as an empty value, because the value to be removed is in
// the file of the next process.
func (s *store) apply(tx *bolt.Tx, c change) error {
	b := tx.Bucket([]byte(c.bucket))
	switch {
	case c.value != nil:
		return b.Put([]byte(c.key), s.seal.close(c.bucket, c.key, c.value))
	case s.late:
		return b.Put([]byte(c.key), nil)
	default:
		return b.Delete([]byte(c.key))
	}
}

// commit writes the changes and returns when they are on disk.
func (s *store) commit(changes ...change) error {
	done := make(chan error, 1)
	s.writes <- write{changes: changes, done: done}
	return <-done
}

// note writes the changes at some later time. A crash may lose them.
func (s *store) note(changes ...change) { s.writes <- write{changes: changes} }

// do calls act between two transactions.
func (s *store) do(act func() error) error {
	done := make(chan error, 1)
	s.writes <- write{act: act, done: done}
	return <-done
}

// read returns a value, or nil if there is none.
func (s *store) read(bucket, key string) (value []byte, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return nil, errNoFile
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		sealed := tx.Bucket([]byte(bucket)).Get([]byte(key))
		if len(sealed) == 0 {
			return nil
		}
		if value, err = s.seal.open(bucket, key, sealed); value == nil {
			value = []byte{}
		}
		return err
	})
	return value, err
}

// prepare makes the buckets of a file, and checks that the key belongs to the file.
func (s *store) prepare(db *bolt.DB) error {
	const name, word = "key", "weir"
	return db.Update(func(tx *bolt.Tx) error {
		for _, bucket := range append(buckets(), inFile) {
			if _, err := tx.CreateBucketIfNotExists([]byte(bucket)); err != nil {
				return err
			}
		}
		about := tx.Bucket([]byte(inFile))
		if sealed := about.Get([]byte(name)); sealed != nil {
			if _, err := s.seal.open(inFile, name, sealed); err != nil {
				return fmt.Errorf("the key in %s is not that of the file; put the right one back, or move both away", keyName)
			}
			return nil
		}
		return about.Put([]byte(name), s.seal.close(inFile, name, []byte(word)))
	})
}

// size is the size of the file.
func (s *store) size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return 0
	}
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return 0
	}
	return info.Size()
}
