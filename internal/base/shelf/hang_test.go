package shelf

import (
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// TestADiskThatHangsHoldsUpNobodyElse plays a disk that hangs while it is written and tidied:
// who only says something goes on.
func TestADiskThatHangsHoldsUpNobodyElse(t *testing.T) {
	s, err := New(filepath.Join(t.TempDir(), "shelf"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	old, p, other := s.Place("keys", "old", -time.Hour), s.Place("keys", "a", time.Hour), s.Place("keys", "b", time.Hour)
	old.Put("which is to be removed at once")
	if err := s.round(true); err != nil {
		t.Fatal(err)
	}
	s.disk.Lock()
	goOn := sync.OnceFunc(s.disk.Unlock)
	defer goOn() // or Close waits
	ended := make(chan error, 3)
	for _, work := range []func(){func() { s.removeOld() }, func() { s.Tidy(); s.removeUnknown() }, func() { _ = s.round(false) }} {
		go func() { work(); ended <- nil }()
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		for range 1000 {
			p.Put("one")
			s.Tidy()
			p.Clear()
			_, _ = p.Last(new(string))
			runtime.Gosched() // so that each work comes to where it waits
		}
		p.Put("two")
		other.Close()
	}()
	await.From(t, "somebody waits for the disk", said)
	goOn()
	for range 3 {
		await.From(t, "the end of the works", ended)
	}
	if err := s.round(true); err != nil {
		t.Fatal(err)
	}
	again := s.Place("keys", "a", time.Hour)
	var last string
	if _, ok := again.Last(&last); !ok || last != "two" {
		t.Errorf("when it hangs no more, %q is written", last)
	}
}
