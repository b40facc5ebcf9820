package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// The name of a registry's file, and its buckets and keys.
const (
	fileName    = "registry.db"
	inInstances = "instances" // key: service, NUL, id
	inFile      = "file"      // metadata of the file
	versionKey  = "version"
	version     = "1"
	seenKey     = "seen" // when a registry last had it open, to about a minute
)

// key identifies an instance in the file.
type key struct{ service, id string }

func (k key) bytes() []byte { return []byte(k.service + "\x00" + k.id) }

// store is the file, with the one goroutine that writes it. Losing a registration does little harm, because instances
// register again by themselves. So no caller waits for the disk: changes that arrive while the disk is busy are written
// with one flush, each instance once.
type store struct {
	db     *bolt.DB
	log    *slog.Logger
	wake   chan struct{} // capacity 1; a value means that there is something to write
	ending chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	pending map[key]*Instance // nil for a removed instance
	written int               // number of successful writes
	trouble error             // why the latest write failed; errBroken: nothing will be written any more
}

const (
	// lockTurn is how long one attempt to lock the file takes. Between attempts, the end of the context is noticed.
	lockTurn = 250 * time.Millisecond
	// settle is the delay between a change and its write. Further changes in that time are written with it.
	settle = 20 * time.Millisecond
	// stamps is how often the store records in the file that its registry still runs, and retries failed writes.
	stamps = time.Minute
)

// openStore opens the file as soon as no other process has it, and reads it. A file that cannot be read is set aside,
// because instances register again by themselves.
func openStore(ctx context.Context, o Options, log *slog.Logger) (*store, []*Instance, error) {
	if err := statefile.Make(o.Folder); err != nil {
		return nil, nil, err
	}
	path := filepath.Join(o.Folder, fileName)
	s, list, err := tryStore(ctx, path, o, log)
	if !errors.Is(err, errBroken) {
		return s, list, err
	}
	aside := path + asideSuffix
	log.Warn("the file of the registry cannot be read and is set aside; instances register again", "file", path, "aside", aside, "error", err)
	if err := os.Rename(path, aside); err != nil {
		return nil, nil, err
	}
	return tryStore(ctx, path, o, log)
}

// asideSuffix is added to the name of a file that is set aside.
const asideSuffix = ".broken"

// errBroken says that a file is not a valid registry file of this version.
var errBroken = errors.New("the file is broken")

// broken wraps errBroken with what bbolt reported about a file, by error or by panic.
func broken(path string, cause any) error { return fmt.Errorf("%w: %s: %v", errBroken, path, cause) }

func tryStore(ctx context.Context, path string, o Options, log *slog.Logger) (s *store, list []*Instance, err error) {
	db, err := locked(ctx, path, o.Succeeds, log)
	if err != nil {
		return nil, nil, err
	}
	defer func() { // bbolt panics at some damage in a file
		if cause := recover(); cause != nil {
			s, list, err = nil, nil, errors.Join(broken(path, cause), db.Close())
		}
	}()
	s = &store{
		db: db, log: log, wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{}), pending: map[key]*Instance{},
	}
	if list, err = s.prepare(o.MaxAge); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	go s.run()
	return s, list, nil
}

// locked opens the file once no other process has it.
func locked(ctx context.Context, path string, succeeds bool, log *slog.Logger) (db *bolt.DB, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = broken(path, cause)
		}
	}()
	for told := succeeds; ; told = true {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTurn, FreelistType: bolt.FreelistMapType})
		switch {
		case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
			return nil, broken(path, err)
		case !errors.Is(err, berrors.ErrTimeout):
			return db, err
		}
		if !told {
			log.Warn("another process has the file of the registry open; what it holds is not known until it lets go", "file", path)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// prepare makes the buckets, and reads the instances that are not too old.
func (s *store) prepare(maxAge time.Duration) (list []*Instance, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		about, err := tx.CreateBucketIfNotExists([]byte(inFile))
		if err != nil {
			return err
		}
		if v := about.Get([]byte(versionKey)); v != nil && string(v) != version {
			return broken(fileName, fmt.Sprintf("it has version %q", v))
		}
		if old := tooOld(about.Get([]byte(seenKey)), maxAge); old && tx.Bucket([]byte(inInstances)) != nil {
			s.log.Info("instances of before the start are too old to count", "max_age", maxAge)
			if err := tx.DeleteBucket([]byte(inInstances)); err != nil {
				return err
			}
		}
		instances, err := tx.CreateBucketIfNotExists([]byte(inInstances))
		if err != nil {
			return err
		}
		if err := about.Put([]byte(versionKey), []byte(version)); err != nil {
			return err
		}
		return instances.ForEach(func(k, v []byte) error {
			if e, err := ParseEntry(v); err == nil && bytes.Equal(key{e.Service, e.ID}.bytes(), k) {
				list = append(list, e.Instance)
			} else {
				s.log.Warn("a record of the registry cannot be read and is passed over", "error", err)
			}
			return nil
		})
	})
	return list, err
}

// tooOld reports whether the file's content is too old to count.
func tooOld(stamp []byte, maxAge time.Duration) bool {
	at, err := time.Parse(time.RFC3339, string(stamp))
	if err == nil {
		at, err = statefile.Past(at)
	}
	return err != nil || time.Since(at) > maxAge
}

// note schedules an instance to be written soon, or to be removed if i is nil. It never blocks.
func (s *store) note(service, id string, i *Instance) {
	s.mu.Lock()
	if !errors.Is(s.trouble, errBroken) {
		s.pending[key{service, id}] = i
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end writes what was noted so far and closes the file.
func (s *store) end() {
	close(s.ending)
	<-s.done
}

// failing returns why changes that were noted are not in the file. It returns nil if they are or soon will be.
func (s *store) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

func (s *store) run() {
	defer close(s.done)
	debug.SetPanicOnFault(true) // the file is mapped memory, and truncating it makes accesses fault
	ticker := time.NewTicker(stamps)
	defer ticker.Stop()
	broken := s.write() // the stamp
	for ended := false; !ended && !broken; {
		select {
		case <-s.ending:
			ended = true
		case <-ticker.C:
		case <-s.wake:
			select {
			case <-s.ending:
				ended = true
			case <-time.After(settle):
			}
		}
		broken = s.write()
	}
	if broken {
		s.abandon()
		return
	}
	_ = s.db.Close() // an error does not matter: all of it is on disk
}

// abandon sets a damaged file aside, so that the next start can make a new one. It does not close the file: bbolt may
// still hold its own locks after a panic, and closing would wait for them forever.
func (s *store) abandon() {
	path := s.db.Path()
	aside := path + asideSuffix
	s.log.Error("the file of the registry is damaged and is set aside; until the next start everything is in memory only, and after it instances register again",
		"file", path, "aside", aside, "error", s.failing())
	if err := os.Rename(path, aside); err != nil {
		s.log.Error("the damaged file of the registry cannot be set aside; remove it before the next start", "file", path, "error", err)
	}
}

// write writes the pending changes to the disk. Changes that could not be written are retried, unless the file is
// broken.
func (s *store) write() (broken bool) {
	s.mu.Lock()
	batch := s.pending
	s.pending = map[key]*Instance{}
	s.mu.Unlock()
	err := s.update(batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = err
	switch {
	case err == nil:
		s.written++
		return false
	case errors.Is(err, errBroken):
		s.pending = nil
		return true
	}
	s.log.Error("instances cannot be written to the disk; should the registry end before they are, they register again", "error", err)
	for k, i := range batch {
		if _, newer := s.pending[k]; !newer {
			s.pending[k] = i
		}
	}
	return false
}

// update writes a batch, and the stamp. The error is errBroken if bbolt panicked because of damage in the file.
func (s *store) update(batch map[key]*Instance) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = broken(s.db.Path(), cause)
		}
	}()
	return s.db.Update(func(tx *bolt.Tx) error {
		instances, about := tx.Bucket([]byte(inInstances)), tx.Bucket([]byte(inFile))
		if instances == nil || about == nil {
			return broken(s.db.Path(), "it has lost its buckets")
		}
		for k, i := range batch {
			if err := keep(instances, k, i); err != nil {
				return err
			}
		}
		return about.Put([]byte(seenKey), []byte(time.Now().UTC().Format(time.RFC3339)))
	})
}

func keep(b *bolt.Bucket, k key, i *Instance) error {
	if i == nil {
		return b.Delete(k.bytes())
	}
	e := Entry{Instance: i}
	return b.Put(k.bytes(), e.Append(nil))
}
