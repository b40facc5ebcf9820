package proxy_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
)

// TestABackendIsCalledWhenContentIsThere checks how much of a request's content has arrived before its backend is
// called.
func TestABackendIsCalledWhenContentIsThere(t *testing.T) {
	const most = 64 << 10
	for _, c := range []struct {
		name           string
		length, before int
		head           http.Header
		unknown        bool
	}{
		{name: "none", length: 0, before: 0},
		{name: "a byte", length: 1, before: 1},
		{name: "all", length: 1000, before: 1000},
		{name: "all that is held", length: most, before: most},
		{name: "more than is held", length: most + 1, before: most},
		{name: "much more", length: 1 << 20, before: most},
		{name: "a length that is not known", length: 1000, before: 0, unknown: true},
		{name: "what is asked for", length: 1000, before: 0, head: http.Header{"Expect": {"100-continue"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := &slowly{left: c.length, piece: 700}
			backend := func(r *http.Request) (*http.Response, error) {
				if content.given != c.before {
					t.Errorf("%d bytes had come, not %d", content.given, c.before)
				}
				n, err := io.Copy(io.Discard, bodyOf(r))
				if err != nil || int(n) != c.length {
					t.Errorf("the backend read %d bytes, %v", n, err)
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}
			res := upload(t, backend, content, c.head, c.unknown)
			if res.Code != http.StatusOK {
				t.Errorf("status %d: %s", res.Code, res.Body)
			}
		})
	}
}

// TestContentThatIsWholeCanBeReadAgain checks that each try gets all of it.
func TestContentThatIsWholeCanBeReadAgain(t *testing.T) {
	for length, again := range map[int]bool{1: true, 600: true, 5000: true, 64 << 10: true, 64<<10 + 1: false} {
		backend := func(r *http.Request) (*http.Response, error) {
			if (r.GetBody != nil) != again {
				t.Fatalf("%d bytes can be read again: %t", length, r.GetBody != nil)
			}
			for range 2 {
				if n, err := io.Copy(io.Discard, r.Body); err != nil || int(n) != length {
					t.Errorf("read were %d bytes of %d, %v", n, length, err)
				}
				if !again {
					break
				}
				r.Body, _ = r.GetBody()
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}
		upload(t, backend, &slowly{left: length, piece: 1 << 20}, nil, false)
	}
}

// TestContentThatBreaksOffReachesNoBackend plays a client that leaves halfway.
func TestContentThatBreaksOffReachesNoBackend(t *testing.T) {
	var called atomic.Bool
	backend := func(*http.Request) (*http.Response, error) {
		called.Store(true)
		return nil, errors.New("called")
	}
	upload(t, backend, &slowly{left: 1000, piece: 10, breaks: io.ErrUnexpectedEOF}, nil, false)
	if called.Load() {
		t.Error("the backend was called")
	}
}

// slowly is content that arrives in small pieces.
type slowly struct {
	left, piece, given int
	breaks             error // halfway
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.breaks != nil && s.given >= s.left {
		return 0, s.breaks
	}
	n := copy(p, strings.Repeat("x", min(s.left, s.piece)))
	s.left -= n
	s.given += n
	return n, nil
}

func bodyOf(r *http.Request) io.Reader {
	if r.Body == nil {
		return http.NoBody
	}
	return r.Body
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// upload sends content through a proxy to backend.
func upload(t *testing.T, backend roundTrip, content *slowly, head http.Header, unknown bool) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", content)
	r.ContentLength = int64(content.left)
	r.Header.Set("Content-Length", strconv.Itoa(content.left))
	if unknown {
		r.ContentLength = -1
		r.Header.Del("Content-Length")
	}
	maps.Copy(r.Header, head)
	res := httptest.NewRecorder()
	w, r := exchange.Begin(res, r, &exchange.Exchange{Path: "/"})
	defer w.Finish(nil)
	proxy.New(proxy.Options{Backend: backend}).ServeHTTP(w, r)
	return res
}
