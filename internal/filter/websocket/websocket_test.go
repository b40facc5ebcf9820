package websocket

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, text string) (*Config, []doc.Problem) {
	t.Helper()
	var ps doc.Problems
	c := defaults()
	doc.Decode(doc.Parse("weir.yaml", []byte("websocket: "+text), &ps).Get("websocket"), &c, &ps)
	return &c, ps.Sorted()
}

// told is an event as a function has got it.
type told struct {
	Headers        map[string]string `json:"headers"`
	Query          map[string]string `json:"queryStringParameters"`
	Body           *string           `json:"body"`
	Encoded        bool              `json:"isBase64Encoded"`
	RequestContext apigw.SocketContext
}

// function is a backend that keeps what it is told.
type function struct {
	t      *testing.T
	answer func(e told) (status int, body string, fields []exchange.Field, err error)

	mu  sync.Mutex
	all []told
}

func (f *function) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var e told
	if err := json.Unmarshal(body, &e); err != nil || r.Method != http.MethodPost || exchange.Of(r).Event != e.RequestContext.RouteKey {
		f.t.Errorf("%s %s: %v", r.Method, body, err)
	}
	f.mu.Lock()
	f.all = append(f.all, e)
	f.mu.Unlock()
	status, text, fields, err := 200, "", []exchange.Field(nil), error(nil)
	if f.answer != nil {
		status, text, fields, err = f.answer(e)
	}
	if err != nil {
		return nil, err
	}
	res := exchange.NewResponse(r, status, fields...)
	res.Body = io.NopCloser(strings.NewReader(text))
	return res, nil
}

func (f *function) told() []told {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

func (f *function) keys() string {
	var keys []string
	for _, e := range f.told() {
		keys = append(keys, e.RequestContext.RouteKey)
	}
	return strings.Join(keys, " ")
}

// A client chooses none but of the names that the config has.
func TestTheDomainIsNoneOfTheClientsChoice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ host, own, said, want string }{
		{"shop.dev", "192.0.2.1:8080", "", "shop.dev"}, {"SHOP.dev.:8080", "192.0.2.1:8080", "", "shop.dev:8080"}, {"shop.dev:22", "192.0.2.1:8080", "", "shop.dev"},
		{"[::1]:8080", "[::1]:8080", "", "[::1]:8080"}, {"[::1]", "[::1]:8080", "", "[::1]"}, {"evil.test", "192.0.2.1:8080", "", "192.0.2.1:8080"},
		{"evil.test", "192.0.2.1:8080", "api.shop.dev", "api.shop.dev"}, {"a b", "[::ffff:192.0.2.1]:8080", "", "192.0.2.1:8080"}, {"evil.test", "", "", "localhost"},
	} {
		c, _ := read(t, "true")
		c.Domain = Domain(test.said)
		s, _ := serve(c)
		r := request(t)
		exchange.Of(r).Client.Host = test.host
		var own net.Addr = &net.UnixAddr{Name: "/run/weir.sock", Net: "unix"}
		if test.own != "" {
			own = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.own))
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, own))
		if got := s.socket(r).Domain; got != test.want {
			t.Errorf("%q at %s, where %q is said: %q, want %q", test.host, test.own, test.said, got, test.want)
		}
	}
}

// client is one end of a connection, at the place of the proxy.
type client struct {
	t   *testing.T
	end io.ReadWriteCloser
	in  *bufio.Reader
	id  string
}

func request(t *testing.T) *http.Request {
	t.Helper()
	return requestFrom(t, "192.0.2.7")
}

func requestFrom(t *testing.T, ip string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/chat?room=tea", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Protocol": "v1, v2", "User-Agent": "test", "X-A": "1",
	} {
		r.Header.Set(name, value)
	}
	x := &exchange.Exchange{ID: "req-1", Route: "GET /chat", Start: time.Now(), Client: exchange.Client{IP: netip.MustParseAddr(ip), Host: "shop.dev"}, Identity: &exchange.Identity{Subject: "ann"}}
	return exchange.With(r, x)
}

func serve(c *Config) (*server, *sockets.Hub) {
	hub := sockets.New(nil)
	return &server{config: c, hub: hub, log: slog.New(slog.DiscardHandler), backends: map[string]http.RoundTripper{}, open: new(count), hosts: []string{"shop.dev", "::1"}}, hub
}

func connect(t *testing.T, s *server, f *function) *client {
	t.Helper()
	return connectFrom(t, s, f, "192.0.2.7")
}

func connectFrom(t *testing.T, s *server, f *function, ip string) *client {
	t.Helper()
	if s.next == nil {
		s.adapt(f)
	}
	res, err := s.upgrade(requestFrom(t, ip))
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%v, %v", res, err)
	}
	end, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("%T", res.Body)
	}
	all := f.told()
	return &client{t, end, bufio.NewReader(end), all[len(all)-1].RequestContext.ConnectionID}
}

// say sends a frame.
func (c *client) say(first byte, payload string) {
	c.t.Helper()
	frame := []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	if len(payload) > 125 {
		frame = []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	}
	if _, err := c.end.Write(append(frame, payload...)); err != nil {
		c.t.Errorf("write: %v", err)
	}
}

// hear reads a frame of less than 64 KiB.
func (c *client) hear() (first byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, "", err
	}
	length := int(head[1])
	if length == 126 {
		var long [2]byte
		if _, err := io.ReadFull(c.in, long[:]); err != nil {
			return 0, "", err
		}
		length = int(long[0])<<8 | int(long[1])
	}
	body := make([]byte, length)
	_, err = io.ReadFull(c.in, body)
	return head[0], string(body), err
}

func (c *client) hears(first byte, payload string) {
	c.t.Helper()
	if f, p, err := c.hear(); f != first || !strings.HasPrefix(p, payload) || err != nil {
		c.t.Errorf("heard %x %q, %v; want %x %q", f, p, err, first, payload)
	}
}

// ends holds that the connection ends, and that the session with it.
func (c *client) ends(status int) {
	c.t.Helper()
	first, payload, err := c.hear()
	if err != nil || first != 0x88 || len(payload) < 2 || int(payload[0])<<8|int(payload[1]) != status {
		c.t.Errorf("heard %x %q, %v; want the end with %d", first, payload, err, status)
	}
	if status == 1001 || status == 1000 {
		c.say(0x88, string([]byte{byte(status >> 8), byte(status)}))
	}
	if _, _, err := c.hear(); err == nil {
		c.t.Error("it goes on")
	}
	_ = c.end.Close()
}

// gone waits for the end of the session.
func (c *client) gone() {
	c.t.Helper()
	if _, payload, err := c.hear(); err == nil {
		c.t.Errorf("it says %q", payload)
	}
}

func TestFunctionsAreToldOfAConnection(t *testing.T) {
	c, problems := read(t, "{ select: $request.body.action, reply: [$default], stage: prod }")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s, hub := serve(c)
	f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
		if e.RequestContext.EventType == apigw.Connect {
			return 200, "never told", []exchange.Field{{Name: "Sec-Websocket-Protocol", Value: "v2"}}, nil
		}
		if e.Body != nil && strings.Contains(*e.Body, "fail") {
			return 0, "", nil, fault.FunctionError.New("")
		}
		return 200, "got it", nil, nil
	}}
	join := &function{t: t}
	s.backends["join"] = join
	res, err := s.adapt(f).RoundTrip(request(t))
	if err != nil || res.Header.Get("Sec-Websocket-Protocol") != "v2" {
		t.Fatalf("%v, %v", res, err)
	}
	end := res.Body.(io.ReadWriteCloser)
	begun := f.told()[0]
	cl := &client{t, end, bufio.NewReader(end), begun.RequestContext.ConnectionID}
	if begun.RequestContext.RouteKey != "$connect" || begun.Headers["X-A"] != "1" || begun.Query["room"] != "tea" || begun.RequestContext.Stage != "prod" ||
		begun.RequestContext.DomainName != "shop.dev" || begun.RequestContext.Identity.SourceIP != "192.0.2.7" || begun.RequestContext.Authorizer["principalId"] != "ann" {
		t.Errorf("the first event is %+v", begun)
	}
	cl.say(0x81, `{"action":"join","room":1}`)
	cl.say(0x89, "still there?")
	cl.hears(0x8a, "still there?")
	cl.say(0x81, `{"action":"other"}`)
	cl.hears(0x81, "got it")
	cl.say(0x82, "\xff\x00")
	cl.hears(0x81, "got it")
	cl.say(0x81, "fail")
	cl.hears(0x81, `{"message":"Internal server error","connectionId":"`+cl.id+`"`)
	peer := hub.Find(cl.id)
	if err := peer.Send([]byte("from elsewhere")); err != nil {
		t.Error(err)
	}
	cl.hears(0x81, "from elsewhere")
	if facts := peer.Facts(); facts.SourceIP != "192.0.2.7" || facts.UserAgent != "test" || facts.Active.Before(facts.Connected) {
		t.Errorf("%+v", facts)
	}
	if err := peer.Send(make([]byte, c.Message+1)); !errors.Is(err, sockets.ErrTooLarge) {
		t.Error(err)
	}
	cl.say(0x88, "\x0f\xa0bye")
	cl.ends(4000)
	if got := f.keys(); got != "$connect $default $default $default $disconnect" {
		t.Errorf("it was told of %s", got)
	}
	all := f.told()
	if e := all[2]; e.Body == nil || *e.Body != "/wA=" || !e.Encoded {
		t.Errorf("bytes: %+v", e)
	}
	if e := all[4].RequestContext; e.DisconnectStatus != 4000 || e.DisconnectReason == nil || *e.DisconnectReason != "bye" || e.EventType != "DISCONNECT" {
		t.Errorf("the last event is %+v", e)
	}
	if got := join.told(); len(got) != 1 || got[0].RequestContext.MessageID == "" || *got[0].Body != `{"action":"join","room":1}` {
		t.Errorf("join was told %+v", got)
	}
	if hub.Find(cl.id) != nil || hub.Unsent.Taken() != 0 || s.open.n.Load() != 0 || peer.Send([]byte("x")) == nil {
		t.Error("something is left of it")
	}
}

func TestAFunctionMayRefuse(t *testing.T) {
	c, _ := read(t, "true")
	for name, test := range map[string]struct {
		status int
		err    error
		want   int
	}{"it does": {403, nil, 403}, "it redirects": {302, nil, 302}, "it fails": {0, fault.FunctionError.New(""), 502}} {
		s, hub := serve(c)
		f := &function{t: t, answer: func(told) (int, string, []exchange.Field, error) { return test.status, "the reason", nil, test.err }}
		res, err := s.adapt(f).RoundTrip(request(t))
		var status int
		if err != nil {
			status = fault.From(err).Status
		} else {
			status = res.StatusCode
		}
		if status != test.want || hub.Len() != 0 || s.open.n.Load() != 0 || f.keys() != "$connect" {
			t.Errorf("%s: %d, %v", name, status, f.keys())
		}
	}
}

func TestWhatAsksForNoWebSocketIsTold(t *testing.T) {
	c, _ := read(t, "{ connections: 1 }")
	s, _ := serve(c)
	f := &function{t: t}
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"plain HTTP":    {func(r *http.Request) { r.Header.Del("Upgrade") }, 426},
		"another":       {func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 426},
		"without a key": {func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") }, 400},
		"version 8":     {func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, 426},
	} {
		r := request(t)
		test.change(r)
		if _, err := s.adapt(f).RoundTrip(r); err == nil || fault.From(err).Status != test.status { //nolint:bodyclose // there is none
			t.Errorf("%s: %v", name, err)
		}
	}
	cl := connect(t, s, f)
	if _, err := s.adapt(f).RoundTrip(request(t)); err == nil || fault.From(err).Code != fault.Overloaded.Code { //nolint:bodyclose // there is none
		t.Errorf("one more than may be: %v", err)
	}
	_ = cl.end.Close()
	cl.gone()
	if got := f.keys(); got != "$connect $disconnect" || *f.told()[1].RequestContext.DisconnectReason == "" || f.told()[1].RequestContext.DisconnectStatus != websocket.StatusAbnormal {
		t.Errorf("it was told of %s", got)
	}
}

func TestLimitsEndAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, problems := read(t, "{ frame: 100B, message: 150B, idle: 10m, life: 2h }")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		s, hub := serve(c)
		f := &function{t: t}
		cl := connect(t, s, f)
		cl.say(0x81, strings.Repeat("x", 101))
		cl.ends(1009)
		cl = connect(t, s, f)
		cl.say(0x01, strings.Repeat("x", 100))
		cl.say(0x80, strings.Repeat("x", 51))
		cl.ends(1009)
		cl = connect(t, s, f)
		cl.say(0x81, "\xff")
		cl.ends(1007)

		cl = connect(t, s, f)
		begin := time.Now()
		time.Sleep(9 * time.Minute) //nolint:forbidigo // synctest's time
		cl.say(0x8a, "")            // which counts
		cl.ends(1001)
		if silent := time.Since(begin); silent < 19*time.Minute || silent > 20*time.Minute {
			t.Errorf("it was closed after %v", silent)
		}

		cl = connect(t, s, f)
		begin = time.Now()
		for time.Since(begin) < 2*time.Hour-time.Minute {
			cl.say(0x8a, "")
			time.Sleep(5 * time.Minute) //nolint:forbidigo // synctest's time
		}
		cl.ends(1001)
		if lived := time.Since(begin); lived != 2*time.Hour {
			t.Errorf("it lived for %v", lived)
		}

		cl = connect(t, s, f)
		hub.Find(cl.id).End()
		cl.ends(1000)
		cl = connect(t, s, f) // a client that answers no close frame is cut
		begin = time.Now()
		hub.Find(cl.id).End()
		cl.hears(0x88, "\x03\xe8")
		if _, _, err := cl.hear(); err == nil || time.Since(begin) != closeWait {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		_ = cl.end.Close()
		if hub.Len() != 0 || hub.Unsent.Taken() != 0 {
			t.Errorf("%d are left, with %d bytes", hub.Len(), hub.Unsent.Taken())
		}
	})
}

// Who sends never waits for a client that takes nothing.
func TestASlowClientHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ unsent: 64KiB, message: 32KiB }")
		s, hub := serve(c)
		f := &function{t: t}
		cl := connect(t, s, f)
		peer := hub.Find(cl.id)
		begin, sent := time.Now(), 0
		var err error
		for err == nil && sent < 100 {
			if err = peer.Send(make([]byte, 16<<10)); err == nil {
				sent++
			}
		}
		if !errors.Is(err, sockets.ErrSlow) || sent < 3 || sent > 5 || time.Since(begin) != 0 {
			t.Errorf("%d messages were kept, then %v", sent, err)
		}
		time.Sleep(stall + time.Second) //nolint:forbidigo // synctest's time
		synctest.Wait()
		if hub.Find(cl.id) != nil || hub.Unsent.Taken() != 0 {
			t.Error("it is not cut")
		}
		_ = cl.end.Close()
		cl.gone()
	})
}

// configs are those that serve one after the other. It counts how often the way of each is held.
type configs struct {
	mu      sync.Mutex
	serves  *server
	holding map[*server]int
}

func (c *configs) way(string) (sockets.Way, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.serves
	if s == nil {
		return nil, nil
	}
	c.holding[s]++
	return s, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.holding[s]--
	}
}

// commit makes s serve, nil for a config without the route.
func (c *configs) commit(hub *sockets.Hub, s *server) {
	c.mu.Lock()
	c.serves = s
	c.mu.Unlock()
	hub.Follow()
}

func (c *configs) held(s *server) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holding[s]
}

// A config may replace a function at any time: the connection goes on with the one that serves, and
// whoever is told of something lives until then.
func TestAConnectionFollowsTheConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &configs{holding: map[*server]int{}}
		hub := sockets.New(all.way)
		leave := make(chan struct{})
		makes := func(text string) (*server, *function) {
			c, problems := read(t, text)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			s, _ := serve(c)
			s.hub = hub
			f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
				if e.Body != nil && *e.Body == "wait" {
					<-leave
				}
				return 200, string(c.Stage), nil, nil
			}}
			s.adapt(f)
			return s, f
		}
		first, f1 := makes("{ reply: all, stage: one, at_once: 2 }")
		second, f2 := makes("{ reply: all, stage: two }")
		all.commit(hub, first)
		cl := connect(t, first, f1)
		cl.say(0x81, "hello")
		cl.hears(0x81, "one")
		cl.say(0x81, "wait")
		synctest.Wait()
		all.commit(hub, second)
		if n := all.held(first); n != 1 {
			t.Errorf("the first function, which has a message, is held by %d", n)
		}
		cl.say(0x81, "hello")
		cl.hears(0x81, "two")
		close(leave)
		cl.hears(0x81, "one")
		synctest.Wait()
		if n := all.held(first); n != 0 || all.held(second) != 1 {
			t.Errorf("the first is held by %d, the second by %d", n, all.held(second))
		}
		all.commit(hub, nil)
		all.commit(hub, first) // comes too late for it
		cl.ends(1001)
		if got := f1.keys() + ", " + f2.keys(); got != "$connect $default $default, $default $disconnect" {
			t.Errorf("they were told of %s", got)
		}
		if all.held(first) != 0 || all.held(second) != 0 || hub.Len() != 0 {
			t.Errorf("the functions are held by %d and %d", all.held(first), all.held(second))
		}
	})
}

// The route may go while $connect is with its function.
func TestAConnectionThatBeginsFollowsTheConfig(t *testing.T) {
	all := &configs{holding: map[*server]int{}}
	c, _ := read(t, "true")
	s, _ := serve(c)
	s.hub = sockets.New(all.way)
	f := &function{t: t}
	cl := connect(t, s, f)
	cl.ends(1001)
	if got := f.keys(); got != "$connect $disconnect" {
		t.Errorf("it was told of %s", got)
	}
}

// A client that takes nothing and pings without end is kept one pong for, with the latest ping's words.
func TestPingsThatNobodyTakesTheAnswersOfTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ unsent: 1KiB }")
		s, hub := serve(c)
		f := &function{t: t}
		cl := connect(t, s, f)
		cl.say(0x89, "first")
		synctest.Wait() // its pong is with a client that does not take it
		for i := range 1000 {
			cl.say(0x89, fmt.Sprint(i))
		}
		synctest.Wait() // the last one is read
		if held := hub.Unsent.Taken(); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
		cl.hears(0x8a, "first")
		cl.hears(0x8a, "999")
		peer := hub.Find(cl.id)
		kept := 0
		for peer.Send(nil) == nil && kept < 1000 { // an empty message is not free
			kept++
		}
		if kept > 20 {
			t.Errorf("%d empty messages are kept in 1 KiB", kept)
		}
		_ = cl.end.Close()
		cl.gone()
		if hub.Unsent.Taken() != 0 {
			t.Errorf("%d bytes are still held", hub.Unsent.Taken())
		}
	})
}

// With at_once messages under way, only one more is read of a client.
func TestFunctionsSetThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ at_once: 2, timeout: 29s }")
		s, _ := serve(c)
		var busy, most atomic.Int64
		f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
			if e.RequestContext.EventType == apigw.Message {
				most.Store(max(most.Load(), busy.Add(1)))
				time.Sleep(time.Second) //nolint:forbidigo // synctest's time
				busy.Add(-1)
			}
			return 200, "", nil, nil
		}}
		cl := connect(t, s, f)
		begin := time.Now()
		for i := range 10 {
			cl.say(0x81, fmt.Sprint(i))
		}
		cl.say(0x88, "\x0f\xa0")
		cl.ends(4000)
		if took := time.Since(begin); took < 5*time.Second || took > 6*time.Second || most.Load() != 2 || len(f.told()) != 12 {
			t.Errorf("%d events, %d at once, in %v", len(f.told()), most.Load(), took)
		}
	})
}

// While a message is with a function, and the next one waits for that, pings are answered.
func TestPingsAreAnsweredWhileMessagesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "true")
		s, hub := serve(c)
		leave := make(chan struct{})
		f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
			if e.Body != nil {
				<-leave
			}
			return 200, "", nil, nil
		}}
		cl := connect(t, s, f)
		var heard atomic.Int64
		go func() {
			for {
				if first, _, err := cl.hear(); err != nil {
					return
				} else if first == 0x8a {
					heard.Add(1)
				}
			}
		}()
		hears := func(pongs int64, said []string, told string) {
			t.Helper()
			synctest.Wait()
			held := int64(0)
			for _, message := range said {
				held += int64(overhead + copies*len(message))
			}
			if heard.Load() != pongs || hub.Said.Taken() != held || f.keys() != told {
				t.Errorf("%d pongs, %d bytes are held, told of %s; want %d, %d, %s", heard.Load(), hub.Said.Taken(), f.keys(), pongs, held, told)
			}
		}
		cl.say(0x81, "first")
		cl.say(0x89, "")
		hears(1, []string{"first"}, "$connect $default")
		cl.say(0x01, "sec")
		cl.say(0x89, "")
		hears(2, []string{"first", "sec"}, "$connect $default") // else the next one may come in its place
		cl.say(0x80, "ond")
		cl.say(0x89, "")
		hears(3, []string{"first", "second"}, "$connect $default")
		go func() { // it waits for the second one to be taken
			cl.say(0x81, "third")
			cl.say(0x89, "")
		}()
		hears(3, []string{"first", "second"}, "$connect $default")
		leave <- struct{}{}
		hears(4, []string{"second", "third"}, "$connect $default $default")
		leave <- struct{}{}
		leave <- struct{}{}
		hears(4, nil, "$connect $default $default $default")

		cl.say(0x01, "it never comes whole")
		_ = cl.end.Close()
		hears(4, nil, "$connect $default $default $default $disconnect")
	})
}

// What clients say holds room until functions were told of it, what has not come whole, too; of one
// client it is never all. Who waits for room in vain is told to come again.
func TestNoClientSaysSoMuchThatNobodyElseIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ frame: 4MiB, message: 4MiB, timeout: 10s }")
		s, hub := serve(c)
		f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
			if e.Body != nil && len(*e.Body) > 0 {
				time.Sleep(time.Minute) //nolint:forbidigo // synctest's time
			}
			return 200, "", nil, nil
		}}
		var greedy []*client
		for range 12 {
			cl := connect(t, s, f)
			greedy = append(greedy, cl)
			go cl.begin(4 << 20)
		}
		synctest.Wait()
		if held := hub.Said.Taken(); held < 32<<20 || held > 60<<20 {
			t.Errorf("one client holds %d bytes", held)
		}
		other := connectFrom(t, s, f, "192.0.2.8")
		other.say(0x81, strings.Repeat("x", 60_000))
		synctest.Wait()
		if f.keys() != strings.Repeat("$connect ", 13)+"$default" {
			t.Errorf("functions were told of %s", f.keys())
		}
		time.Sleep(c.Timeout) //nolint:forbidigo // synctest's time
		synctest.Wait()
		left := 0
		for _, cl := range greedy {
			if hub.Find(cl.id) == nil {
				cl.hears(0x88, "\x03\xf5")
				left++
			}
			_ = cl.end.Close()
		}
		if left == 0 || left > 8 {
			t.Errorf("%d of them were sent away", left)
		}
		_ = other.end.Close()
		time.Sleep(time.Minute) //nolint:forbidigo // synctest's time
		synctest.Wait()
		if hub.Said.Taken() != 0 || hub.Len() != 0 {
			t.Errorf("%d bytes are held, of %d connections", hub.Said.Taken(), hub.Len())
		}
	})
}

// begin sends the head of a message's only frame, which is larger than 64 KiB, and waits until it is read.
func (c *client) begin(bytes uint32) {
	head := binary.BigEndian.AppendUint32([]byte{0x82, 0x80 | 127, 0, 0, 0, 0}, bytes)
	_, _ = c.end.Write(append(head, 0, 0, 0, 0, 0)) // the connection may end first
}

// What clients do not take holds room, and that of one client leaves some for others.
func TestNoClientHasAllThatIsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ message: 1MiB, unsent: 16MiB }")
		s, hub := serve(c)
		f := &function{t: t}
		var all []*client
		for range 10 {
			cl := connect(t, s, f)
			all = append(all, cl)
			for hub.Find(cl.id).Send(make([]byte, 1<<20)) == nil { // it takes nothing
			}
		}
		if held := hub.Unsent.Taken(); held < 40<<20 || held > 50<<20 {
			t.Errorf("one client holds %d bytes", held)
		}
		other := connectFrom(t, s, f, "2001:db8::1")
		all = append(all, other)
		if err := hub.Find(other.id).Send(make([]byte, 1<<20)); err != nil {
			t.Errorf("another one: %v", err)
		}
		for _, cl := range all {
			_ = cl.end.Close()
		}
		synctest.Wait()
		if hub.Unsent.Taken() != 0 {
			t.Errorf("%d bytes are held", hub.Unsent.Taken())
		}
	})
}

// A client that takes little, but steadily, is waited for.
func TestASteadyClientIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := read(t, "{ idle: 2h }")
		s, hub := serve(c)
		cl := connect(t, s, &function{t: t})
		message := strings.Repeat("x", 100_000)
		if err := hub.Find(cl.id).Send([]byte(message)); err != nil {
			t.Fatal(err)
		}
		taken := 0
		for b := make([]byte, progress); taken < len(message); {
			time.Sleep(stall - time.Second) //nolint:forbidigo // synctest's time
			n, err := cl.in.Read(b)
			if taken += n; err != nil {
				t.Fatalf("it is cut after %d bytes: %v", taken, err)
			}
		}
		_ = cl.end.Close()
		cl.gone()
	})
}

// A function has not failed where its answer finds no client, or one that takes nothing.
func TestWhoIsToBlameForAnAnswerThatIsNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		client func(*client) // does it while the message is with the function
		want   string        // of the log; "" nothing
	}{
		"it goes":          {func(c *client) { _ = c.end.Close() }, ""},
		"it closes":        {func(c *client) { c.say(0x88, "\x03\xe8") }, ""},
		"it takes nothing": {func(*client) {}, "an answer to a WebSocket was dropped"},
		"the function":     {func(c *client) { c.say(0x89, "fail") }, "a function of a WebSocket has failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := read(t, "{ reply: all, unsent: 1KiB, at_once: 9, timeout: 1h, idle: 1h }")
			s, hub := serve(c)
			var log await.Text
			s.log = slog.New(slog.NewTextHandler(&log, nil))
			leave := make(chan struct{})
			f := &function{t: t, answer: func(e told) (int, string, []exchange.Field, error) {
				if e.Body == nil {
					return 200, "", nil, nil
				}
				<-leave
				if name == "the function" {
					return 0, "", nil, fault.FunctionError.New("")
				}
				return 200, strings.Repeat("x", 900), nil, nil
			}}
			cl := connect(t, s, f)
			for range 9 {
				cl.say(0x81, "hello")
			}
			synctest.Wait()
			test.client(cl)
			synctest.Wait()
			close(leave)
			synctest.Wait()
			if got := log.String(); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("%s: it logs %q, want %q", name, got, test.want)
			}
			_ = cl.end.Close()
			cl.gone()
			if hub.Unsent.Taken() != 0 {
				t.Error("something is left")
			}
		})
	}
}

func TestSelections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ selection, message, want string }{
		{"$request.body.action", `{"action":"join"}`, "join"}, {"${request.body.action}", `{"action":"join"}`, "join"},
		{"$request.body.a.b", `{"a":{"b":"c"}}`, "c"}, {"$request.body.a.b", `{"a":"b"}`, ""}, {"$request.body.n", `{"n":7}`, "7"},
		{"$request.body.n", `{"n":null}`, ""}, {"$request.body.n", `[1]`, ""}, {"$request.body.n", `no json`, ""}, {"$request.body.n", ``, ""},
		{"$request.body.n", `{"n":"a","n":"b"}`, "b"},
	} {
		var s Selection
		if err := s.UnmarshalText([]byte(test.selection)); err != nil {
			t.Error(err)
		}
		if got := s.key([]byte(test.message)); got != test.want {
			t.Errorf("%s of %s is %q", test.selection, test.message, got)
		}
	}
	for text, want := range map[string]string{
		"action": "selects nothing", "$request.header.x": "selects nothing", "{ idle: 3h }": "idle", "{ frame: 1MiB }": "frame: 1MiB", "{ connections: 0 }": "connections",
		"{ at_once: 0 }": "at_once", `{ stage: "a/b c\n" }`: "weir.yaml:1:21: \"a/b c\\n\" is not understood here", "{ stage: '' }": "no stage", "{ domain: evil url }": "weir.yaml:1:22: \"evil url\" is not understood here",
		"{ domain: 'user@x' }": "no domain", "{ domain: 'x:0x1' }": "no domain", "{ domain: ':80' }": "no domain", "{ domain: 'x/y' }": "no domain",
		"{ reply: [nosuch] }": "weir.yaml:1:21: reply: no route is called \"nosuch\"", "{ reply: [$connect] }": "reply: the answer to $connect", "{ routes: { a: none }, reply: [a] }": "nobody",
		"{ timeout: 1h }": "timeout", "{ unsent: 1GiB }": "unsent", "{ routes: { a: } }": "a",
	} {
		if _, problems := read(t, text); len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func FuzzSelection(f *testing.F) {
	f.Add("$request.body.a.b", []byte(`{"a":{"b":"c"}}`))
	f.Fuzz(func(t *testing.T, selection string, message []byte) {
		var s Selection
		if s.UnmarshalText([]byte(selection)) == nil {
			_ = s.key(message)
		}
	})
}
