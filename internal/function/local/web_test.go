package local

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/pool"
)

func TestWebPassesRequestsOnAsTheyAre(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	got := g.post(t, "/a%2Fb?x=1&y", "hello")
	if got.status != 200 || got.body != "hello" {
		t.Errorf("got %+v", got)
	}
	if target := got.header.Get("X-Target"); target != strings.TrimPrefix(g.URL, "http://")+"/a%2Fb?x=1&y" {
		t.Errorf("the function saw %s", target)
	}
}

func TestWebStreamsBothWays(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	conn, err := net.Dial("tcp", g.Listener.Addr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(await.Patience)))
	send := func(text string) {
		_, err := io.WriteString(conn, text)
		must(t, err)
	}
	in := bufio.NewReader(conn)
	send("POST / HTTP/1.1\r\nHost: shop.dev\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, piece := range []string{"one", "two"} { // each comes back before the next is sent
		send("3\r\n" + piece + "\r\n")
		for got := ""; !strings.Contains(got, piece); {
			line, err := in.ReadString('\n')
			must(t, err)
			got += line
		}
	}
	send("0\r\n\r\n")
}

func TestWebUpgradesAreTunnels(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	conn, err := net.Dial("tcp", g.Listener.Addr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(await.Patience)))
	_, err = io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: shop.dev\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	must(t, err)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	must(t, err)
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s", res.Status)
	}
	_, err = io.WriteString(conn, "ping")
	must(t, err)
	echoed := make([]byte, 4)
	if _, err := io.ReadFull(in, echoed); err != nil || string(echoed) != "ping" {
		t.Errorf("got %q, %v", echoed, err)
	}
	if s := g.Status(); s.Busy != 1 {
		t.Errorf("%d instances are busy with a tunnel, want 1", s.Busy)
	}
	must(t, conn.(*net.TCPConn).CloseWrite())
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the client's end the function's is %q, %v", rest, err)
	}
	await.That(t, "the tunnel's instance is free", func() bool { return g.Status().Busy == 0 })
}

func TestWebInformationalResponsesPass(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	var link string
	r, err := http.NewRequest(http.MethodGet, g.URL+"/hints", nil)
	must(t, err)
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, head textproto.MIMEHeader) error { link = head.Get("Link"); return nil },
	}))
	res, err := g.Client().Do(r)
	must(t, err)
	_ = res.Body.Close()
	if link == "" {
		t.Error("the hint did not pass")
	}
}

// net/http calls the hook for 1xx responses from a goroutine of its own, also when
// the time is up and the answer is being written: the race detector saw it.
func TestWebHintsWithoutEndEndWithTheTime(t *testing.T) {
	g := startWeb(t, &records{}, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	for range 5 {
		res, err := g.Client().Get(g.URL + "/hints-without-end")
		if err != nil {
			continue // Go's own client gives up after a few hints
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusGatewayTimeout && res.StatusCode != http.StatusBadGateway {
			t.Errorf("got %d", res.StatusCode)
		}
	}
	if got := g.inTime(t, "/", "alive"); got.body != "alive" {
		t.Errorf("afterwards it answers %+v", got)
	}
}

func TestWebFailuresAreProblems(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	wantProblem(t, g.get(t, "/crash"), 502, "function-crashed")
	wantProblem(t, g.get(t, "/reset"), 502, "backend-reset")
	hurried := startWeb(t, &records{}, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	pid := decode[struct{ PID int }](t, hurried.inTime(t, "/pid", "")).PID
	wantProblem(t, hurried.get(t, "/hang"), 504, "function-timeout")
	await.That(t, "the instance that did not answer ends", func() bool { return !alive(pid) })
	if got := hurried.inTime(t, "/", "alive"); got.body != "alive" {
		t.Errorf("the replacement answers %+v", got)
	}
}

// A GET may be repeated, says HTTP, and whether the instance ended because of it
// or at that moment nobody can tell: another one gets it, but never all of them.
func TestWebRequestThatEndsItsInstanceIsTriedOnOneMore(t *testing.T) {
	log := &records{}
	g := startWeb(t, log, unchanged)
	g.get(t, "/pid") // so that there is a connection, which net/http tries again on
	wantProblem(t, g.get(t, "/crash"), 502, "function-crashed")
	g.get(t, "/pid")
	if ended := len(log.find("an instance ended by itself")); ended > 2 {
		t.Errorf("one request ended %d instances", ended)
	}
}

// dying is a process that has ended, of which not all is tidied up yet.
type dying struct {
	flood

	killed atomic.Bool
}

func (*dying) Ended() bool            { return true }
func (*dying) places() int            { return 1 }
func (*dying) Exit() string           { return "exit status 3" }
func (d *dying) Kill()                { d.end() }
func (d *dying) Stop(context.Context) { d.end() }

func (d *dying) end() {
	if !d.killed.Swap(true) {
		close(d.done)
	}
}

// On a busy machine it takes a while until what an ended process has left is tidied up. Its end is known before.
func TestALostConnectionToWhatHasEndedIsACrashHoweverLongItIsTidiedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dying{flood: flood{done: make(chan struct{})}}
		p := pool.New(func(context.Context) (*instance, error) {
			i := newInstance(d, slog.New(slog.DiscardHandler))
			i.live(d, "orders#1")
			return i, nil
		}, func() string { return "" }, noMeter{}, pool.Bounds{Max: 1, Starts: 1, Concurrency: 1, Idle: time.Hour, Wait: time.Hour, Grace: time.Hour}, slog.New(slog.DiscardHandler))
		defer p.Close(t.Context())
		place, err := p.Acquire(t.Context())
		must(t, err)
		time.AfterFunc(2*crashNotice, d.end)
		verdict, err := failed(httptest.NewRequest(http.MethodGet, "/", nil), place, io.ErrUnexpectedEOF, true)
		if f := fault.From(err); f.Code != fault.FunctionCrashed.Code {
			t.Errorf("the client is told %v", err)
		}
		place.Release(verdict)
	})
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Crashed()             {}
func (noMeter) Lent(bool)            {}
func (noMeter) Waited(time.Duration) {}
func (noMeter) Worked(time.Duration) {}

func TestWebInitFailures(t *testing.T) {
	for how, test := range map[string]struct {
		init   time.Duration
		reason string
	}{
		"exit": {await.Patience, "cannot find my config"},
		"hang": {200 * time.Millisecond, "it was not ready after 200ms"},
	} {
		t.Run(how, func(t *testing.T) {
			g := startWeb(t, &records{}, func(c *Config) {
				c.Env, c.Init, c.Queue.Wait = env(t, "INIT", how), new(test.init), await.Patience
			})
			wantProblem(t, g.get(t, "/"), 503, "function-init-failed")
			if problem := g.Status().Problem; !strings.Contains(problem, test.reason) {
				t.Errorf("the status says %q, want %q", problem, test.reason)
			}
		})
	}
}

func TestWebInstancesTakeManyRequestsAtOnce(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			if got, err := g.send("/slow", ""); err != nil || got.body != "slow" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	clients.Wait()
	if s := g.Status(); s.Instances != 1 {
		t.Errorf("%d instances served 20 requests at once, want 1", s.Instances)
	}
}

func TestWebKilledInstanceIsReplaced(t *testing.T) {
	g := startWeb(t, &records{}, func(c *Config) { c.Scale.Min = 1 })
	pid := decode[struct{ PID int }](t, g.get(t, "/pid")).PID
	kill(t, pid)
	// At once, when the first may not even be known to be dead.
	if again := decode[struct{ PID int }](t, g.get(t, "/pid")).PID; again == pid {
		t.Errorf("process %d answered after its end", pid)
	}
	await.That(t, "the warm instance is replaced", func() bool { return !alive(pid) && g.Status().Instances == 1 })
}
