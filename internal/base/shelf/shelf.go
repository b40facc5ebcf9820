// Package shelf keeps on disk what was last heard from outside (the keys of an issuer, the endpoints of a service). A
// gateway that is started while a source does not answer can serve with it. Each value is in a file of its own, with
// the time when its source last confirmed it. A value older than its maximum age is not used, and is removed.
//
//   - shelf.go: what is kept, and for how long.
//   - write.go: the one goroutine that writes.
//   - document.go: the file format.
//
// A file that is broken, too large or not this user's is treated as missing, and logged. Nothing in the folder may be
// secret. Anyone who can write to the folder or set the clock back decides what is believed; so can anyone who writes
// the config.
package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// The bounds of a shelf. They are documented promises.
const (
	mostPlaces   = 1000
	largest      = 1 << 20  // bytes of a file
	largestInAll = 32 << 20 // bytes of all files
	// settle is the delay between a change and its write. Further changes in that time are written with it.
	settle = 2 * time.Second
	// refreshes is how often within its maximum age a value is written again because it was confirmed. A crash makes it
	// older by at most one such part of that age.
	refreshes = 24
)

// Shelf is a folder of values. Its methods may be called concurrently. None of them except Place and Close waits for
// the disk. A nil *Shelf keeps nothing.
type Shelf struct {
	folder string
	frozen bool // read-only
	log    *slog.Logger
	wake   chan struct{} // capacity 1; a value means that there is something to write or to remove
	end    chan struct{}
	done   chan struct{}
	ending sync.Once

	// disk is held while the folder is read or changed. It is taken before mu, and mu is never held during disk
	// operations, so that a hanging disk does not block callers that only report a value.
	disk sync.Mutex

	mu      sync.Mutex
	entries map[string]*entry // by file name
	bytes   int64             // of all known files
	full    bool              // it has been logged that the shelf is full
	tidying bool              // Tidy was called
}

// entry describes the content of one file.
type entry struct {
	kind, of string
	users    int
	maxAge   time.Duration // the longest of all users
	stored   stored
	next     *word // what is to be written; nil if the file is up to date
}

// word is what a source reported. Its value is nil if there is nothing to keep.
type word struct {
	value     []byte
	confirmed time.Time
}

// stored is what is known of a file's content.
type stored struct {
	there     bool
	sum       [sha256.Size]byte // of the value
	confirmed time.Time
	size      int64
}

// New makes a shelf in folder and starts the goroutine that writes there. The folder is made when there is something to
// keep. The error says why the folder cannot be used.
func New(folder string, log *slog.Logger) (*Shelf, error) {
	s, err := open(folder, log)
	if err == nil {
		go s.write()
	}
	return s, err
}

// Read makes a read-only shelf: it finds what is in the folder, and writes nothing there.
func Read(folder string, log *slog.Logger) (*Shelf, error) {
	s, err := open(folder, log)
	if err == nil {
		s.frozen = true
		close(s.done)
	}
	return s, err
}

func open(folder string, log *slog.Logger) (*Shelf, error) {
	if err := statefile.Check(folder); err != nil {
		return nil, err
	}
	return &Shelf{
		folder: folder, log: log, wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{}), entries: map[string]*entry{},
	}, nil
}

// Close writes what is still to be written and ends the goroutine. If the disk hangs, Close waits only until ctx ends.
// After that nothing is written or removed any more, unless a hanging disk goes on with what was under way.
func (s *Shelf) Close(ctx context.Context) {
	if s == nil {
		return
	}
	s.ending.Do(func() { close(s.end) })
	select {
	case <-s.done:
	case <-ctx.Done():
	}
}

// Place is where the value of one source is kept. Its methods may be called concurrently. On a nil *Place they do
// nothing.
type Place struct {
	shelf  *Shelf
	entry  *entry
	maxAge time.Duration
	last   word // the latest value when the place was taken
	leave  sync.Once
}

// Place returns the place of a source. kind is what the source reports ("keys"). of contains everything that makes it a
// different source when it changes. maxAge is how long its value is valid after it was confirmed. Place reads the
// existing file.
func (s *Shelf) Place(kind, of string, maxAge time.Duration) *Place {
	if s == nil {
		return nil
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	name := fileName(kind, of)
	if !s.hasRoom(name) {
		return nil
	}
	value, found := s.read(name, kind, of)
	last := word{value, found.confirmed}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[name]
	switch {
	case e == nil:
		e = &entry{kind: kind, of: of, stored: found}
		s.entries[name] = e
		s.bytes += found.size
	case e.next != nil:
		last = *e.next
	}
	e.users++
	e.maxAge = max(e.maxAge, maxAge)
	return &Place{shelf: s, entry: e, maxAge: maxAge, last: last}
}

// hasRoom reports whether there is a place of that name, or room for one. It logs once that there is none. Only the
// holder of disk makes places.
func (s *Shelf) hasRoom(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[name] != nil || len(s.entries) < mostPlaces {
		return true
	}
	if !s.full {
		s.full = true
		s.log.Warn("no more is kept for a restart than this; the rest is not", "sources", mostPlaces)
	}
	return false
}

// fileName consists of letters and digits, whatever the name of the source, and the suffix.
func fileName(kind, of string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + of))
	return hex.EncodeToString(sum[:16]) + suffix
}

const suffix = ".json"

// read returns the content of a file. Content that cannot be used is treated as missing.
func (s *Shelf) read(name, kind, of string) ([]byte, stored) {
	raw, err := statefile.Read(filepath.Join(s.folder, name), largest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, stored{}
	}
	var d document
	if err == nil {
		d, err = parse(raw, kind, of)
	}
	var at time.Time
	if err == nil {
		at, err = statefile.Past(d.Confirmed)
	}
	if err != nil {
		s.log.Warn(unusable, "kind", kind, "of", of, "file", name, "reason", err)
		return nil, stored{}
	}
	return d.Value, stored{there: true, sum: sha256.Sum256(d.Value), confirmed: at, size: int64(len(raw))}
}

// Last decodes what was kept when the place was taken into value, as encoding/json does, and returns when it was
// confirmed. ok is false if there was nothing, or if it is too old by now.
func (p *Place) Last(value any) (confirmed time.Time, ok bool) {
	if p == nil || p.last.value == nil || time.Since(p.last.confirmed) > p.maxAge {
		return time.Time{}, false
	}
	if err := json.Unmarshal(p.last.value, value); err != nil {
		p.shelf.log.Warn(unusable, "kind", p.entry.kind, "of", p.entry.of, "reason", err)
		return time.Time{}, false
	}
	return p.last.confirmed, true
}

// Put records that the source has confirmed value just now. encoding/json must be able to encode value. It is written
// to disk soon if it differs from the file, or if the file's confirmation is old.
func (p *Place) Put(value any) {
	if p == nil {
		return
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		p.shelf.log.Error(unkept, "kind", p.entry.kind, "of", p.entry.of, "error", err)
		p.Clear() // the stored value is outdated
		return
	}
	p.put(word{encoded, time.Now()})
}

// Clear records that the source has nothing to keep.
func (p *Place) Clear() {
	if p != nil {
		p.put(word{})
	}
}

func (p *Place) put(w word) {
	s, e := p.shelf, p.entry
	if s.frozen {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.next = nil; e.stored.differs(w, e.maxAge/refreshes) {
		e.next = &w
		s.nudge()
	}
}

// Log messages.
const (
	unusable = "what was kept for a restart cannot be used; it is as if there were nothing"
	unkept   = "what is heard from outside cannot be kept; a restart may have to wait for it"
)

// differs reports whether the file must be written to hold w. If only the time of confirmation differs, by less than
// by, it need not be.
func (f stored) differs(w word, by time.Duration) bool {
	if w.value == nil || !f.there {
		return f.there != (w.value != nil)
	}
	return sha256.Sum256(w.value) != f.sum || w.confirmed.Sub(f.confirmed) >= by
}

// Close gives the place back. Its file stays until Tidy.
func (p *Place) Close() {
	if p == nil {
		return
	}
	p.leave.Do(func() {
		s := p.shelf
		s.mu.Lock()
		defer s.mu.Unlock()
		e := p.entry
		if e.users--; e.users == 0 {
			delete(s.entries, fileName(e.kind, e.of))
			s.bytes -= e.stored.size
		}
	})
}

// Tidy schedules the removal of files that belong to no open place. Call it once all places are open that will be
// needed, and never while the process is ending.
func (s *Shelf) Tidy() {
	if s == nil || s.frozen {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidying = true
	s.nudge()
}

// nudge wakes the goroutine.
func (s *Shelf) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
}
