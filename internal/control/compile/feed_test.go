package compile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/discovery"
)

// told is a provider that passes on what the test says.
type told struct {
	looked func(error)
	sets   chan []discovery.Endpoint
	errs   chan error
}

func (p *told) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	for {
		select {
		case list := <-p.sets:
			set(list)
			p.looked(nil)
		case err := <-p.errs:
			p.looked(err)
		case <-ctx.Done():
			return nil
		}
	}
}

// scripted adds the scheme `told:` to a world. Its first look has gone wrong.
func (w *world) scripted() *told {
	p := &told{sets: make(chan []discovery.Endpoint), errs: make(chan error, 1)}
	p.errs <- fmt.Errorf("users: %w", discovery.ErrAbsent)
	w.parts.Providers = append(w.parts.Providers, discovery.Definition{
		Schemes: []discovery.Scheme{{Scheme: config.Scheme{Name: "told", Summary: "by the test", Example: "told:users"}}},
		New: func(env discovery.Env, _ config.Service) (discovery.Provider, error) {
			if p.looked == nil {
				p.looked = env.Looked
			}
			return p, nil
		},
	})
	return p
}

// A service whose endpoints cannot be found is no reason to wait or to refuse the config:
// its route answers 503 until they are there, and no reload is needed for that.
func TestEndpointsThatAreNotThereYet(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("here")) }))
	defer backend.Close()
	w := newWorld(t)
	p := w.scripted()
	var log bytes.Buffer
	w.compiler = compile.New(w.parts, compile.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Secret: secret.Resolve})
	w.serve(w.load("routes:\n  GET /: told:users\n"))
	answer := w.get("/")
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), "no-endpoint") {
		t.Errorf("got %d %v %s", answer.Code, answer.Header(), answer.Body)
	}
	p.sets <- []discovery.Endpoint{{Address: backend.Listener.Addr().String(), Weight: 1}}
	p.errs <- errors.New("nobody could be asked") // the set before it has been passed on
	p.errs <- errors.New("nobody could be asked")
	if got := w.get("/").Body.String(); got != "here" {
		t.Errorf("got %s", got)
	}
	w.compiler.Close(context.Background())
	for _, want := range []string{"endpoints cannot be found; requests", "users: there is no such name", "endpoints are found again", "the last ones stay", "nobody could be asked"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("not once: %q in\n%s", want, log.String())
		}
	}
}

// A look in vain ends the wait for the first endpoints.
func TestALookInVainIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.scripted()
		w.compiler = w.newCompiler()
		start := time.Now()
		w.serve(w.load("routes:\n  GET /: told:users\n"))
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
		w.compiler.Close(context.Background())
	})
}
