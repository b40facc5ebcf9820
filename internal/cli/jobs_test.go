package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/cli"
)

func TestJobs(t *testing.T) {
	const list = `{"all": 3, "jobs": [
		{"id": "b2", "kind": "route", "lane": "POST /b", "about": "POST /b", "state": "dead", "reason": "status 500", "attempts": 3, "failures": 3, "created": "2026-11-28T09:00:00Z", "ended": "2026-11-28T09:01:00Z"},
		{"id": "a1", "kind": "route", "lane": "POST /a", "about": "POST /a", "state": "queued", "attempts": 0, "created": "2026-11-28T08:00:00Z"}]}`
	var asked []string
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		switch {
		case r.URL.Path == "/v1/jobs":
			_, _ = w.Write([]byte(list))
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case strings.HasPrefix(r.URL.Path, "/v1/jobs/none"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"title": "There is no such job.", "code": "job-not-found"}`))
		default:
			_, _ = w.Write([]byte(`{"id": "b2", "kind": "route", "lane": "POST /b", "state": "dead", "attempts": 3, "failures": 2, "created": "2026-11-28T09:00:00Z"}`))
		}
	}))
	defer admin.Close()
	for _, c := range []struct {
		args  string
		code  int
		says  []string
		asked []string
	}{
		{"jobs", 0, []string{"b2  dead", "status 500", "a1  queued", "and 1 more"}, []string{"GET /v1/jobs?limit=20"}},
		{"jobs list --state dead --route /b --limit 5", 0, []string{"b2"}, []string{"GET /v1/jobs?lane=%2Fb&limit=5&state=dead"}},
		{"jobs list --json", 0, []string{`"all": 3`}, nil},
		{"jobs show b2", 0, []string{"state     dead", "attempts  3, of which 2 count as failures", "route     POST /b"}, []string{"GET /v1/jobs/b2"}},
		{"jobs show none", 1, []string{"There is no such job."}, nil},
		{"jobs retry b2 a1", 0, []string{"2 jobs queued again"}, []string{"POST /v1/jobs/b2/retry", "POST /v1/jobs/a1/retry"}},
		{"jobs cancel --state queued", 0, []string{"1 job cancelled"}, []string{"GET /v1/jobs?limit=10000&state=queued", "POST /v1/jobs/a1/cancel"}},
		{"jobs retry --route /b", 0, []string{"1 job queued again; 1 job left unchanged, because retry does not apply"}, []string{"GET /v1/jobs?lane=%2Fb&limit=10000", "POST /v1/jobs/b2/retry"}},
		{"jobs drop b2", 0, []string{"1 job deleted"}, []string{"DELETE /v1/jobs/b2"}},
		{"jobs drop", 2, []string{"name jobs by their ids"}, []string{}},
		{"jobs retry b2 --state dead", 2, []string{"name jobs by their ids"}, []string{}},
		{"jobs retry none", 1, []string{"job none: There is no such job."}, nil},
	} {
		asked = nil
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
		if c.asked != nil && !slices.Equal(asked, c.asked) {
			t.Errorf("weir %s asked %q", c.args, asked)
		}
	}
}
