// Package history keeps the configs that served, so that an operator can go back to one, and so that a restart whose
// input cannot serve has a config that was good.
//
//   - history.go: what is kept, and how long.
//   - disk.go: the same in a folder.
//
// The history keeps the sources as they were written: with references to secrets, never with the secrets themselves. A
// config with a secret in plain text is kept in memory only.
package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// NotKeptError reports that there is no such entry.
type NotKeptError struct{ text string }

func (e *NotKeptError) Error() string { return e.text }

func notKept(format string, args ...any) error { return &NotKeptError{fmt.Sprintf(format, args...)} }

// DefaultKeep is how many configs are kept.
const DefaultKeep = 10

// Source is one file of a config, by its name in the config's folder.
type Source struct {
	Name string
	Data []byte
}

// Entry is a config that served.
type Entry struct {
	Digest string
	Time   time.Time // when it last began to serve, other than by a rollback
	From   string    // where it came from
	// Private means that the config is not written to disk.
	Private bool
	sources []reference
}

// reference is a source with the digest of its text.
type reference struct {
	name string
	sum  [sha256.Size]byte
}

// Hold is a config that serves in place of the input.
type Hold struct {
	Digest string    `json:"digest"`
	Since  time.Time `json:"since"`
	By     string    `json:"by"` // what set the hold: "rollback" or "admin API"
	// Base is what the files of the input hold during the hold, by their names: SHA-256 in hexadecimal digits.
	Base map[string]string `json:"base"`
}

// History is a bounded list of entries. Its methods may be called concurrently.
type History struct {
	keep   int
	folder *folder // nil: in memory only

	mu      sync.Mutex
	entries []Entry // the newest last
	texts   map[[sha256.Size]byte][]byte
	serves  string
	seen    time.Time // when serves was last known to serve
	hold    *Hold
}

// New makes a history in memory that keeps the last keep configs.
func New(keep int) *History {
	return &History{keep: max(keep, 1), texts: map[[sha256.Size]byte][]byte{}}
}

// Add notes that a config serves from now on. A config that is already known moves to the end of the list. The error is
// about the disk; the history in memory has the config anyway.
func (h *History) Add(e Entry, sources []Source) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.sources = make([]reference, len(sources))
	for i, s := range sources {
		e.sources[i] = reference{s.Name, sha256.Sum256(s.Data)}
		h.texts[e.sources[i].sum] = bytes.Clone(s.Data)
	}
	h.entries = slices.DeleteFunc(h.entries, func(old Entry) bool { return old.Digest == e.Digest })
	h.entries = append(h.entries, e)
	h.serves, h.seen = e.Digest, e.Time
	h.prune()
	return h.write()
}

// Return notes that a config that is already in the list serves again.
func (h *History) Return(digest string, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serves, h.seen = digest, now
	return h.write()
}

// Touch notes that the serving config still serves.
func (h *History) Touch(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.serves == "" {
		return nil
	}
	h.seen = now
	return h.write()
}

// prune removes the oldest entries, but neither the config that serves nor the one that is held.
func (h *History) prune() {
	for i := 0; len(h.entries) > h.keep && i < len(h.entries); {
		if d := h.entries[i].Digest; d == h.serves || h.hold != nil && d == h.hold.Digest {
			i++
			continue
		}
		h.entries = slices.Delete(h.entries, i, i+1)
	}
	used := map[[sha256.Size]byte]bool{}
	for _, e := range h.entries {
		for _, s := range e.sources {
			used[s.sum] = true
		}
	}
	maps.DeleteFunc(h.texts, func(sum [sha256.Size]byte, _ []byte) bool { return !used[sum] })
}

// Entries returns the kept configs, newest first.
func (h *History) Entries() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Clone(h.entries)
	slices.Reverse(list)
	return list
}

// Find returns the entry with this digest, or the only entry whose digest begins with it.
func (h *History) Find(digest string) (Entry, []Source, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []Entry
	for _, e := range h.entries {
		if e.Digest == digest {
			found = []Entry{e}
			break
		}
		if len(digest) >= shortestDigest && len(e.Digest) >= len(digest) && e.Digest[:len(digest)] == digest {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, nil, notKept("no configuration with the digest %q is kept", digest)
	case 1:
		return found[0], h.sources(found[0]), nil
	default:
		return Entry{}, nil, notKept("%d configurations have a digest that begins with %q", len(found), digest)
	}
}

// shortestDigest is the minimum number of characters of a digest.
const shortestDigest = 4

// Before returns the entry that came before the one with a digest.
func (h *History) Before(digest string) (Entry, []Source, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.entries, func(e Entry) bool { return e.Digest == digest })
	if i < 0 {
		i = len(h.entries) // it is not kept, so all kept ones came before it
	}
	if i == 0 {
		return Entry{}, nil, notKept("no configuration is kept from before %s", digest)
	}
	return h.entries[i-1], h.sources(h.entries[i-1]), nil
}

// Last returns the config that served last, and when it was last known to serve. ok is false if none is kept.
func (h *History) Last() (e Entry, sources []Source, seen time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.entries, func(e Entry) bool { return e.Digest == h.serves })
	if i < 0 {
		return Entry{}, nil, time.Time{}, false
	}
	return h.entries[i], h.sources(h.entries[i]), h.seen, true
}

func (h *History) sources(e Entry) []Source {
	list := make([]Source, len(e.sources))
	for i, s := range e.sources {
		list[i] = Source{s.name, h.texts[s.sum]}
	}
	return list
}

// Hold returns what serves in place of the input, nil for nothing.
func (h *History) Hold() *Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hold
}

// SetHold notes what serves in place of the input, nil for nothing.
func (h *History) SetHold(hold *Hold) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold = hold
	return h.write()
}

// write writes everything that may be on disk to the folder.
func (h *History) write() error {
	if h.folder == nil {
		return nil
	}
	i := index{Version: indexVersion, Serves: h.serves, Seen: h.seen, Hold: h.hold}
	texts := map[string][]byte{}
	for _, e := range h.entries {
		if e.Private {
			continue
		}
		kept := indexEntry{Digest: e.Digest, Time: e.Time, From: e.From}
		for _, s := range e.sources {
			sum := hex.EncodeToString(s.sum[:])
			texts[sum] = h.texts[s.sum]
			kept.Sources = append(kept.Sources, indexSource{s.name, sum})
		}
		i.Entries = append(i.Entries, kept)
	}
	return h.folder.write(i, texts)
}
