package compose_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// source is the body of a backend. It records how much of it was read, and whether it was closed.
type source struct {
	io.Reader

	read   atomic.Int64
	closed atomic.Bool
	ctx    context.Context //nolint:containedctx // of the request, whose end is looked at
	wait   bool            // for the end of the request, after the first piece
}

func (s *source) Read(p []byte) (int, error) {
	if s.wait && s.read.Load() > 0 {
		<-s.ctx.Done()
		return 0, context.Cause(s.ctx)
	}
	n, err := s.Reader.Read(p)
	s.read.Add(int64(n))
	return n, err
}

func (s *source) Close() error {
	s.closed.Store(true)
	return nil
}

// streams makes a backend that answers with a JSON body. A length of -1 means unknown.
func (s *source) streams(body string, length int64, fields ...exchange.Field) backend {
	return func(r *http.Request) (*http.Response, error) {
		s.Reader, s.ctx = strings.NewReader(body), r.Context()
		res := exchange.NewResponse(r, 200, append([]exchange.Field{{Name: "Content-Type", Value: "application/json"}}, fields...)...)
		res.Body, res.ContentLength = s, length
		return res, nil
	}
}

const passes = "  GET /home/{user}:\n    compose: { a: { to: 'http://a'%s } }\n    return: { body: =steps.a.body, headers: { X-Status: =string(steps.a.status) } }\n"

func passing(more string) string { return strings.Replace(passes, "%s", more, 1) }

// large is longer than what is buffered of an answer that could be passed on.
var large = `["` + strings.Repeat("x", 100<<10) + `"]`

func TestABodyThatIsTheAnswerIsPassedOnAsItComes(t *testing.T) {
	for name, length := range map[string]int64{"known": int64(len(large)), "unknown": -1} {
		t.Run("of "+name+" length", func(t *testing.T) {
			var s source
			c := world{"a": s.streams(large, length)}.route(t, passing(""))
			res, err := c.RoundTrip(request(http.MethodGet, "/home/7", ""))
			if err != nil {
				t.Fatal(err)
			}
			if most := map[string]int64{"known": 0, "unknown": 40 << 10}[name]; s.read.Load() > most {
				t.Errorf("%d bytes were read before the answer", s.read.Load())
			}
			head := exchange.ResponseHead(res)
			if res.ContentLength != length || (head.Get("Content-Length") != "") != (length >= 0) || head.Get("X-Status") != "200" || head.Get("Content-Type") != "application/json" {
				t.Errorf("length %d, head %v", res.ContentLength, res.Header)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != large {
				t.Errorf("%d bytes, %v", len(body), err)
			}
			if s.ctx.Err() != nil || s.closed.Load() {
				t.Error("the call has ended before its body")
			}
			if err := res.Body.Close(); err != nil || s.ctx.Err() == nil || !s.closed.Load() {
				t.Errorf("the call goes on: %v", err)
			}
		})
	}
}

func TestWhatIsSmallOrReadOtherwiseIsHeld(t *testing.T) {
	small := `[1, 2`
	for name, c := range map[string]struct {
		body, more string
		status     int
		want       string
	}{
		"small and no JSON":     {small, "", 502, "composition-failed"},
		"small":                 {small + `]`, "", 200, `[1, 2]`},
		"large with an else":    {large[1:], ", else: 1", 200, "1"},
		"large, kept":           {large, ", cache: 1m", 200, large},
		"large of an each":      {large, ", each: '=[1]', headers: { X: =string(item) }", 200, "[" + large + "]"},
		"large, over max_body":  {large, ", max_body: 1KiB, else: 2", 200, "2"},
		"large, over the bound": {large, ", max_body: 1KiB", 502, "composition-failed"},
	} {
		text := passing(c.more)
		if strings.Contains(name, "each") {
			text = strings.Replace(text, ", headers: { X-Status: =string(steps.a.status) }", "", 1)
		}
		for _, length := range []int64{int64(len(c.body)), -1} {
			var s source
			get(t, world{"a": s.streams(c.body, length)}.route(t, text)).want(t, name, c.status, c.want)
			if !s.closed.Load() || s.ctx.Err() == nil {
				t.Errorf("%s: the call goes on", name)
			}
		}
	}
}

func TestWhatSaysThatItIsNoJSONIsNotPassedOn(t *testing.T) {
	for _, field := range []exchange.Field{{Name: "Content-Encoding", Value: "gzip"}} {
		var s source
		get(t, world{"a": s.streams(large, -1, field)}.route(t, passing(""))).want(t, field.Name, 502, "composition-failed")
	}
	html := func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, 200, "<html>"+large)
		exchange.ResponseHead(res).Set("Content-Type", "text/html")
		return res, err
	}
	get(t, world{"a": html}.route(t, passing(""))).want(t, "HTML", 502, "composition-failed")
}

func TestAStreamWaitsForTheOtherStepsAndEndsWithTheirFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, status := range map[string]int{"all is well": 204, "another step fails": 500} {
			var s source
			slow := func(r *http.Request) (*http.Response, error) {
				<-time.After(time.Second)
				return reply(r, status, "")
			}
			c := world{"a": s.streams(large, -1), "b": slow}.route(t, "  GET /home/{user}:\n    compose: { a: 'http://a', b: { to: 'http://b', method: POST } }\n    return: =steps.a.body\n")
			if status == 204 {
				get(t, c).want(t, name, 200, large)
			} else {
				get(t, c).want(t, name, 502, "composition-failed")
			}
			if !s.closed.Load() || s.ctx.Err() == nil {
				t.Errorf("%s: the call goes on", name)
			}
		}
	})
}

func TestAStreamEndsWithItsTimeAndWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, leaves := range map[string]bool{"its time": false, "its client": true} {
			s := source{wait: true}
			c := world{"a": s.streams(large, int64(len(large)))}.route(t, passing(", timeout: 5s"))
			ctx, leave := context.WithCancel(t.Context())
			res, err := c.RoundTrip(request(http.MethodGet, "/home/7", "").WithContext(exchangeContext(ctx)))
			if err != nil {
				t.Fatal(err)
			}
			if leaves {
				leave()
			}
			begin := time.Now()
			_, err = io.ReadAll(res.Body)
			if took := time.Since(begin); err == nil || leaves != errors.Is(err, context.Canceled) || !leaves && took != 5*time.Second {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			leave()
			_ = res.Body.Close()
		}
	})
}

func TestHEADOfAStreamHasItsLength(t *testing.T) {
	var s source
	c := world{"a": s.streams(large, int64(len(large)))}.route(t, passing(""))
	a := ask(t, c, request(http.MethodHead, "/home/7", ""))
	a.want(t, "HEAD", 200, "")
	if a.head.Get("Content-Length") == "" || !s.closed.Load() || s.read.Load() > 0 {
		t.Errorf("head %v, %d read", a.head, s.read.Load())
	}
}

func TestNothingStreamsWhereSomethingMayHaveToBeUndone(t *testing.T) {
	var s source
	c := world{"a": s.streams(large[1:], int64(len(large)-1)), "b": says(201, "{}")}.route(t, `
  GET /home/{user}:
    compose:
      a: http://a
      b: { to: "http://b", body: 1, undo: "http://b/x" }
    return: =steps.a.body
`)
	get(t, c).want(t, "no JSON", 502, "composition-failed")
}
