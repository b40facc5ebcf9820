// Package discoverytest runs providers in tests.
package discoverytest

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Open opens a source with settings that must have been read without problems, until the test ends.
func Open[C any](t testing.TB, open func(discovery.SourceEnv, *C) (discovery.Source, error), settings C, problems *doc.Problems) discovery.Source {
	t.Helper()
	if problems.Failed() {
		t.Fatal(problems.Sorted())
	}
	s, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, &settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Running is a provider that runs until its test ends, with what it has reported. It is safe for concurrent use.
type Running struct {
	testing.TB

	log   await.Text
	mu    sync.Mutex
	sets  [][]discovery.Endpoint
	looks []error // the result of each
}

// Run runs the provider of what ref names in a source.
func Run(t testing.TB, s discovery.Source, ref config.Ref) *Running {
	t.Helper()
	r := &Running{TB: t}
	p, err := s.Provider(discovery.Env{Log: slog.New(slog.NewTextHandler(&r.log, nil)), Looked: r.looked}, config.Service{Source: ref})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx, r.set) }()
	t.Cleanup(func() {
		stop()
		if err := await.From(t, "the end of the provider", ended); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%v\n%v\n%s", r.sets, r.looks, r.log.String())
		}
	})
	return r
}

func (r *Running) looked(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks = append(r.looks, err)
}

func (r *Running) set(list []discovery.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets = append(r.sets, list)
}

// Logged returns what was logged so far.
func (r *Running) Logged() string { return r.log.String() }

// Sets returns the sets that were reported so far.
func (r *Running) Sets() [][]discovery.Endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sets)
}

// Last returns the latest set, nil if there is none yet.
func (r *Running) Last() []discovery.Endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sets) == 0 {
		return nil
	}
	return r.sets[len(r.sets)-1]
}

// Have waits until the latest set has these endpoints, as Text writes them.
func (r *Running) Have(endpoints ...string) {
	r.Helper()
	want := strings.Join(endpoints, " ")
	await.That(r, "the set "+want, func() bool { return len(r.Sets()) > 0 && Text(r.Last()) == want })
}

// Only checks that no other sets were reported.
func (r *Running) Only(sets ...string) {
	r.Helper()
	var got []string
	for _, s := range r.Sets() {
		got = append(got, Text(s))
	}
	if !slices.Equal(got, sets) {
		r.Errorf("the sets were %q, want %q", got, sets)
	}
}

// Trouble waits until the last look has failed with an error that contains text, and returns that error.
func (r *Running) Trouble(text string) error {
	r.Helper()
	return r.look("word of trouble: "+text, func(err error) bool { return err != nil && strings.Contains(err.Error(), text) })
}

// Fine waits until the last look has not failed.
func (r *Running) Fine() {
	r.Helper()
	_ = r.look("a look that is fine", func(err error) bool { return err == nil })
}

// look waits until the result of the last look satisfies is, and returns it.
func (r *Running) look(what string, is func(error) bool) (last error) {
	r.Helper()
	await.That(r, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.looks) == 0 {
			return false
		}
		last = r.looks[len(r.looks)-1]
		return is(last)
	})
	return last
}

// Text writes a set in one line: addresses, and the conditions of those that are not ready.
func Text(list []discovery.Endpoint) string {
	texts := make([]string, 0, len(list))
	for _, e := range list {
		text := e.Address
		if e.Condition != discovery.Ready {
			text += "(" + e.Condition.String() + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}
