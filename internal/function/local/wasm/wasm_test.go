package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-test-wasm-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// built are the guests, built once in a run, and what was compiled of them.
var built struct {
	dir string
	mu  sync.Mutex
}

// guest gives the module of ../testdata/guests/NAME.
func guest(tb testing.TB, name string) string {
	tb.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	file := filepath.Join(built.dir, name+".wasm")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	args := []string{"build", "-o", file}
	if name == "handler" {
		args = append(args, "-buildmode=c-shared")
	}
	cmd := exec.Command("go", append(args, "../testdata/guests/"+name)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return file
}

// program compiles a guest.
func program(tb testing.TB, name string, change func(*wasm.Config)) *wasm.Program {
	tb.Helper()
	c := wasm.Config{Name: "tea", Path: guest(tb, name), Memory: 64 << 20, Cache: filepath.Join(built.dir, "cache")}
	change(&c)
	p, err := wasm.Compile(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func unchanged(*wasm.Config) {}

// sandbox is one that is ready, with what it puts out.
type sandbox struct {
	*wasm.Sandbox
	log *await.Text
}

func start(tb testing.TB, p *wasm.Program) *sandbox {
	tb.Helper()
	s := open(tb, p)
	if err := s.Await(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func open(tb testing.TB, p *wasm.Program) *sandbox {
	tb.Helper()
	log := &await.Text{}
	s := p.New(wasm.Output{
		Line: func(stderr bool, text []byte, cut int) { fmt.Fprintf(log, "stderr=%v %s cut=%d\n", stderr, text, cut) },
		Log:  func(level int, text []byte) { fmt.Fprintf(log, "level %d: %s\n", level, text) },
	})
	tb.Cleanup(func() {
		s.Kill()
		s.Stop(context.Background())
	})
	return &sandbox{s, log}
}

// request makes one as it comes from the gateway.
func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "http://shop.dev"+target, strings.NewReader(body))
	x := &exchange.Exchange{ID: "id-1", Host: "shop.dev", Client: exchange.Client{
		Peer: netip.MustParseAddrPort("192.0.2.1:4711"), IP: netip.MustParseAddr("192.0.2.1"), Scheme: "http", Host: "shop.dev:8080",
	}}
	return exchange.With(r, x)
}

const patience = time.Minute

func (s *sandbox) ask(tb testing.TB, r *http.Request, body string) (*http.Response, string) {
	tb.Helper()
	res, err := s.Call(r, []byte(body), patience)
	if err != nil {
		tb.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return res, string(got)
}

func TestAHandlerSeesTheRequest(t *testing.T) {
	s := start(t, program(t, "handler", func(c *wasm.Config) {
		c.Args, c.Env = []string{`{"rules":1}`, "second"}, map[string]string{"TABLE": "orders"}
	}))
	r := request("PUT", "/seen?x=%20", "")
	r.Header.Set("X-Two", "1")
	r.Header.Add("X-Two", "2")
	res, got := s.ask(t, r, "")
	want := `PUT /seen?x=%20 HTTP/1.1 192.0.2.1:4711 config={"rules":1}
x-two: 1|2
host: shop.dev
missing 0, trailers 0, features 3, debug 1, status 200, env TABLE=orders, args tea {"rules":1} second
`
	if res.StatusCode != 200 || got != want {
		t.Errorf("got %s\n%s\nwant\n%s", res.Status, got, want)
	}
}

func TestAHandlerAnswers(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	body := strings.Repeat("tea ", 5000)
	res, got := s.ask(t, request("POST", "/echo", body), body)
	if res.StatusCode != 201 || got != body || len(res.Header["Set-Cookie"]) != 2 || res.Header.Get("X-Gone") != "" || res.ContentLength != int64(len(body)) {
		t.Errorf("got %s %v, %d bytes", res.Status, res.Header, len(got))
	}
	if res.Header.Get("Transfer-Encoding") != "" {
		t.Error("the guest frames the message")
	}
	if _, got := s.ask(t, request("GET", "/changed", ""), "mine"); got != "PATCH /other?y=2 new replaced" {
		t.Errorf("a changed request is seen as %s", got)
	}
	if _, got := s.ask(t, request("GET", "/big", ""), ""); len(got) != 2<<20 {
		t.Errorf("got %d bytes", len(got))
	}
	if _, got := s.ask(t, request("GET", "/clock", ""), ""); got != time.Now().Format(time.DateOnly) && got != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("the guest's clock says %s", got)
	}
	if _, got := s.ask(t, request("GET", "/files", ""), ""); !strings.Contains(got, "Bad file number") && !strings.Contains(got, "not") {
		t.Errorf("the guest reads files: %s", got)
	}
}

func TestAHandlerIsKept(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	for want := range 3 {
		if _, got := s.ask(t, request("GET", "/served", ""), ""); got != fmt.Sprint(want+1) {
			t.Errorf("it has served %s, want %d", got, want+1)
		}
	}
}

func TestWhatAHandlerPutsOutIsLogged(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	s.ask(t, request("GET", "/log", ""), "")
	if got := s.log.String(); got != "level 4: by the ABI\nstderr=false to stdout cut=0\nstderr=true to stderr cut=0\n" {
		t.Errorf("the log has %q", got)
	}
}

// What a guest does wrong ends it, and nothing else.
func TestHostileHandlers(t *testing.T) {
	p := program(t, "handler", func(c *wasm.Config) { c.Memory = 16 << 20 })
	tests := map[string]struct {
		late time.Duration
		exit string
	}{
		"/trap": {exit: "wasm error: unreachable"}, "/exit": {exit: "exit status 7"},
		"/loop":  {late: 50 * time.Millisecond, exit: "it was killed"},
		"/sleep": {late: 50 * time.Millisecond, exit: "it was killed"},
		"/bomb":  {exit: "wasm error: unreachable"}, "/flood": {exit: "a body of more than 6 MiB"},
		"/field": {exit: `the answer's header "X-Split" is not valid`}, "/status": {exit: "99 is no status"},
		"/trailer": {exit: "a function has no trailers"}, "/outside": {exit: "not within the guest's memory"},
	}
	for path, test := range tests {
		t.Run(path[1:], func(t *testing.T) {
			s := start(t, p)
			timeout := patience
			if test.late > 0 {
				timeout = test.late
			}
			_, err := s.Call(request("GET", path, ""), nil, timeout)
			if test.late > 0 && !errors.Is(err, wasm.ErrLate) || test.late == 0 && !errors.Is(err, wasm.ErrEnded) {
				t.Errorf("the error is %v", err)
			}
			if exit := s.Exit(); !strings.Contains(exit, test.exit) { // it waits for the end
				t.Errorf("it ended by %s, want %s", exit, test.exit)
			}
			if _, err := s.Call(request("GET", "/hello", ""), nil, patience); !errors.Is(err, wasm.ErrEnded) {
				t.Errorf("afterwards the error is %v", err)
			}
		})
	}
}

// A trap's trace goes to the log of operators; the last words of a Go guest tell more.
func TestATrapHasItsTrace(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	_, _ = s.Call(request("GET", "/status", ""), nil, patience)
	if exit := s.Exit(); !strings.Contains(exit, "wasm stack trace") || !strings.Contains(exit, "handle_request") {
		t.Errorf("it ended by %s", exit)
	}
	s = start(t, program(t, "handler", unchanged))
	_, _ = s.Call(request("GET", "/trap", ""), nil, patience)
	<-s.Done()
	if said := s.log.String(); !strings.Contains(said, "panic: out of tea") {
		t.Errorf("it said %s", said)
	}
}

func TestAHandlerThatPassesOnIsRefused(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	var invalid *wasm.InvalidError
	if _, err := s.Call(request("GET", "/next", ""), nil, patience); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "next=1") {
		t.Errorf("the error is %v", err)
	}
	if _, got := s.ask(t, request("GET", "/hello", ""), ""); got != "hello" {
		t.Errorf("afterwards it answers %s", got)
	}
}

func TestAHandlerThatDoesNotStart(t *testing.T) {
	for how, want := range map[string]string{"trap": "wasm error: unreachable", "hang": "it was killed"} {
		t.Run(how, func(t *testing.T) {
			s := open(t, program(t, "handler", func(c *wasm.Config) { c.Env = map[string]string{"INIT": how} }))
			if how == "hang" {
				s.Kill()
			}
			if err := s.Await(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v", err)
			}
			if exit := s.Exit(); !strings.Contains(exit, want) {
				t.Errorf("it ended by %s", exit)
			}
		})
	}
}

func TestStopLetsTheCallUnderWayFinish(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	s.Stop(t.Context())
	if exit := s.Exit(); exit != "it was stopped" {
		t.Errorf("it ended by %s", exit)
	}
	if _, err := s.Call(request("GET", "/hello", ""), nil, patience); !errors.Is(err, wasm.ErrEnded) {
		t.Errorf("the error is %v", err)
	}
}

func TestACommandIsRunForEachRequest(t *testing.T) {
	s := start(t, program(t, "command", func(c *wasm.Config) { c.Args, c.Env = []string{"-v"}, map[string]string{"TABLE": "orders"} }))
	r := request("POST", "/seen?x=%20", "")
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("X-Two", "1")
	r.Header.Add("X-Two", "2")
	r.Header.Set("Cookie", "a=1")
	r.Header.Add("Cookie", "b=2")
	r.Header.Set("Proxy", "http://evil.example")
	res, got := s.ask(t, r, "hello")
	want := `CONTENT_LENGTH=5
CONTENT_TYPE=text/plain
GATEWAY_INTERFACE=CGI/1.1
HTTP_COOKIE=a=1; b=2
HTTP_HOST=shop.dev
HTTP_X_TWO=1, 2
PATH_INFO=/seen
QUERY_STRING=x=%20
REMOTE_ADDR=192.0.2.1
REMOTE_HOST=192.0.2.1
REQUEST_METHOD=POST
REQUEST_URI=/seen?x=%20
SCRIPT_NAME=
SERVER_NAME=shop.dev
SERVER_PORT=8080
SERVER_PROTOCOL=HTTP/1.1
SERVER_SOFTWARE=weir
TABLE=orders
tea -v
`
	if res.StatusCode != 200 || got != want {
		t.Errorf("got %s\n%s\nwant\n%s", res.Status, got, want)
	}
	res, got = s.ask(t, request("POST", "/echo", ""), "tea")
	if res.StatusCode != 201 || got != "tea" || res.Header.Get("X-Length") != "3" || res.ContentLength != 3 {
		t.Errorf("got %s %v %q", res.Status, res.Header, got)
	}
	if res, _ = s.ask(t, request("GET", "/moved", ""), ""); res.StatusCode != 302 {
		t.Errorf("got %s", res.Status)
	}
	if res, _ = s.ask(t, request("GET", "/log", ""), ""); res.StatusCode != 204 || s.log.String() != "stderr=true to stderr cut=0\n" {
		t.Errorf("got %s, and the log has %q", res.Status, s.log.String())
	}
}

func TestHostileCommands(t *testing.T) {
	s := start(t, program(t, "command", func(c *wasm.Config) { c.Memory = 16 << 20 }))
	for path, want := range map[string]string{
		"/nothing": "ends before its head does", "/text": "is no field", "/empty-head": "begins with an empty line", "/field": "not valid",
		"/status": "three digits", "/long-head": "more than 64 KiB", "/flood": "more than 6 MiB",
		"/exit": "exit status 3", "/trap": "exit status 2", "/bomb": "exit status 2",
	} {
		if _, err := s.Call(request("GET", path, ""), nil, patience); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %s", path, err, want)
		}
	}
	if _, got := s.ask(t, request("GET", "/echo", ""), "alive"); got != "alive" {
		t.Errorf("afterwards it answers %s", got)
	}
}

func TestACommandEndsWithItsTimeAndItsClient(t *testing.T) {
	p := program(t, "command", unchanged)
	for _, path := range []string{"/loop", "/sleep"} {
		s := start(t, p)
		r := request("GET", path, "")
		ctx, leave := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		time.AfterFunc(20*time.Millisecond, leave)
		if _, err := s.Call(r, nil, patience); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, whose client left: the error is %v", path, err)
		}
		if _, got := s.ask(t, request("GET", "/echo", ""), "free"); got != "free" { // it is no longer busy with the first
			t.Errorf("afterwards it answers %s", got)
		}
		if _, err := s.Call(request("GET", path, ""), nil, 20*time.Millisecond); !errors.Is(err, wasm.ErrLate) {
			t.Errorf("%s: the error is %v", path, err)
		}
		<-s.Done()
	}
}

// binary makes a module of its sections, each an id and its content.
func binary(sections ...[]byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		out = append(append(out, s[0], byte(len(s)-1)), s[1:]...)
	}
	return out
}

func TestModulesThatAreRefused(t *testing.T) {
	whole, err := os.ReadFile(guest(t, "command"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		module []byte
		want   string
	}{
		"empty":              {nil, "no WebAssembly binary"},
		"a script":           {[]byte("#!/bin/sh\nexit 1\n"), "no WebAssembly binary"},
		"text":               {[]byte("(module)     "), "no WebAssembly binary"},
		"a component":        {[]byte("\x00asm\x0d\x00\x01\x00"), "it is a component"},
		"another version":    {[]byte("\x00asm\x02\x00\x00\x00"), "version 2"},
		"truncated":          {whole[:len(whole)/2], "in the middle of a section"},
		"cut in a section":   {[]byte("\x00asm\x01\x00\x00\x00\x01"), "in the middle of a section"},
		"an endless length":  {[]byte("\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff"), "in the middle of a section"},
		"no exports":         {binary(), "exports neither handle_request"},
		"rubbish":            {binary([]byte{1, 9, 9, 9}), "cannot be compiled"},
		"too much memory":    {binary([]byte{5, 1, 0, 0x80, 0x20}), "it begins with 4096 of 256 pages"},
		"two memories":       {binary([]byte{5, 2, 0, 1, 0, 1}), "2 memories"},
		"shared memory":      {binary([]byte{5, 1, 3, 1, 1}), "shares its memory"},
		"a table too large":  {binary([]byte{4, 1, 0x70, 0, 0x80, 0x80, 0x80, 1}), "entries of a table"},
		"too many tables":    {binary([]byte{4, 20}), "20 tables"},
		"a table of ghosts":  {binary([]byte{4, 1, 0x64, 0, 0}), "a table of type 0x64"},
		"a length too long":  {binary([]byte{5, 1, 0, 1, 0, 0}), "another length"},
		"handler by pointer": {binary([]byte{1, 1, 0x60, 0, 0}, []byte{3, 1, 0}, append([]byte{7, 1, 14}, "handle_request\x00\x00"...), []byte{10, 1, 2, 0, 0x0b}), "the HTTP handler ABI wants"},
		"an odd import": {binary([]byte{1, 1, 0x60, 0, 0}, append([]byte{2, 1, 3}, "env\x03foo\x00\x00"...), []byte{3, 1, 0}, append([]byte{7, 1, 6}, "_start\x00\x01"...), []byte{10, 1, 2, 0, 0x0b}),
			"it imports env.foo"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "module.wasm")
			if err := os.WriteFile(path, test.module, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := wasm.Compile(t.Context(), wasm.Config{Name: "tea", Path: path, Memory: 16 << 20})
			if err == nil {
				p.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

// recursive is a module whose _start calls fib(60): without a loop, it calls itself
// for hours. With deep, it calls itself without an end.
func recursive(deep bool) []byte {
	fib := []byte{
		0, 0x20, 0, 0x41, 2, 0x48, // no locals; n < 2
		0x04, 0x7f, 0x20, 0, 0x05, // if (result i32) n else
		0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x20, 0, 0x41, 2, 0x6b, 0x10, 0, 0x6a, // fib(n-1) + fib(n-2)
		0x0b, 0x0b,
	}
	if deep {
		fib = []byte{0, 0x20, 0, 0x10, 0, 0x0b}
	}
	start := []byte{0, 0x41, 60, 0x10, 0, 0x1a, 0x0b}
	code := append([]byte{10, 2, byte(len(fib))}, fib...)
	code = append(append(code, byte(len(start))), start...)
	return binary([]byte{1, 2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0}, []byte{3, 2, 0, 1}, append([]byte{7, 1, 6}, "_start\x00\x01"...), code)
}

func raw(t *testing.T, module []byte) *sandbox {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := wasm.Compile(t.Context(), wasm.Config{Name: "tea", Path: path, Memory: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return start(t, p)
}

// The engine alone lets a guest be killed only where it loops.
func TestRecursionWithoutALoopIsKilled(t *testing.T) {
	s := raw(t, recursive(false))
	if _, err := s.Call(request("GET", "/", ""), nil, 50*time.Millisecond); !errors.Is(err, wasm.ErrLate) {
		t.Errorf("the error is %v", err)
	}
	<-s.Done()
	s = raw(t, recursive(true))
	if _, err := s.Call(request("GET", "/", ""), nil, patience); err == nil || !strings.Contains(err.Error(), "stack overflow") {
		t.Errorf("the error is %v", err)
	}
}

// The engine alone would let a table grow until the program is out of memory: here
// one that names no bound stops at a million entries, and memory at its bound.
func TestTablesAndMemoriesEndAtTheirBounds(t *testing.T) {
	// _start: grows table and memory until both refuse, and traps if either refused at once.
	code := []byte{
		0,          // no locals
		0xd0, 0x70, // ref.null func
		0x41, 0xff, 0xff, 0x03, // i32.const 65535
		0xfc, 0x0f, 0, // table.grow 0
		0x41, 0x7f, 0x46, // == -1
		0x04, 0x40, 0x00, 0x0b, // if unreachable end
		0xd0, 0x70,
		0x41, 0x80, 0x80, 0xc0, 0x00, // i32.const 1 << 20
		0xfc, 0x0f, 0,
		0x41, 0x7f, 0x47, // != -1
		0x04, 0x40, 0x00, 0x0b,
		0x41, 0xff, 0x01, // i32.const 255
		0x40, 0, // memory.grow
		0x41, 0x7f, 0x46,
		0x04, 0x40, 0x00, 0x0b,
		0x41, 0x01,
		0x40, 0,
		0x41, 0x7f, 0x47,
		0x04, 0x40, 0x00, 0x0b,
		0x0b,
	}
	module := binary([]byte{1, 1, 0x60, 0, 0}, []byte{3, 1, 0}, []byte{4, 1, 0x70, 0, 1}, []byte{5, 1, 1, 1, 0x80, 0x80, 4},
		append([]byte{7, 1, 6}, "_start\x00\x00"...), append([]byte{10, 1, byte(len(code))}, code...))
	s := raw(t, module)
	if _, err := s.Call(request("GET", "/", ""), nil, patience); err == nil || !strings.Contains(err.Error(), "ends before its head does") {
		t.Errorf("the error is %v: it trapped", err)
	}
}

func TestAFileIsToldByItsFirstBytes(t *testing.T) {
	if !wasm.Is(guest(t, "command")) || wasm.Is("wasm_test.go") || wasm.Is("missing") {
		t.Error("files are told wrongly")
	}
	if err := wasm.Check(guest(t, "command")); err != nil {
		t.Error(err)
	}
}

func TestWhatWasCompiledIsKept(t *testing.T) {
	cache, path := t.TempDir(), filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, recursive(true), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := wasm.Compile(t.Context(), wasm.Config{Name: "tea", Path: path, Memory: 1 << 20, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	var files int
	err = filepath.WalkDir(cache, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("there are %d files, %v", files, err)
	}
}

// The warm call of a handler: what the request and response themselves take, and a
// few for the engine.
func TestAllocationsOfAWarmCall(t *testing.T) {
	s := start(t, program(t, "handler", unchanged))
	r := request("GET", "/hello", "")
	call := func() {
		if _, err := s.Call(r, nil, patience); err != nil {
			t.Fatal(err)
		}
	}
	call()
	const most = 20
	if n := testing.AllocsPerRun(200, call); n > most {
		t.Errorf("a warm call takes %v allocations, more than %d", n, most)
	} else {
		t.Logf("a warm call takes %v allocations", n)
	}
}

func BenchmarkWarmHandler(b *testing.B) {
	s := start(b, program(b, "handler", unchanged))
	r := request("GET", "/hello", "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Call(r, nil, patience); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	s := start(b, program(b, "command", unchanged))
	r := request("GET", "/moved", "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Call(r, nil, patience); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartHandler(b *testing.B) {
	p := program(b, "handler", unchanged)
	for b.Loop() {
		s := start(b, p)
		s.Stop(b.Context())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno tea")
	f.Add("Location: /x\n\n")
	f.Fuzz(func(t *testing.T, output string) {
		res, body, err := wasm.Parse(httptest.NewRequest(http.MethodGet, "/", nil), []byte(output))
		if err != nil {
			return
		}
		if res.StatusCode < 200 || res.StatusCode > 599 || !strings.HasSuffix(output, string(body)) {
			t.Errorf("%q becomes %s, %q", output, res.Status, body)
		}
		for name, value := range exchange.ResponseHead(res).All() {
			if strings.ContainsAny(name+value, "\r\n\x00") {
				t.Errorf("the field %q is %q", name, value)
			}
		}
	})
}

func FuzzModule(f *testing.F) {
	f.Add(recursive(false), uint32(256))
	f.Add(binary([]byte{4, 1, 0x70, 0, 1}, []byte{5, 1, 1, 1, 0x80, 0x80, 4}), uint32(16))
	f.Fuzz(func(t *testing.T, module []byte, pages uint32) {
		if out, err := wasm.Bound(module, pages); err == nil && len(out) < 8 {
			t.Errorf("%x becomes %x", module, out)
		}
	})
}

func TestACompileIsGivenUp(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	c := wasm.Config{Name: "tea", Path: guest(t, "handler"), Memory: 64 << 20} // without a cache, in which it might be
	if p, err := wasm.Compile(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want that it was given up", err)
		p.Close()
	}
}
