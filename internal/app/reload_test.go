package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/await"
)

// run serves until the test ends, with its files watched.
func (w *world) run() {
	w.t.Helper()
	o := w.options()
	o.Watch = true
	started, ended := make(chan *app.App, 1), make(chan error, 1)
	o.Started = func(a *app.App) { started <- a }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- app.Run(ctx, o) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	select {
	case w.app = <-started:
	case err := <-ended:
		ended <- nil
		w.t.Fatal(err)
	}
}

// says tells what the gateway answers.
func (w *world) says(path string) string {
	w.t.Helper()
	_, body := get(w.t, w.url(path))
	return body
}

func (w *world) awaits(path, want string) {
	w.t.Helper()
	await.That(w.t, path+" answers "+want, func() bool { return w.says(path) == want })
}

func TestChangedFilesAreServedWithoutASignal(t *testing.T) {
	w := newWorld(t, off+"routes:\n  GET /: respond:one\n")
	w.run()
	w.awaits("/", "one")
	w.write(off + "routes:\n  GET /: respond:two\n")
	w.awaits("/", "two")
	w.write("nonsense: 1\n")
	await.That(t, "the mistake is told", func() bool { return strings.Contains(w.log.String(), "unknown key") })
	if got := w.says("/"); got != "two" {
		t.Errorf("after a mistake: %q", got)
	}
	w.write(off + "routes:\n  GET /: respond:three\n")
	w.awaits("/", "three")
}

func TestChangedSecretsAreServedAndLostOnesKeepTheirValue(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := off + "routes:\n  GET /:\n    headers: { response: { set: { X-Token: '${file:" + token + "}' } } }\n    to: respond:"
	w := newWorld(t, text+"first\n")
	w.run()
	header := func() string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(w.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get("X-Token")
	}
	if got := header(); got != "one" {
		t.Fatalf("at first: %q", got)
	}
	if err := os.WriteFile(token, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the new secret is used", func() bool { return header() == "two" })
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the loss is told", func() bool { return strings.Contains(w.log.String(), "a secret cannot be read any more") })
	w.write(text + "second\n")
	w.awaits("/", "second")
	if got := header(); got != "two" {
		t.Errorf("a lost secret is now %q", got)
	}
	if err := os.WriteFile(token, []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the secret that came back is used", func() bool { return header() == "three" })
}

// liveHeap is how many bytes are in use.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what a pool gave up at the first
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestManyReloadsHoldNoMoreThanOne changes every route again and again. Once the
// history is full, what lives is what the config that serves needs; the rest of what
// the process has grown by is garbage that the collector has not come to.
func TestManyReloadsHoldNoMoreThanOne(t *testing.T) {
	routes := func(n int) string {
		var text strings.Builder
		text.WriteString(off + "routes:\n")
		for i := range 1000 {
			fmt.Fprintf(&text, "  GET /r%d/{id}:\n    headers: { response: { set: { X-Reload: '%d' } } }\n    to: http://127.0.0.1:9\n", i, n)
		}
		return text.String()
	}
	w := newWorld(t, routes(0))
	nothing := liveHeap()
	w.start()
	one := liveHeap() - nothing
	const full, reloads = 12, 32
	var before int64
	for n := range reloads {
		if n == full {
			before = liveHeap()
		}
		w.write(routes(n + 1))
		if report, err := w.app.Follower().Read(); err != nil {
			t.Fatal(err, report.Problems)
		}
	}
	await.That(t, "what was replaced is gone", func() bool { return liveHeap() <= before+one/2 })
	t.Logf("a config holds %d kB; %d reloads later it is %d kB more", one>>10, reloads-full, (liveHeap()-before)>>10)
}
