package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/control/source"
)

// TestWhereItListensIsKnown holds what bounds ask for: every socket on a port, the admin API's too.
func TestWhereItListensIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := "listen:\n  a: { address: 127.0.0.1:0 }\n  c: { address: 'unix:" + filepath.Join(t.TempDir(), "s") + "' }\nadmin: 127.0.0.1:0\nroutes:\n  GET /: respond:204\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Start(Options{Input: source.Input{Path: path}, Parts: Parts(), Level: &slog.LevelVar{}, Log: slog.New(slog.DiscardHandler)})
	if refused, is := errors.AsType[*RefusedError](err); is {
		t.Fatal(refused.Problems)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	var got []string
	for _, at := range a.listening() {
		got = append(got, at.String())
	}
	want := []string{a.AdminAddress()}
	for _, address := range a.Addresses() {
		if !filepath.IsAbs(address) {
			want = append(want, address)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) != 2 || !slices.Equal(got, want) {
		t.Errorf("it listens at %v, and says %v", want, got)
	}
}
