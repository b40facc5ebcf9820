package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL + "/", Token: secret.NewValue("token"), Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWhatIsAsked(t *testing.T) {
	var got []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Authorization")+" "+string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	for _, err := range []error{
		c.Put(t.Context(), "users", "a:1", []byte(`{"port":1}`)), c.Heartbeat(t.Context(), "users", "a:1"), c.Remove(t.Context(), "users", "a:1"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := `PUT /v1/registry/services/users/instances/a:1 Bearer token {"port":1}
POST /v1/registry/services/users/instances/a:1/heartbeat Bearer token 
DELETE /v1/registry/services/users/instances/a:1 Bearer token `
	if strings.Join(got, "\n") != want {
		t.Errorf("asked is\n%s", strings.Join(got, "\n"))
	}
}

func TestWhatARegistryAnswers(t *testing.T) {
	status, body := 404, `{"code":"instance-unknown","title":"No such instance is registered.","detail":"Register it again."}`
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	err := c.Heartbeat(t.Context(), "users", "a")
	if !errors.Is(err, registry.ErrUnknown) || !strings.Contains(err.Error(), "No such instance is registered. Register it again.") {
		t.Error(err)
	}
	if err := c.Remove(t.Context(), "users", "a"); err != nil {
		t.Errorf("who is gone is gone: %v", err)
	}
	body = `{"code":"x","title":"\u001b[2J","detail":"` + strings.Repeat("y", 1000) + `"}`
	if err := c.Heartbeat(t.Context(), "users", "a"); err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 500 {
		t.Errorf("what would write on a terminal: %q", err)
	}
	status, body = 404, "<html>"
	if err := c.Heartbeat(t.Context(), "users", "a"); errors.Is(err, registry.ErrUnknown) || err == nil || err.Error() != "the registry answers 404" {
		t.Errorf("a page that is none of a registry: %v", err)
	}
	for code, lasting := range map[int]bool{401: true, 403: true, 422: true, 408: false, 429: false, 500: false, 503: false, 307: false} {
		status = code
		refused, ok := errors.AsType[*RefusedError](c.Put(t.Context(), "users", "a", nil))
		if !ok || refused.Lasting() != lasting {
			t.Errorf("%d: %v", code, refused)
		}
	}
	status, body = 410, `{"code":"registry-compacted"}`
	if err := c.Watch(t.Context(), "x", func(Event) {}); !errors.Is(err, registry.ErrCompacted) {
		t.Error(err)
	}
}

// A registry, or what stands before it, closes a connection just when it is used again.
func TestAClosedConnectionIsNoFailure(t *testing.T) {
	asked := 0
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked%2 == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		}
	})
	for n, err := range []error{
		c.Heartbeat(t.Context(), "users", "a"), c.Heartbeat(t.Context(), "users", "a"), c.Put(t.Context(), "users", "a", []byte("{}")), c.Remove(t.Context(), "users", "a"),
	} {
		if err != nil {
			t.Errorf("call %d: %v", n, err)
		}
	}
	if asked != 7 {
		t.Errorf("it was asked %d times", asked)
	}
}

func TestAWatchThatFallsSilentEnds(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(`{"event":"reset"}`+"\n", 2))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	c.silence = time.Hour // until something was heard
	told := 0
	if err := c.Watch(t.Context(), "", func(Event) { told++; c.silence = 50 * time.Millisecond }); !errors.Is(err, errSilent) || told != 2 {
		t.Errorf("%v after %d events", err, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.silence = time.Hour
	if err := c.Watch(ctx, "", func(Event) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAWatchOfWhatIsNoRegistry(t *testing.T) {
	body := ""
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	for text, want := range map[string]string{
		"":                                      "EOF",
		"<html>\n":                              "no event",
		strings.Repeat("x", longestLine+1):      "too long",
		`{"event":"put","instance":{"id":"a"}}`: "service: is missing",
		`{"event":"put"}`:                       "cannot be read",
	} {
		body = text
		if err := c.Watch(t.Context(), "", func(Event) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// FuzzParseEvent holds that nothing that is sent breaks the reader.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"event":"put","revision":"x-1","instance":{"service":"users","id":"a","address":"10.0.0.9","port":9000}}`))
	f.Add([]byte(`{"event":"delete","revision":"x-1","service":"users","id":"a"}`))
	f.Add([]byte(`{"event":"synced","settled":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseEvent(line)
		if err == nil && e.Name == "put" && e.Unread == nil && (e.Entry.Instance == nil || !e.Entry.Address.IsValid()) {
			t.Fatalf("%+v", e)
		}
	})
}
