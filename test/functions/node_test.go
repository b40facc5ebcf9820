package functions

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local"
)

// installed installs the packages of node/package-lock.json, unless they are installed already.
var installed = sync.OnceValue(func() error {
	if _, err := exec.LookPath("npm"); err != nil {
		return err //nolint:wrapcheck // it names npm
	}
	lock, err := os.Stat(filepath.Join("node", "package-lock.json"))
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	// npm writes this file last.
	if made, err := os.Stat(filepath.Join("node", "node_modules", ".package-lock.json")); err == nil && !made.ModTime().Before(lock.ModTime()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = "node"
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out))
	}
	return nil
})

// handlers starts a handler in the folder node.
func handlers(t *testing.T, handler string, change func(*local.Config)) function.Backend {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	return start(t, "node", func(c *local.Config) {
		c.Handler = handler
		change(c)
	})
}

// judges are libraries that interpret our events, each with its handler.
var judges = map[string]string{"hono": "hono.handler", "serverless-express": "express.handler"}

// seen is how a library understood a request.
type seen struct {
	Method, Path, ID, Many, Type, Body string
	Queries                            map[string][]string
	Cookies                            map[string]string
}

func TestLibrariesUnderstandOurEvents(t *testing.T) {
	tests := map[string]struct {
		path, body string
		change     func(r *http.Request)
		want       seen
	}{
		"a query with lists": {"/seen/7?tag=x&tag=y&empty=&comma=1%2C2&space=a+b&umlaut=%C3%BC", "", func(r *http.Request) { r.Header.Del("Content-Type") }, seen{
			Path: "/seen/7", ID: "7",
			Queries: map[string][]string{"tag": {"x", "y"}, "empty": {""}, "comma": {"1,2"}, "space": {"a b"}, "umlaut": {"ü"}},
		}},
		"cookies and repeated fields": {"/seen/7", "hello", func(r *http.Request) {
			r.Header["Cookie"] = []string{"a=1; b=two", "c=3"}
			r.Header["X-Many"] = []string{"1", "2"}
		}, seen{
			Path: "/seen/7", ID: "7", Type: "text/plain", Many: "1,2", Body: "68656c6c6f",
			Queries: map[string][]string{}, Cookies: map[string]string{"a": "1", "b": "two", "c": "3"},
		}},
		"a binary body": {"/seen/7", "\x00\xff\xfe\n", func(r *http.Request) { r.Header.Set("Content-Type", "application/octet-stream") }, seen{
			Path: "/seen/7", ID: "7", Type: "application/octet-stream", Body: "00fffe0a", Queries: map[string][]string{},
		}},
		"a path with signs": {"/seen/a%20b%C3%BC", "x", func(*http.Request) {}, seen{
			Path: "/seen/a%20b%C3%BC", ID: "a bü", Type: "text/plain", Body: "78", Queries: map[string][]string{},
		}},
	}
	for judge, handler := range judges {
		b := handlers(t, handler, unchanged)
		for name, test := range tests {
			t.Run(judge+"/"+name, func(t *testing.T) {
				r := request(test.path, test.body)
				test.change(r)
				_, text := whole(t, b, r)
				var got seen
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if test.want.Cookies == nil { // one library gives {}, the other {"": undefined}
					got.Cookies = nil
				}
				test.want.Method = http.MethodPost
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("got  %+v\nwant %+v", got, test.want)
				}
			})
		}
	}
}

// whole returns a response with its whole body.
func whole(t *testing.T, b function.Backend, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := b.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(raw)
}

func get(path string) *http.Request {
	r := request(path, "")
	r.Method, r.Body = http.MethodGet, http.NoBody
	return r
}

func TestAnswersOfLibrariesBecomeResponses(t *testing.T) {
	for judge, handler := range judges {
		t.Run(judge, func(t *testing.T) {
			b := handlers(t, handler, unchanged)
			res, text := whole(t, b, get("/cookies"))
			head := exchange.ResponseHead(res)
			var cookies []string
			for name, value := range head.All() {
				if strings.EqualFold(name, "Set-Cookie") {
					cookies = append(cookies, strings.SplitN(value, ";", 2)[0])
				}
			}
			if res.StatusCode != 201 || text != "set" || !slices.Equal(cookies, []string{"a=1", "b=2"}) {
				t.Errorf("got %d %q with the cookies %q", res.StatusCode, text, cookies)
			}
			res, text = whole(t, b, get("/binary"))
			if kind := exchange.ResponseHead(res).Get("Content-Type"); text != "\x00\xff\xfe\n" || !strings.HasPrefix(kind, "image/png") {
				t.Errorf("got %q of type %s", text, kind)
			}
			if res, _ = whole(t, b, get("/moved")); res.StatusCode != 303 || exchange.ResponseHead(res).Get("Location") != "/elsewhere" {
				t.Errorf("got %d to %q", res.StatusCode, exchange.ResponseHead(res).Get("Location"))
			}
		})
	}
}

func TestHonoStreamsByOurGlobal(t *testing.T) {
	b := handlers(t, "hono.stream", unchanged)
	res, text := whole(t, b, get("/events"))
	if kind := exchange.ResponseHead(res).Get("Content-Type"); text != "data: event 1\n\ndata: event 2\n\ndata: event 3\n\n" || !strings.HasPrefix(kind, "text/event-stream") {
		t.Errorf("got %q of type %s", text, kind)
	}
	if res, text := whole(t, b, get("/missing")); res.StatusCode != 404 || text != "404 Not Found" {
		t.Errorf("got %d %q", res.StatusCode, text)
	}
}

// TestAWSLibraryAnswersSeveralAtOnce succeeds only if one process has as many requests at once as are sent together.
func TestAWSLibraryAnswersSeveralAtOnce(t *testing.T) {
	const together = 4
	b := start(t, "lambda", func(c *local.Config) { c.Scale.Max, c.Scale.Concurrency = 1, together })
	for range 3 {
		var clients sync.WaitGroup
		for range together {
			clients.Go(func() {
				if _, text, err := send(b, "/meet", ""); err != nil || text != "met 4" {
					t.Errorf("got %q, %v", text, err)
				}
			})
		}
		clients.Wait()
	}
}
