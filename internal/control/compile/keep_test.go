package compile_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
)

func TestTunableChangeTunesTheRunningFunctionAndRestartsNothing(t *testing.T) {
	w := newWorld(t)
	const text = "routes:\n  GET /:\n    to: fn:hello\nfunctions:\n  hello:\n    echo: hi\n    max: %s\n"
	w.serve(w.load(strings.Replace(text, "%s", "1", 1)))
	if got := w.diary.take(); got != "build hi" {
		t.Fatalf("at first: %s", got)
	}
	w.serve(w.load(strings.Replace(text, "%s", "9", 1)))
	if got := w.diary.take(); got != "tune hi to max 9" {
		t.Errorf("after the change: %s", got)
	}
	w.compiler.Close(context.Background())
	if got := w.diary.take(); got != "close hi" {
		t.Errorf("at the end: %s", got)
	}
}

func TestChangedIdentityGetsASuccessorBesideTheOldOne(t *testing.T) {
	w := newWorld(t)
	config := func(says string) string {
		return "routes:\n  GET /:\n    to: fn:hello\nfunctions:\n  hello:\n    echo: " + says + "\n"
	}
	w.serve(w.load(config("first")))
	pending := w.compile(w.load(config("second")))
	if got := w.get("/").Body.String(); got != "first" {
		t.Errorf("before the swap: %q", got)
	}
	w.gateway.Swap(pending.Snapshot)
	release := pending.Commit()
	if got := w.diary.take(); got != "build first, build second" {
		t.Errorf("both live until release: %s", got)
	}
	if got := w.get("/").Body.String(); got != "second" {
		t.Errorf("after the swap: %q", got)
	}
	release(context.Background())
	if got := w.diary.take(); got != "close first" {
		t.Errorf("release: %s", got)
	}
	w.serve(w.load(config("second"))) // the successor is known under the name from now on
	if got := w.diary.take(); got != "tune second to max 1" {
		t.Errorf("the same again: %s", got)
	}
}

func TestAbortEndsOnlyWhatWasMadeInVain(t *testing.T) {
	w := newWorld(t)
	w.serve(w.load("routes:\n  GET /:\n    to: fn:kept\nfunctions:\n  kept:\n    echo: kept\n"))
	pending := w.compile(w.load("routes:\n  GET /:\n    outer: x\n    to: fn:kept\n  GET /new:\n    to: fn:new\nfunctions:\n  kept:\n    echo: kept\n    max: 5\n  new:\n    echo: new\n"))
	w.diary.take()
	pending.Abort(context.Background())
	if got := w.diary.take(); got != "end outer, close new" {
		t.Errorf("abort: %s", got)
	}
	if got := w.get("/").Body.String(); got != "kept" {
		t.Errorf("the old one serves: %q", got)
	}
}

func TestRefusedConfigLeavesNothingAlive(t *testing.T) {
	w := newWorld(t)
	cfg := w.load("routes:\n  GET /:\n    inner: broken\n    to: fn:hello\nfunctions:\n  hello:\n    echo: hi\n")
	if pending, problems := w.compiler.Compile(cfg, ""); pending != nil || len(problems) != 1 {
		t.Fatalf("got %v, %v", pending, problems)
	}
	if got := w.diary.take(); got != "build hi, close hi" {
		t.Errorf("got %s", got)
	}
}

func TestFiltersEndWithTheirRoute(t *testing.T) {
	w := newWorld(t)
	for _, says := range []string{"x", "x", "y"} {
		w.serve(w.load("routes:\n  GET /:\n    outer: " + says + "\n    to: respond:204\n"))
	}
	if got := w.diary.take(); got != "end outer" {
		t.Errorf("after the third: %s, want the first one's end", got)
	}
	w.compiler.Close(context.Background())
	if got := w.diary.take(); got != "end outer" {
		t.Errorf("at the end: %s", got)
	}
}

func TestAFiltersStateLivesOnAcrossSnapshotsByItsIdentity(t *testing.T) {
	w := newWorld(t)
	route := func(name string) *config.Config {
		return w.load("routes:\n  GET /a:\n    count: { name: " + name + " }\n    to: respond:204\n  GET /b:\n    count: { name: " + name + " }\n    to: respond:204\n")
	}
	w.serve(route("one"))
	w.get("/a")
	w.serve(route("one"))
	if got := w.get("/b").Header().Get("X-Count"); got != "2" {
		t.Errorf("a reload and another route of the same identity: the count is %s, want 2", got)
	}
	w.serve(route("two"))
	if got := w.get("/a").Header().Get("X-Count"); got != "1" {
		t.Errorf("another identity: the count is %s, want 1", got)
	}
	if got := w.diary.take(); got != "made one, made two, ended one" {
		t.Errorf("got %q", got)
	}
	if _, problems := compile.Check(w.parts, route("three"), ""); len(problems) > 0 || w.diary.take() != "" {
		t.Errorf("a check made something, or failed: %v", problems)
	}
}

func TestWhatALimitCountedHoldsUnderAChangedRate(t *testing.T) {
	w := newWorld(t)
	limited := func(limit string) *config.Config {
		return w.load("routes:\n  GET /:\n    limit: " + limit + "\n    to: respond:204\n")
	}
	w.serve(limited("2/h"))
	if got := w.get("/").Header().Get("RateLimit"); !strings.HasPrefix(got, `"2/h";r=1;`) {
		t.Fatalf("at first: %s", got)
	}
	w.serve(limited("4/h")) // half of the bucket is there, so two of four
	for _, want := range []string{`"4/h";r=1;`, `"4/h";r=0;`, `"4/h";r=0;`} {
		if got := w.get("/").Header().Get("RateLimit"); !strings.HasPrefix(got, want) {
			t.Errorf("after the change: %s, want %s", got, want)
		}
	}
	w.serve(limited("{ rate: 4/h, name: other }"))
	if got := w.get("/").Code; got != http.StatusNoContent {
		t.Errorf("another name is another limit: %d", got)
	}
}

func TestSameServiceKeepsItsConnectionsAndCounters(t *testing.T) {
	w := newWorld(t)
	users := backend(t, "users")
	text := "routes:\n  GET /:\n    to: users\nservices:\n  users:\n    endpoints: [" + users.Listener.Addr().String() + "]\n"
	w.serve(w.load(text))
	first := w.get("/").Body.String()
	w.serve(w.load(text + "limits:\n  body: 1MB\n"))
	if second := w.get("/").Body.String(); second != first || !strings.HasPrefix(first, "users 127.0.0.1:") {
		t.Errorf("another connection after the reload: %q, then %q", first, second)
	}
}

func TestAServiceWithOtherEndpointsAsksThemFromTheSwapOn(t *testing.T) {
	w := newWorld(t)
	a, b := backend(t, "a"), backend(t, "b")
	for _, s := range []struct{ name, address string }{{"a", a.Listener.Addr().String()}, {"b", b.Listener.Addr().String()}} {
		w.serve(w.load("routes:\n  GET /:\n    to: users\nservices:\n  users:\n    endpoints: [" + s.address + "]\n"))
		for range 20 {
			if got := w.get("/"); !strings.HasPrefix(got.Body.String(), s.name+" ") {
				t.Fatalf("want an answer of %s, got %d %s", s.name, got.Code, got.Body)
			}
		}
	}
}

func TestEndpointsAreKnownBeforeTheFirstRequest(t *testing.T) {
	for range 50 {
		w := newWorld(t)
		users := backend(t, "users")
		w.serve(w.load("routes:\n  GET /:\n    to: " + users.URL + "\n"))
		if got := w.get("/"); got.Code != http.StatusOK {
			t.Fatalf("got %d %s", got.Code, got.Body)
		}
		users.Close()
		w.compiler.Close(context.Background())
	}
}

func TestFoldersAreOpenedOnceAndClosedWhenUnused(t *testing.T) {
	w := newWorld(t)
	if err := os.MkdirAll(filepath.Join(w.folder, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.folder, "public", "a.txt"), []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Join(w.folder, "public"))
	if err != nil {
		t.Fatal(err)
	}
	countable := openOf(folder) >= 0
	for range 5 {
		w.serve(w.load("routes:\n  ANY /**:\n    to: dir:./public\n  GET /two/{x}:\n    strip: /two\n    to: dir:./public\n"))
		if got := w.get("/a.txt").Body.String(); got != "file" {
			t.Fatalf("got %q", got)
		}
	}
	if n := openOf(folder); countable && n != 1 {
		t.Errorf("it is open %d times, want once", n)
	}
	w.serve(w.load("routes:\n  ANY /**:\n    to: respond:204\n"))
	if n := openOf(folder); countable && n != 0 {
		t.Errorf("it is still open %d times", n)
	}
}

func TestASnapshotIsUnusedOnceItsLastRequestHasGone(t *testing.T) {
	w := newWorld(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := backend(t, "slow")
	slow.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-leave })
	w.serve(w.load("routes:\n  GET /:\n    to: " + slow.URL + "\n"))
	before := w.gateway.Current()
	done := make(chan struct{})
	go func() { defer close(done); w.get("/") }()
	<-entered
	w.serve(w.load("routes:\n  GET /:\n    to: respond:204\n"))
	select {
	case <-before.Unused():
		t.Error("unused while a request is under way")
	default:
	}
	close(leave)
	<-done
	await.From(t, "the end of its use, after its last request", before.Unused())
}

// TestRoutesThatConnectDifferentlyHaveTheSameEndpoints holds that each way in which a
// service is called is told of its endpoints, and not only the last one.
func TestRoutesThatConnectDifferentlyHaveTheSameEndpoints(t *testing.T) {
	to := backend(t, "here").URL
	for range 20 { // who came first was a matter of chance
		w := newWorld(t)
		w.serve(w.load("routes:\n  GET /a: " + to + "\n  GET /b: { timeout: { connect: 1s }, to: '" + to + "' }\n  GET /c: { timeout: { connect: 3s }, to: '" + to + "' }\n"))
		for _, path := range []string{"/a", "/b", "/c"} {
			if got := w.get(path); got.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", path, got.Code, got.Body)
			}
		}
	}
}
