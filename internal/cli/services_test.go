package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/cli"
)

const (
	wellServices = `{"services": [
		{"name": "users", "source": "http://users:8080", "asks": "healthy", "asked": 1, "waiting": 0, "endpoints": [
			{"address": "10.0.0.1:8080", "zone": "a", "weight": 1, "state": "healthy", "asked": true, "since": "2026-11-28T09:00:00Z", "in_flight": 3, "latency_ms": 1.25},
			{"address": "10.0.0.2:8080", "weight": 1, "state": "ejected", "why": "5 failures in a row: status 503", "since": "2026-11-28T09:00:00Z", "ejected_until": "2026-11-28T09:00:30Z", "in_flight": 0, "latency_ms": 0},
			{"address": "10.0.0.3:8080", "weight": 1, "state": "ejected", "why": "refused", "proving": true, "since": "2026-11-28T09:00:00Z", "in_flight": 0, "latency_ms": 0}]},
		{"name": "http://stock:80", "source": "http://stock:80", "asks": "healthy", "asked": 0, "waiting": 0, "endpoints": []}]}`
	illService = `{"name": "a/b", "asks": "nobody", "asked": 0, "waiting": 2, "queued": 1, "breaker_open": true, "heard": {"kept": true}, "endpoints": [
		{"address": "10.0.0.1:8080", "weight": 1, "state": "unhealthy", "why": "status 503", "asked": false, "since": "2026-11-28T09:00:00Z", "in_flight": 0, "latency_ms": 0}]}`
	// A source that was never read, and that is told of in what would move a terminal's cursor.
	sickService = `{"name": "sick", "source": "file:x\u001b[2J", "asks": "healthy", "asked": 1, "heard": {"problem": "refused\n\u009b1m"}, "endpoints": [
		{"address": "10.0.0.1:8080\u202e", "state": "healthy", "asked": true, "since": "0001-01-01T00:00:00Z", "latency_ms": 1.25, "penalty_ms": 60000.4}]}`
)

func TestServices(t *testing.T) {
	var asked string
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RequestURI()
		switch asked {
		case "/v1/services":
			_, _ = w.Write([]byte(wellServices))
		case "/v1/services/sick":
			_, _ = w.Write([]byte(sickService))
		case "/v1/services/a%2Fb":
			_, _ = w.Write([]byte(illService))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"title": "There is no such service.", "code": "service-not-found"}`))
		}
	}))
	defer admin.Close()
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"services", 0, []string{
			"users: from http://users:8080, 1 of 3 endpoints asked\n",
			"  10.0.0.1:8080 (a)  healthy", "  3          1.2ms", "5 failures in a row: status 503; until ", "refused; the next request proves it",
			"\nhttp://stock:80: 0 of 0 endpoints asked\n", "  none\n",
		}},
		{"services --json", 0, []string{`"asks": "healthy"`}},
		{"services a/b", 2, []string{"a/b: 0 of 1 endpoint asked, no endpoint can be asked, 2 requests waiting, 1 request waiting for room, its breaker is open, endpoints from before the start", "unhealthy", "status 503"}},
		{"services a/b --json", 2, []string{`"asks": "nobody"`}},
		{"services c", 1, []string{"There is no such service."}},
		{"services sick", 0, []string{
			"sick: from file:x\\x1b[2J, 1 of 1 endpoint asked, never confirmed: refused\\n\\u009b1m\n",
			"never  0          1.2ms    it failed recently, which the balance counts as a latency of 1m0s\n", "10.0.0.1:8080\\u202e",
		}},
		{"services c --json --watch", 2, []string{"--json and --watch"}},
	} {
		var out bytes.Buffer
		args := append(strings.Fields(c.args), "--admin", strings.TrimPrefix(admin.URL, "http://"))
		if code := cli.Main(args, "test", cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}); code != c.code {
			t.Errorf("weir %s: exit %d\n%s", c.args, code, out.String())
		}
		for _, want := range c.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("weir %s does not say %q:\n%s", c.args, want, out.String())
			}
		}
	}
}

// What a gateway is told by others is printed without moving a terminal's cursor, and a time that
// never was is none.
func TestStatusPrintsNoControlCharacters(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/history" {
			_, _ = w.Write([]byte(`[{"digest": "ab", "from": "input", "serves": true}, {"digest": "cd", "from": "admin"}]`))
			return
		}
		_, _ = w.Write([]byte(`{"version": "v1", "digest": "ab", "source": "input", "input": "/dev/fd/63", "problems": ["a\u001b]0;b\u0007"],
			"heard": [{"kind": "keys", "of": "https://id\u001b[1m", "problem": "line\nbreak"}]}`))
	}))
	defer admin.Close()
	got := weir(false, "status", "--admin", strings.TrimPrefix(admin.URL, "http://"))
	for _, want := range []string{
		"serves        ab since never", "from          /dev/fd/63, as given to weir run\n",
		"history       ab from /dev/fd/63, never, serves\n              cd from admin, never\n", `  a\x1b]0;b\a` + "\n",
		`keys          https://id\x1b[1m: 0, never confirmed: line\nbreak` + "\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it does not say %q:\n%s", want, got.out)
		}
	}
	if strings.ContainsAny(got.out, "\x1b\a") {
		t.Errorf("%q", got.out)
	}
}
