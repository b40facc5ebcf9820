package http1_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// A response that was released belongs to nobody: its head is gone, its body stays at its end, and neither Read nor
// Close on it touches the request that uses its connection now.
func TestAReleasedResponseDoesNoHarm(t *testing.T) {
	c := ownClient(func() (net.Conn, error) { return newParrot(t, usualAnswer), nil })
	defer c.CloseIdle()
	ask := func() *http.Response {
		res, err := c.RoundTrip(proxied(t, "a", true))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := ask()
	if exchange.Release(first) {
		t.Error("a response was released that was not read")
	}
	if _, err := io.Copy(io.Discard, first.Body); err != nil || exchange.Release(first) {
		t.Errorf("who has made the connection may have the context still, and that is not told (%v)", err)
	}
	first = ask()
	body, head := first.Body, exchange.ResponseHead(first)
	lines := exchange.LinesOf(first.Header).List()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Fatal(err)
	}
	if !exchange.Release(first) {
		t.Error("nobody else has the request, and that is not told")
	}
	if head.Len() > 0 || poison.On && lines[0] == field.Make("Server", "nginx") {
		t.Errorf("a head that was kept has %q, a line of it is %q", head.Get("Server"), lines[0])
	}
	const times = 100
	seen := map[*http.Response]bool{}
	for range times {
		res := ask()
		seen[res] = true
		if n, err := body.Read(make([]byte, 10)); n > 0 || err == nil {
			t.Fatalf("the body before gives %d bytes, %v", n, err)
		}
		_ = body.Close()
		kept, _ := body.(interface {
			io.WriterTo
			Whole() bool
			Late() bool
			OnEnd(e exchange.Ending)
		})
		kept.OnEnd(exchange.EndingFunc(func(error) { t.Error("who has kept a body is told of another's end") }))
		if n, err := kept.WriteTo(io.Discard); n > 0 || err != nil || !kept.Whole() || kept.Late() {
			t.Fatalf("the body before writes %d bytes, %v", n, err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || len(b) != 1024 || exchange.ResponseHead(res).Get("Server") != "nginx" {
			t.Fatalf("%d bytes, %v, %v", len(b), err, res.Header)
		}
		if released := body.(interface{ Release() bool }).Release(); released {
			t.Fatal("it was released twice")
		}
		exchange.Release(res)
	}
	if !poison.On && len(seen) > times*3/4 { // under the race detector, pools drop some things
		t.Errorf("%d responses took the memory of %d", times, len(seen))
	}
}

// returning counts the notifications that it gets about an answer.
type returning struct{ ended, released int }

func (r *returning) Ended(error) { r.ended++ }
func (r *returning) Released()   { r.released++ }

// An observer of an answer is told that nothing holds its request any more. It is told once, after the end of the
// answer, and only where that is certain.
func TestWhoFollowsAnAnswerIsToldOfItsRelease(t *testing.T) {
	c := ownClient(func() (net.Conn, error) { return newParrot(t, usualAnswer), nil })
	defer c.CloseIdle()
	ask := func(req *http.Request, read bool) *returning {
		res, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		told := new(returning)
		body, _ := res.Body.(interface {
			OnEnd(e exchange.Ending)
			Release() bool
		})
		body.OnEnd(told)
		if read {
			_, _ = io.Copy(io.Discard, res.Body)
		}
		_ = res.Body.Close()
		body.Release()
		if body.Release() || told.ended != 1 {
			t.Errorf("it has ended %d times, and was released twice", told.ended)
		}
		return told
	}
	fed := proxied(t, "a", true)
	fed.Method, fed.Body, fed.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader("content")), 7
	for _, c := range []struct {
		what string
		req  *http.Request
		read bool
		want int
	}{
		{"a connection was made, and who has done that may have the context yet", proxied(t, "a", true), true, 0},
		{"the connection was kept", proxied(t, "a", true), true, 1},
		{"it was not read to its end", proxied(t, "a", true), false, 0},
		{"a connection was made anew", proxied(t, "a", true), true, 0},
		{"its content is sent by somebody else", fed, true, 0},
	} {
		if told := ask(c.req, c.read); told.released != c.want {
			t.Errorf("%s: told %d times", c.what, told.released)
		}
	}
}

// slow is content whose Reads return nothing, and only when the test lets them, even if it is closed. It reports each
// Read.
type slow struct {
	name  string
	reads chan<- string
	gives chan error
}

func (s slow) Read([]byte) (int, error) {
	s.reads <- s.name
	return 0, <-s.gives
}

func (s slow) Close() error { return nil }

// If a response is released while the content of its request is still being sent, its memory stays with the goroutine
// that sends the content. None of it is used for the next request.
func TestAReleasedResponseWhoseContentIsSentYetIsNotUsedAgain(t *testing.T) {
	e, reads := newEndpoint(t, await.Patience), make(chan string, 10)
	post := func(name string) (slow, <-chan answered) {
		content := slow{name, reads, make(chan error, 2)}
		req := proxied(t, e.address, true)
		req.Method, req.Body, req.ContentLength = http.MethodPost, content, -1
		answers := make(chan answered, 1)
		go func() {
			res, err := e.client.RoundTrip(req)
			answers <- answered{res, err}
		}()
		return content, answers
	}
	first, answer := post("first")
	conn, in := e.accepts(t)
	if _, err := http.ReadRequest(in); err != nil {
		t.Fatal(err)
	}
	if name := await.From(t, "the content is read", reads); name != "first" {
		t.Errorf("the %s content is read", name)
	}
	says(t, conn, strings.Replace(fine, "\r\n", "\r\nConnection: close\r\n", 1))
	early := <-answer
	if text := early.reads(t); text != "ok" || exchange.Release(early.res) {
		t.Errorf("the answer is %q, and nobody is said to have the request whose content is read", text)
	}
	second, answer := post("second")
	conn, in = e.accepts(t)
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if name := await.From(t, "the next content is read", reads); name != "second" {
		t.Errorf("the %s content is read", name)
	}
	first.gives <- nil
	if name := await.From(t, "the content is read on", reads); name != "first" {
		t.Errorf("who reads the first content reads the %s one", name)
	}
	first.gives <- io.EOF
	second.gives <- io.EOF
	if content, err := io.ReadAll(req.Body); len(content) > 0 || err != nil {
		t.Errorf("the second content is %q, %v", content, err)
	}
	says(t, conn, strings.Replace(fine, "ok", "OK", 1))
	if text := (<-answer).reads(t); text != "OK" {
		t.Errorf("the second answer is %q", text)
	}
}

// A response without content is over as soon as it arrives, but is not released before its receiver has learnt that
// from a Read or a Close.
func TestAResponseWithoutContentIsReleasedWhenItWasReadOrClosed(t *testing.T) {
	for name, end := range map[string]func(body io.ReadCloser) error{
		"read":    func(body io.ReadCloser) error { _, err := io.Copy(io.Discard, body); return err },
		"closed":  io.ReadCloser.Close,
		"written": func(body io.ReadCloser) error { _, err := body.(io.WriterTo).WriteTo(io.Discard); return err },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			answer := e.ask(t.Context(), t, "GET", nil)
			conn, in := e.accepts(t)
			hears(t, in)
			says(t, conn, fine)
			(<-answer).reads(t) // from now on no new connection is made
			answers := make(chan answered, 1)
			go func() {
				res, err := e.client.RoundTrip(proxied(t, e.address, true))
				answers <- answered{res, err}
			}()
			hears(t, in)
			says(t, conn, "HTTP/1.1 204 No Content\r\nServer: nginx\r\n\r\n")
			got := <-answers
			if got.err != nil {
				t.Fatal(got.err)
			}
			told, body := new(returning), got.res.Body
			body.(interface{ OnEnd(e exchange.Ending) }).OnEnd(told)
			if exchange.Release(got.res) || told.released > 0 || exchange.ResponseHead(got.res).Get("Server") != "nginx" {
				t.Errorf("it was released before it was %s; %+v was told", name, *told)
			}
			if err := end(body); err != nil {
				t.Fatal(err)
			}
			if !exchange.Release(got.res) || *told != (returning{1, 1}) {
				t.Errorf("it was not released; %+v was told", *told)
			}
		})
	}
}
