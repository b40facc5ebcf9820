package shelf

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAllTogetherIsBounded(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "shelf")
	s, err := New(folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Close(context.Background()) // rounds are made by hand
	p, other := s.Place("keys", "a", time.Hour), s.Place("keys", "b", time.Hour)
	p.Put(strings.Repeat("x", 1000))
	if err := s.round(false); err != nil {
		t.Fatal(err)
	}
	used := s.bytes
	info, err := os.Stat(filepath.Join(folder, fileName("keys", "a")))
	if err != nil || info.Size() != used {
		t.Fatalf("there are %d bytes, not %d: %v", info.Size(), used, err)
	}
	s.bytes = largestInAll - 500 // as if there were more
	other.Put(strings.Repeat("x", 1000))
	if err := s.round(false); err == nil || !strings.Contains(err.Error(), "keys of b: all that is kept has more than 33554432 bytes") {
		t.Errorf("beyond the bound: %v", err)
	}
	s.bytes -= 100_000
	if err := s.round(false); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	p.Close()
	other.Close()
	if want := int64(largestInAll-500-100_000) - used; s.bytes != want {
		t.Errorf("after all are given back %d bytes are known, not %d", s.bytes, want)
	}
}
