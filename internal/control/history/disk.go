package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// A folder holds an index and the texts of sources, each named by its digest:
//
//	index.json
//	index.json.broken
//	text/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// Each file is written under another name and then renamed. A text is read back only if it has the digest in its name,
// so what a crash left incomplete counts as missing. An index that cannot be read is moved aside. The texts from before
// it stay as long as it does, so that an operator can repair it.
const (
	indexName  = "index.json"
	brokenName = "index.json.broken"
	textName   = "text"
	// indexVersion is the version of the index; an index with another version is not read.
	indexVersion = 1
	// largestIndex and largestText bound what is read back.
	largestIndex = 1 << 20
	largestText  = 16 << 20
)

type index struct {
	Version int          `json:"version"`
	Serves  string       `json:"serves"`
	Seen    time.Time    `json:"seen"`
	Entries []indexEntry `json:"entries"`
	Hold    *Hold        `json:"hold,omitempty"`
}

type indexEntry struct {
	Digest  string        `json:"digest"`
	Time    time.Time     `json:"time"`
	From    string        `json:"from"`
	Sources []indexSource `json:"sources"`
}

type indexSource struct {
	Name string `json:"name"`
	Sum  string `json:"sha256"`
}

// folder is the place of a history on disk.
type folder struct {
	path string
	// written are the texts that are already in the folder.
	written map[string]bool
}

// Open makes a history that is also kept in the folder path. The folder is created once there is something to keep,
// with access for this user only. Open reads what the folder already holds. It omits what cannot be read and reports it
// in lost. err says why the folder cannot be used.
func Open(path string, keep int) (h *History, lost error, err error) {
	if err := statefile.Check(path); err != nil {
		return nil, nil, err
	}
	h = New(keep)
	h.folder = &folder{path: path, written: map[string]bool{}}
	i, err := h.folder.index()
	if err != nil {
		return h, fmt.Errorf("%w; %w", err, h.folder.moveAside()), nil
	}
	lost = h.take(h.folder, i)
	return h, lost, nil
}

// Read is like Open for a folder that must not be changed: the history has what the folder holds, and new entries are
// kept in memory only.
func Read(path string, keep int) (h *History, lost error, err error) {
	if err := statefile.Check(path); err != nil {
		return nil, nil, err
	}
	h = New(keep)
	f := &folder{path: path, written: map[string]bool{}}
	i, err := f.index()
	if err != nil {
		return h, err, nil
	}
	lost = h.take(f, i)
	return h, lost, nil
}

// index reads the folder's index; the zero value if there is none.
func (f *folder) index() (i index, err error) {
	raw, err := statefile.Read(filepath.Join(f.path, indexName), largestIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return index{}, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &i)
	}
	if err == nil && i.Version != indexVersion {
		err = fmt.Errorf("it has version %d", i.Version)
	}
	if err != nil {
		return index{}, fmt.Errorf("the kept configurations cannot be read: %w", err)
	}
	return i, nil
}

// take adds the entries that i names in f.
func (h *History) take(f *folder, i index) error {
	var lost []error
	for _, kept := range i.Entries {
		e := Entry{Digest: kept.Digest, Time: kept.Time, From: kept.From}
		texts, err := f.texts(kept.Sources)
		if err != nil {
			lost = append(lost, fmt.Errorf("the kept configuration %s cannot be read: %w", kept.Digest, err))
			continue
		}
		for j, s := range kept.Sources {
			sum := sha256.Sum256(texts[j])
			h.texts[sum] = texts[j]
			e.sources = append(e.sources, reference{s.Name, sum})
		}
		h.entries = append(h.entries, e)
	}
	h.serves, h.seen, h.hold = i.Serves, i.Seen, i.Hold
	return errors.Join(lost...)
}

// moveAside keeps an unreadable index from being overwritten. The error says where it is now, or why it could not be
// moved.
func (f *folder) moveAside() error {
	broken := filepath.Join(f.path, brokenName)
	if err := os.Rename(filepath.Join(f.path, indexName), broken); err != nil {
		return fmt.Errorf("it cannot be moved aside: %w", err)
	}
	return fmt.Errorf("it is moved to %s; mend it and move it back while nothing runs, or remove it", broken)
}

// texts reads the sources of one entry.
func (f *folder) texts(sources []indexSource) ([][]byte, error) {
	texts := make([][]byte, len(sources))
	for i, s := range sources {
		if s.Name != filepath.Base(s.Name) || !filepath.IsLocal(s.Name) || s.Sum != filepath.Base(s.Sum) {
			return nil, fmt.Errorf("%q is no name of a file", s.Name)
		}
		text, err := statefile.Read(filepath.Join(f.path, textName, s.Sum), largestText)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != s.Sum {
			return nil, fmt.Errorf("the text of %s is not what was written", s.Name)
		}
		texts[i] = text
		f.written[s.Sum] = true
	}
	return texts, nil
}

// write writes the index and the missing texts to the folder, and removes the texts that the index no longer names.
func (f *folder) write(i index, texts map[string][]byte) error {
	err := statefile.Make(f.path)
	if err == nil {
		err = statefile.Make(filepath.Join(f.path, textName))
	}
	if err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	for sum, text := range texts {
		if f.written[sum] {
			continue
		}
		if err := statefile.Replace(filepath.Join(f.path, textName, sum), text); err != nil {
			return fmt.Errorf("keep the configuration: %w", err)
		}
		f.written[sum] = true
	}
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(i)
	if err == nil {
		err = statefile.Replace(filepath.Join(f.path, indexName), raw.Bytes())
	}
	if err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	f.tidy(texts)
	return nil
}

// tidy removes the texts that the index does not name, including what a crash left, but nothing that a broken index may
// name. A text that cannot be removed does no harm.
func (f *folder) tidy(texts map[string][]byte) {
	entries, err := os.ReadDir(filepath.Join(f.path, textName))
	if err != nil {
		return
	}
	broken, _ := os.Lstat(filepath.Join(f.path, brokenName)) // nil: there is none
	for _, e := range entries {
		if texts[e.Name()] == nil && !isFromBefore(e, broken) {
			_ = os.Remove(filepath.Join(f.path, textName, e.Name()))
			delete(f.written, e.Name())
		}
	}
}

// isFromBefore reports whether a text existed when a broken index was written. Every text that the index names was
// written before it.
func isFromBefore(text fs.DirEntry, broken fs.FileInfo) bool {
	if broken == nil {
		return false
	}
	info, err := text.Info()
	return err == nil && !info.ModTime().After(broken.ModTime())
}
