package history_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/control/history"
)

func open(t *testing.T, path string) (*history.History, error) {
	t.Helper()
	h, lost, err := history.Open(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	return h, lost
}

func add(t *testing.T, h *history.History, digest, text string) {
	t.Helper()
	e := history.Entry{Digest: digest, Time: time.Now(), From: "input"}
	if err := h.Add(e, []history.Source{{Name: "weir.yaml", Data: []byte(text)}}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsKeptOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "weir")
	h, _ := open(t, path)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a folder was made for nothing")
	}
	add(t, h, "aaaa1111", "one")
	add(t, h, "bbbb2222", "two")
	add(t, h, "cccc3333", "three")
	hold := history.Hold{Digest: "bbbb2222", Since: time.Now().Truncate(0), By: "rollback", Base: map[string]string{"weir.yaml": "00"}}
	if err := errors.Join(h.SetHold(&hold), h.Return("bbbb2222", time.Now())); err != nil {
		t.Fatal(err)
	}
	// What a crash left does no harm and does not stay.
	left := filepath.Join(path, "text", ".new-1234")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}

	h, lost := open(t, path)
	if lost != nil {
		t.Fatal(lost)
	}
	if list := h.Entries(); len(list) != 2 || list[0].Digest != "cccc3333" || list[0].From != "input" || list[0].Time.IsZero() {
		t.Errorf("got %+v", list)
	}
	if e, sources, seen, ok := h.Last(); !ok || e.Digest != "bbbb2222" || string(sources[0].Data) != "two" || time.Since(seen) > time.Minute {
		t.Errorf("last: %+v, %v, %v", e, seen, ok)
	}
	if got := h.Hold(); got == nil || got.Digest != hold.Digest || !got.Since.Equal(hold.Since) || got.Base["weir.yaml"] != "00" {
		t.Errorf("hold: %+v", got)
	}
	if e, _, err := h.Find("cccc"); err != nil || e.Digest != "cccc3333" {
		t.Errorf("by its beginning: %+v, %v", e, err)
	}
	add(t, h, "bbbb4444", "four")
	if _, _, err := h.Find("bbbb"); err == nil {
		t.Error("a beginning of two was taken for one of them")
	}
	if e, _, err := h.Before("bbbb4444"); err != nil || e.Digest != "bbbb2222" { // what is held is not forgotten
		t.Errorf("before: %+v, %v", e, err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error("what a crash left is still there")
	}
}

// Nobody but us should have written there, but what is read decides what serves.
func TestWhatIsNotAsItWasWrittenIsLeftOut(t *testing.T) {
	for name, spoil := range map[string]func(index string) string{
		"another version":            func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 2`, 1) },
		"no JSON":                    func(s string) string { return s[:len(s)/2] },
		"nothing":                    func(string) string { return "" },
		"a name out of the folder":   func(s string) string { return strings.Replace(s, "weir.yaml", "../weir.yaml", 1) },
		"a text out of the folder":   func(s string) string { return strings.Replace(s, `"sha256": "`, `"sha256": "../`, 1) },
		"the digest of another text": func(s string) string { return strings.Replace(s, `"sha256": "`, `"sha256": "0`, 1) },
		"too much":                   func(s string) string { return s + strings.Repeat(" ", 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			h, _ := open(t, path)
			add(t, h, "aaaa1111", "one")
			index := filepath.Join(path, "index.json")
			text, err := os.ReadFile(index)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(index, []byte(spoil(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			h, lost := open(t, path)
			if _, _, _, ok := h.Last(); ok || lost == nil {
				t.Errorf("it was taken; told: %v", lost)
			}
			add(t, h, "bbbb2222", "two") // and it is mended by what comes next
			if h, lost = open(t, path); lost != nil || len(h.Entries()) != 1 {
				t.Errorf("afterwards: %v, %v", h.Entries(), lost)
			}
		})
	}
}

// Somebody may still want to mend by hand what a broken index names.
func TestABrokenIndexIsMovedAsideWithItsTexts(t *testing.T) {
	path := t.TempDir()
	h, _ := open(t, path)
	add(t, h, "aaaa1111", "one")
	index := filepath.Join(path, "index.json")
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	half := whole[:len(whole)/2]
	if err := os.WriteFile(index, half, 0o600); err != nil {
		t.Fatal(err)
	}
	h, lost := open(t, path)
	if lost == nil || !strings.Contains(lost.Error(), "index.json.broken") {
		t.Errorf("told: %v", lost)
	}
	later := time.Now().Add(time.Hour) // of files that are written from now on, whatever the disk makes of times
	add(t, h, "bbbb2222", "two")
	age(t, path, "two", later)
	h, _ = open(t, path) // nor does the next process remove them
	add(t, h, "cccc3333", "three")
	age(t, path, "three", later)
	add(t, h, "dddd4444", "four")
	if kept, err := os.ReadFile(index + ".broken"); err != nil || !bytes.Equal(kept, half) {
		t.Errorf("aside lies %q (%v)", kept, err)
	}
	if texts := textsIn(t, path); !slices.Equal(texts, []string{"four", "one", "three"}) {
		t.Errorf("there are %q", texts)
	}
	if err := os.WriteFile(index, whole, 0o600); err != nil { // mended
		t.Fatal(err)
	}
	if h, lost := open(t, path); lost != nil || len(h.Entries()) != 1 {
		t.Errorf("mended: %v, %v", h.Entries(), lost)
	}
	if err := os.Remove(index + ".broken"); err != nil {
		t.Fatal(err)
	}
	h, _ = open(t, path)
	add(t, h, "eeee5555", "five")
	add(t, h, "ffff6666", "six")
	if texts := textsIn(t, path); !slices.Equal(texts, []string{"five", "six"}) {
		t.Errorf("without the broken index there are %q", texts)
	}
}

// textsIn gives the texts of a folder in order.
func textsIn(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "text", "*"))
	var texts []string
	for _, file := range files {
		text, failed := os.ReadFile(file)
		err = errors.Join(err, failed)
		texts = append(texts, string(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	return texts
}

// age makes the file of a text one of a time.
func age(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	if err := os.Chtimes(filepath.Join(path, "text", hex.EncodeToString(sum[:])), at, at); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsPrivateIsInMemoryOnly(t *testing.T) {
	path := t.TempDir()
	h, _ := open(t, path)
	e := history.Entry{Digest: "aaaa1111", Time: time.Now(), Private: true}
	if err := h.Add(e, []history.Source{{Name: "weir.yaml", Data: []byte("token: hunter2")}}); err != nil {
		t.Fatal(err)
	}
	if _, sources, err := h.Find("aaaa1111"); err != nil || string(sources[0].Data) != "token: hunter2" {
		t.Errorf("in memory: %v, %v", sources, err)
	}
	if h, lost := open(t, path); lost != nil || len(h.Entries()) != 0 {
		t.Errorf("on disk: %v, %v", h.Entries(), lost)
	}
}

func TestAFolderThatIsOnlyReadStaysAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	h, _ := open(t, path)
	add(t, h, "aaaa1111", "one")
	index := filepath.Join(path, "index.json")
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	reading, lost, err := history.Read(path, 2)
	if err := errors.Join(lost, err); err != nil {
		t.Fatal(err)
	}
	if _, sources, _, ok := reading.Last(); !ok || string(sources[0].Data) != "one" {
		t.Errorf("read is %v", sources)
	}
	add(t, reading, "bbbb2222", "two")
	if list := reading.Entries(); len(list) != 2 {
		t.Errorf("in memory there is %+v", list)
	}
	if after, err := os.ReadFile(index); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the index is another one (%v)", err)
	}
	if err := os.WriteFile(index, []byte("{"), 0o600); err != nil { // not moved aside either: it is another's
		t.Fatal(err)
	}
	if _, lost, err := history.Read(path, 2); err != nil || lost == nil {
		t.Errorf("a broken index: %v, %v", lost, err)
	}
	if text, err := os.ReadFile(index); err != nil || string(text) != "{" {
		t.Errorf("the broken index: %q, %v", text, err)
	}
}
