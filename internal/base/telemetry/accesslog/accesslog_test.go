package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit is a request with everything that can be told of it.
func visit() (*http.Request, exchange.Head, *exchange.Exchange, exchange.Outcome) {
	r := httptest.NewRequest(http.MethodPost, "https://shop.dev/orders/7?token=swordfish", nil)
	for name, value := range map[string]string{
		"User-Agent": "curl/8", "Referer": "https://shop.dev/reset?code=swordfish#x", "Authorization": "Bearer swordfish",
		"Cookie": "session=swordfish", "X-Tenant": "acme",
	} {
		r.Header.Set(name, value)
	}
	head := exchange.MapHead(http.Header{"Set-Cookie": {"session=swordfish"}, "Content-Type": {"application/json"}})
	x := &exchange.Exchange{
		ID: "id-1", Start: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC), Listener: "public", Host: "shop.dev", Path: "/orders/7",
		Query: "token=swordfish", Route: "POST /orders/{id}", Backend: "orders", Received: 12,
		Client:   exchange.Client{IP: netip.MustParseAddr("192.0.2.7"), Peer: netip.MustParseAddrPort("10.0.0.1:4711"), Scheme: "https"},
		Identity: &exchange.Identity{Issuer: "https://id.shop.dev", Subject: "ada"},
		Attempts: []exchange.Attempt{{Endpoint: "10.0.0.2:80"}, {Endpoint: "10.0.0.3:80", Status: 201}},
	}
	return r, head, x, exchange.Outcome{Status: 201, Written: 34, Took: 1234567 * time.Nanosecond}
}

// lines gives what a log with these options writes for what write does with it.
func lines(t *testing.T, o accesslog.Options, write func(*accesslog.Log)) string {
	t.Helper()
	var out bytes.Buffer
	o.Out = &out
	if o.Sample == 0 {
		o.Sample = 1
	}
	l, err := accesslog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	write(l)
	l.Close(t.Context())
	return out.String()
}

func once(l *accesslog.Log) { l.Write(visit()) }

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		options accesslog.Options
		want    string
	}{
		"text": {
			accesslog.Options{},
			`time=2026-08-01T12:00:00.001Z level=INFO msg=request method=POST host=shop.dev path=/orders/7 status=201 took=1.235ms bytes=34 client=192.0.2.7 request_id=id-1 route="POST /orders/{id}" backend=orders endpoint=10.0.0.3:80 attempts=2`,
		},
		"json": {
			accesslog.Options{Format: accesslog.JSON},
			`{"time":"2026-08-01T12:00:00.001Z","level":"INFO","msg":"request","method":"POST","host":"shop.dev","path":"/orders/7","status":201,"took":0.001235,"bytes":34,"client":"192.0.2.7","request_id":"id-1","route":"POST /orders/{id}","backend":"orders","endpoint":"10.0.0.3:80","attempts":2}`,
		},
		"common":   {accesslog.Options{Format: accesslog.Common}, `192.0.2.7 - ada [01/Aug/2026:12:00:00 +0000] "POST /orders/7 HTTP/1.1" 201 34`},
		"combined": {accesslog.Options{Format: accesslog.Combined}, `192.0.2.7 - ada [01/Aug/2026:12:00:00 +0000] "POST /orders/7 HTTP/1.1" 201 34 "https://shop.dev/reset" "curl/8"`},
		"chosen fields": {
			accesslog.Options{Format: accesslog.JSON, Fields: []string{"status", "user", "received", "peer", "scheme", "protocol", "listener", "referer", "problem"}},
			`{"status":201,"user":"ada","received":12,"peer":"10.0.0.1","scheme":"https","protocol":"HTTP/1.1","listener":"public","referer":"https://shop.dev/reset"}`,
		},
		"header fields": {
			accesslog.Options{Fields: []string{"status"}, RequestHeaders: []string{"x-tenant", "authorization", "COOKIE", "X-Missing"}, ResponseHeaders: []string{"Set-Cookie", "Content-Type"}},
			`status=201 request.x-tenant=acme request.authorization=(masked) request.cookie=(masked) response.set-cookie=(masked) response.content-type=application/json`,
		},
		"a query where it is asked for": {accesslog.Options{Fields: []string{"query"}}, `query="token=swordfish"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := lines(t, c.options, once)
			if got != c.want+"\n" {
				t.Errorf("got  %swant %s", got, c.want)
			}
			if !slices.Contains(c.options.Fields, "query") && strings.Contains(got, "swordfish") {
				t.Error("the line holds a secret")
			}
		})
	}
}

func TestAFailureTellsWhatItWas(t *testing.T) {
	got := lines(t, accesslog.Options{Fields: []string{"level", "status", "problem", "detail", "cause"}}, func(l *accesslog.Log) {
		r, head, x, o := visit()
		o.Status, x.Fault = 502, fault.BackendReset.New("Try later.", fault.Cause(errors.New("read: reset")))
		l.Write(r, head, x, o)
		x.Fault, o.Err = nil, errors.New("write: broken pipe")
		l.Write(r, head, x, o)
	})
	if want := "level=WARN status=502 problem=backend-reset detail=\"Try later.\" cause=\"read: reset\"\n" +
		"level=WARN status=502 cause=\"write: broken pipe\"\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestABackendDoesNotFillTheLog holds the length of a line, whatever an error has of a backend.
func TestABackendDoesNotFillTheLog(t *testing.T) {
	long := errors.New("malformed status line: " + strings.Repeat("é", 60_000))
	got := lines(t, accesslog.Options{Fields: []string{"steps", "cause"}}, func(l *accesslog.Log) {
		r, head, x, o := visit()
		o.Err, x.Attempts = long, []exchange.Attempt{{Step: "a", Err: long}, {Step: "b", Err: &exchange.SendError{Err: long}}}
		l.Write(r, head, x, o)
	})
	if len(got) > 6<<10 || strings.Count(got, "malformed status line") != 3 || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %.200s", len(got), got)
	}
}

func TestACompositionTellsOfItsSteps(t *testing.T) {
	write := func(l *accesslog.Log) {
		r, head, x, o := visit()
		x.Attempts = []exchange.Attempt{
			{Step: "profile", Endpoint: "10.0.0.2:80", Status: 200, Took: 12345 * time.Microsecond},
			{Step: "offers", Took: time.Second, Err: errors.New("too \"late\"")},
		}
		l.Write(r, head, x, o)
		for range 60 {
			x.Attempts = append(x.Attempts, x.Attempts[0])
		}
		l.Write(r, head, x, o)
	}
	fields := []string{"endpoint", "attempts", "steps"}
	got := lines(t, accesslog.Options{Format: accesslog.JSON, Fields: fields}, write)
	if want := `{"steps":"profile 200 12.35ms 10.0.0.2:80; offers 1s: too \"late\""}`; !strings.HasPrefix(got, want+"\n") {
		t.Errorf("got %s", got)
	}
	if !strings.HasSuffix(got, `; and 12 more"}`+"\n") {
		t.Errorf("a long one: %s", got)
	}
	got = lines(t, accesslog.Options{Fields: fields}, write)
	if want := `steps="profile 200 12.35ms 10.0.0.2:80; offers 1s: too \"late\""`; !strings.HasPrefix(got, want+"\n") {
		t.Errorf("got %s", got)
	}
}

func TestARequestThatNobodyCouldReadHasALine(t *testing.T) {
	for format, want := range map[string]string{
		accesslog.Text: "client=local", accesslog.Common: `- - - [01/Jan/0001:00:00:00 +0000] "GET - HTTP/1.1" 400 -`,
	} {
		got := lines(t, accesslog.Options{Format: format, Fields: []string{"path", "client"}}, func(l *accesslog.Log) {
			l.Write(httptest.NewRequest(http.MethodGet, "/", nil), nil, &exchange.Exchange{}, exchange.Outcome{Status: 400})
		})
		if got != want+"\n" {
			t.Errorf("%s: got %s", format, got)
		}
	}
}

func TestLeastLevel(t *testing.T) {
	level := &slog.LevelVar{}
	level.Set(slog.LevelWarn)
	got := lines(t, accesslog.Options{Fields: []string{"status"}, Level: level}, func(l *accesslog.Log) {
		r, head, x, o := visit()
		l.Write(r, head, x, o)
		o.Status = 503
		l.Write(r, head, x, o)
	})
	if got != "status=503\n" {
		t.Errorf("got %s", got)
	}
}

func TestWhatFailedIsNeverLeftOutOfTheSample(t *testing.T) {
	got := lines(t, accesslog.Options{Fields: []string{"status"}, Sample: 1e-12}, func(l *accesslog.Log) {
		r, head, x, o := visit()
		for range 100 {
			l.Write(r, head, x, o)
		}
		o.Status = 500
		l.Write(r, head, x, o)
		o.Status, x.Fault = 404, fault.RouteNotFound.New("")
		l.Write(r, head, x, o)
	})
	if got != "status=500\nstatus=404\n" {
		t.Errorf("got %s", got)
	}
}

// blocked is an output that takes nothing until it is let go.
type blocked struct {
	free chan struct{}
	out  bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.free
	return b.out.Write(p)
}

func TestASlowOutputDropsLinesAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &blocked{free: make(chan struct{})}
		var counts accesslog.Counts
		l, err := accesslog.Open(accesslog.Options{Out: out, Sample: 1, RequestHeaders: []string{"X-Long"}, Counts: &counts})
		if err != nil {
			t.Fatal(err)
		}
		r, head, x, o := visit()
		r.Header.Set("X-Long", strings.Repeat("a", 10_000))
		for range 1000 { // ten times what may wait
			l.Write(r, head, x, o)
		}
		synctest.Wait()
		if counts.Dropped.Load() == 0 {
			t.Error("nothing was dropped")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.Close(ctx) // gives up
		close(out.free)
		synctest.Wait()
		written, dropped := counts.Written.Load(), counts.Dropped.Load()
		if kept := uint64(strings.Count(out.out.String(), "\n")); written != kept || written+dropped != 1000 {
			t.Errorf("%d lines are out, %d counted as written and %d as dropped", kept, written, dropped)
		}
		if l.Write(r, head, x, o); counts.Dropped.Load() != dropped+1 {
			t.Error("a line after the end is not counted as dropped")
		}
	})
}

// failing is an output that fails as often as it is told to.
type failing struct {
	times int
	out   bytes.Buffer
}

func (f *failing) Write(p []byte) (int, error) {
	if f.times--; f.times >= 0 {
		return 0, errors.New("no space left on device")
	}
	return f.out.Write(p)
}

func TestAnOutputThatFailsIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		out := &failing{times: 3}
		var counts accesslog.Counts
		l, err := accesslog.Open(accesslog.Options{Out: out, Sample: 1, Counts: &counts, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			l.Write(visit())
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		}
		l.Close(t.Context())
		written, dropped := counts.Written.Load(), counts.Dropped.Load()
		if written != 2 || dropped != 3 || strings.Count(out.out.String(), "\n") != 2 {
			t.Errorf("%d written, %d dropped", written, dropped)
		}
		if strings.Count(said.String(), "no space left") != 1 {
			t.Errorf("said: %s", said.String())
		}
	})
}

func TestAFileThatWasRotatedIsOpenedAgain(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, l *accesslog.Log, path string){
		"renamed and told": func(t *testing.T, l *accesslog.Log, path string) {
			t.Helper()
			if err := os.Rename(path, path+".1"); err != nil {
				t.Skip("an open file cannot be renamed here:", err)
			}
			l.Reopen()
		},
		"renamed": func(t *testing.T, _ *accesslog.Log, path string) {
			t.Helper()
			if err := os.Rename(path, path+".1"); err != nil {
				t.Skip("an open file cannot be renamed here:", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "access.log")
			l, err := accesslog.Open(accesslog.Options{Path: path, Sample: 1, Fields: []string{"status"}})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close(context.WithoutCancel(t.Context()))
			l.Write(visit())
			await.That(t, "the log holds the line", func() bool { return content(path) == "status=201\n" })
			rotate(t, l, path)
			await.That(t, "the log holds the line", func() bool {
				l.Write(visit())
				return strings.HasPrefix(content(path), "status=201\n")
			})
			if old := content(path + ".1"); !strings.HasPrefix(old, "status=201\n") {
				t.Errorf("the old file holds %q", old)
			}
		})
	}
}

func content(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func TestAFileThatCannotBeOpenedIsAnError(t *testing.T) {
	if _, err := accesslog.Open(accesslog.Options{Path: filepath.Join(t.TempDir(), "missing", "access.log")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLinesOfManyAreWhole(t *testing.T) {
	const writers, each = 8, 200
	got := lines(t, accesslog.Options{Format: accesslog.JSON}, func(l *accesslog.Log) {
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range each {
					l.Write(visit())
				}
			})
		}
		all.Wait()
	})
	n := 0
	for line := range strings.Lines(got) {
		n++
		if !json.Valid([]byte(line)) {
			t.Fatalf("line %d: %s", n, line)
		}
	}
	if n != writers*each {
		t.Errorf("%d lines", n)
	}
}

// hostile is a visit whose every text is s.
func hostile(s string) (*http.Request, exchange.Head, *exchange.Exchange, exchange.Outcome) {
	r, _, x, o := visit()
	r.Method, r.Proto = s, s
	head := http.Header{"X": {s}}
	for _, name := range []string{"User-Agent", "Referer", "X"} {
		r.Header[name] = []string{s}
	}
	x.ID, x.Host, x.Path, x.Query, x.Route, x.Backend, x.Listener, x.Identity.Subject = s, s, s, s, s, s, s, s
	x.Fault = fault.BadParameter.New(s, fault.Internal("%s", s))
	x.Attempts[1].Endpoint = s
	return r, exchange.MapHead(head), x, o
}

func FuzzNoTextBreaksALine(f *testing.F) {
	for _, s := range []string{"", "a b", "a\nlevel=ERROR", "\x1b[2J", `"\`, "\x00\x7f\x80\xff", "\u2028\u202e\u009b", "\u65e5\u672c\U0001f600", "x=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, format := range accesslog.Formats() {
			o := accesslog.Options{Format: format, Fields: accesslog.FieldNames(), RequestHeaders: []string{"X"}, ResponseHeaders: []string{"X"}}
			got := lines(t, o, func(l *accesslog.Log) { l.Write(hostile(s)) })
			if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
				t.Fatalf("%s: not one line: %q", format, got)
			}
			for _, r := range strings.TrimSuffix(got, "\n") {
				if !unicode.IsPrint(r) {
					t.Fatalf("%s: %q holds %U", format, got, r)
				}
			}
			if format == accesslog.JSON {
				var line map[string]any
				if err := json.Unmarshal([]byte(got), &line); err != nil {
					t.Fatalf("%v: %s", err, got)
				}
				if path, _ := line["path"].(string); path != strings.ToValidUTF8(s, "\uFFFD") && path != expectReplaced(s) {
					t.Fatalf("path is %q, want %q", path, s)
				}
			}
		}
	})
}

// expectReplaced is s with each byte that is no UTF-8 replaced by itself.
func expectReplaced(s string) string { return string([]rune(s)) }

func TestALineNeedsNoMemory(t *testing.T) {
	for _, format := range accesslog.Formats() {
		l, err := accesslog.Open(accesslog.Options{Out: io.Discard, Format: format, Sample: 1})
		if err != nil {
			t.Fatal(err)
		}
		r, head, x, o := visit()
		if n := testing.AllocsPerRun(200, func() { l.Write(r, head, x, o) }); n > 0 {
			t.Errorf("%s: %.0f allocations a line", format, n)
		}
		l.Close(t.Context())
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	for _, name := range accesslog.FieldNames() {
		if accesslog.FieldHelp(name) == "" {
			t.Errorf("%s is not", name)
		}
	}
	if accesslog.FieldHelp("nonsense") != "" || len(accesslog.DefaultFields()) >= len(accesslog.FieldNames()) {
		t.Error("the defaults are all fields")
	}
}

func BenchmarkLine(b *testing.B) {
	for _, format := range accesslog.Formats() {
		b.Run(format, func(b *testing.B) {
			l, err := accesslog.Open(accesslog.Options{Out: io.Discard, Format: format, Sample: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close(b.Context())
			r, head, x, o := visit()
			b.ReportAllocs()
			for b.Loop() {
				l.Write(r, head, x, o)
			}
		})
	}
}
