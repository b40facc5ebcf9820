// Package shelf keeps on disk what was last heard from outside (the keys of an issuer,
// the endpoints of a service), so that a gateway which is started while nobody answers
// serves by it. Each word lies in a file of its own with the time when its source last
// confirmed it; one that is older than it may be is not used, and is removed.
//
//   - shelf.go: what is kept, and for how long.
//   - write.go: the one goroutine that writes.
//   - document.go: the form of a file.
//
// A file that is broken, too large or not this user's is as if there were none, and the
// log tells of it. Nothing that lies here may be secret. Who can write to the folder, or
// set the clock back, decides what is believed: so can who writes the config.
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

// The bounds of a shelf. They are promises: docs name them.
const (
	mostPlaces   = 1000
	largest      = 1 << 20  // bytes of a file
	largestInAll = 32 << 20 // bytes of all files
	// settle is how long after a change it is written, with all that changes meanwhile.
	settle = 2 * time.Second
	// refreshes is how often in the time that a word counts it is written again because it
	// was confirmed. A crash makes it older by no more than one such part.
	refreshes = 24
)

// Shelf is a folder of words. Its methods may be called concurrently; none of them but
// Place and Close waits for the disk. A nil *Shelf keeps nothing.
type Shelf struct {
	folder string
	frozen bool // it is read only
	log    *slog.Logger
	wake   chan struct{} // holds one: there is something to write or to remove
	end    chan struct{}
	done   chan struct{}
	ending sync.Once

	// disk is held by who reads or changes the folder, and taken before mu, which is never
	// held meanwhile: a disk that hangs must not stop those who only say something.
	disk sync.Mutex

	mu      sync.Mutex
	entries map[string]*entry // by the name of their file
	bytes   int64             // of all files that are known
	full    bool              // that it is was told
	tidying bool              // Tidy was called
}

// entry is what is kept in one file.
type entry struct {
	kind, of string
	users    int
	maxAge   time.Duration // the longest of its users
	stored   stored
	next     *word // what the file shall hold instead; nil: it holds what it shall
}

// word is what a source said. Its value is nil where there is nothing to keep.
type word struct {
	value     []byte
	confirmed time.Time
}

// stored is what a file holds.
type stored struct {
	there     bool
	sum       [sha256.Size]byte // of the value
	confirmed time.Time
	size      int64
}

// New makes the shelf in folder, which is made when there is something to keep, and the
// goroutine that writes there. The error says why the folder cannot be used.
func New(folder string, log *slog.Logger) (*Shelf, error) {
	s, err := open(folder, log)
	if err == nil {
		go s.write()
	}
	return s, err
}

// Read makes the shelf in a folder that is not to be changed: what lies there is found,
// and nothing is put there.
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

// Close writes what is still to be written and ends the goroutine; a disk that hangs is
// waited for until ctx ends. From then on nothing is written or removed any more.
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

// Place is where the word of one source lies. Its methods may be called concurrently. Those
// of a nil *Place do nothing.
type Place struct {
	shelf  *Shelf
	entry  *entry
	maxAge time.Duration
	last   word // when the place was taken
	leave  sync.Once
}

// Place gives the place of a source: kind is what it tells ("keys"), of says everything that
// makes it another source when it changes. maxAge is how long its word counts after it was
// confirmed. It reads the file that is there.
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

// hasRoom tells whether there is a place of that name, or room for one, and says once that there
// is none. Only who holds disk makes places.
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

// fileName is of letters and digits alone, whatever a source is called.
func fileName(kind, of string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + of))
	return hex.EncodeToString(sum[:16]) + suffix
}

const suffix = ".json"

// read gives what a file holds. What cannot be used is as if it were not there.
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

// Last gives what lay there when the place was taken, as encoding/json reads it, and when
// that was confirmed; ok is false where nothing did, or where it is too old by now.
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

// Put says that the source has confirmed value just now, which is something that
// encoding/json writes. It goes to the disk soon, if it is another one than there, or
// was not confirmed for long.
func (p *Place) Put(value any) {
	if p == nil {
		return
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		p.shelf.log.Error(unkept, "kind", p.entry.kind, "of", p.entry.of, "error", err)
		p.Clear() // what lies there has been replaced by this word, and is not so any more
		return
	}
	p.put(word{encoded, time.Now()})
}

// Clear says that the source has nothing to keep.
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

// What the log is told.
const (
	unusable = "what was kept for a restart cannot be used; it is as if there were nothing"
	unkept   = "what is heard from outside cannot be kept; a restart may have to wait for it"
)

// differs tells whether a file must be written to hold w, which may be confirmed later
// than the file says by less than so much.
func (f stored) differs(w word, by time.Duration) bool {
	if w.value == nil || !f.there {
		return f.there != (w.value != nil)
	}
	return sha256.Sum256(w.value) != f.sum || w.confirmed.Sub(f.confirmed) >= by
}

// Close gives the place back. What lies there stays until Tidy.
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

// Tidy removes, soon, what lies in no place that somebody has. Call it when everybody who
// may want one has it, and never at the end.
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
	default: // it will look anyway
	}
}
