package etcd

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

// opened opens a source by settings as they are written.
func opened(t testing.TB, settings string) *source {
	t.Helper()
	var ps doc.Problems
	c := defaults()
	if n := doc.Parse("weir.yaml", []byte(settings), &ps); n != nil {
		doc.Decode(n, &c, &ps)
	}
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	s, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.(*source)
}

func at(t testing.TB, servers ...string) *source {
	t.Helper()
	return opened(t, "servers: [http://"+strings.Join(servers, ", http://")+"]")
}

// running is a provider that runs, with what it has told so far.
type running struct {
	testing.TB

	log  await.Text
	mu   sync.Mutex
	sets [][]discovery.Endpoint
	errs []error
}

func run(t testing.TB, s *source, name string) *running {
	t.Helper()
	r := &running{TB: t}
	env := discovery.Env{Log: slog.New(slog.NewTextHandler(&r.log, nil)), Looked: func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.errs = append(r.errs, err)
	}}
	p, err := s.Provider(env, config.Service{Source: config.Ref{Scheme: scheme, Rest: name}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- p.Run(ctx, func(list []discovery.Endpoint) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.sets = append(r.sets, list)
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := await.From(t, "the end of the provider", ended); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%v\n%v\n%s", r.sets, r.errs, r.log.String())
		}
	})
	return r
}

// addresses are those of the last set, "" where there is none yet.
func (r *running) addresses() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sets) == 0 {
		return "none yet"
	}
	return addressesOf(r.sets[len(r.sets)-1])
}

func addressesOf(list []discovery.Endpoint) string {
	var texts []string
	for _, e := range list {
		texts = append(texts, e.Address)
	}
	return strings.Join(texts, " ")
}

// have waits until the set is of these addresses.
func (r *running) have(addresses ...string) {
	r.Helper()
	want := strings.Join(addresses, " ")
	await.That(r, "the set "+want, func() bool { return r.addresses() == want })
}

// trouble waits until the last look has found that.
func (r *running) trouble(holds func(error) bool) {
	r.Helper()
	await.That(r, "word of trouble", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.errs) > 0 && holds(r.errs[len(r.errs)-1])
	})
}

func isTrouble(err error) bool { return err != nil }
func isFine(err error) bool    { return err == nil }

// only holds that no set was told but these.
func (r *running) only(sets ...string) {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, s := range r.sets {
		got = append(got, addressesOf(s))
	}
	if !slices.Equal(got, sets) {
		r.Errorf("the sets were %q, want %q", got, sets)
	}
}
