package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// operator asks the admin API with its token.
type operator struct {
	t     *testing.T
	admin string
}

// answer is what the API gave, as far as the tests look at it.
type answer struct {
	status     int
	tag        string
	Code       string
	Digest     string
	Applied    any  // of an outcome whether, of the status when
	DryRun     bool `json:"dry_run"`
	Source     string
	Changes    []struct{ Kind, Name, What string }
	Problems   []string
	Bad        []struct{ File string }
	Hold       *struct{ By, Digest string }
	Refused    *struct{ Problems []string }
	Reloads    struct{ Applied, Partly, Refused int }
	everything string
}

func (o operator) ask(method, path, body string, header ...string) answer {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, "http://"+o.admin+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer right")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, tag: res.Header.Get("ETag"), everything: string(text)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && !strings.HasPrefix(string(text), "[") {
		if err := json.Unmarshal(text, &a); err != nil {
			o.t.Fatalf("%s: %v", text, err)
		}
	}
	return a
}

// expect asks and holds the status of the answer.
func (o operator) expect(status int, method, path, body string, header ...string) answer {
	o.t.Helper()
	a := o.ask(method, path, body, header...)
	if a.status != status {
		o.t.Fatalf("%s %s: got %d %s, want %d", method, path, a.status, a.everything, status)
	}
	return a
}

const withAdmin = "admin: { address: 127.0.0.1:0, token: right }\nroutes:\n  GET /: respond:"

func newOperator(t *testing.T) (*world, operator) {
	t.Helper()
	w := newWorld(t, withAdmin+"one\n")
	w.run()
	return w, operator{t, w.app.AdminAddress()}
}

func TestAConfigIsPutInPlaceOfTheFilesAndLetGoOf(t *testing.T) {
	w, o := newOperator(t)
	const other = "listen: 127.0.0.1:0\nroutes:\n  GET /: respond:put\n  GET /more: respond:more\n"
	first := o.expect(200, "GET", "/v1/config", "")

	o.expect(428, "PUT", "/v1/config", other)
	o.expect(400, "PUT", "/v1/config", other, "If-Match", "no-quotes")
	if a := o.expect(412, "PUT", "/v1/config", other, "If-Match", `"0123456789abcdef"`); a.tag != first.tag || a.Code != "config-changed" {
		t.Errorf("the digest of another: %+v", a)
	}
	if a := o.expect(422, "PUT", "/v1/config", "lisen: :1\n", "If-Match", first.tag); len(a.Problems) == 0 || !strings.Contains(a.Problems[0], `(admin API):1:1: unknown key "lisen"`) {
		t.Errorf("a mistake: %+v", a)
	}
	o.expect(413, "PUT", "/v1/config", "# "+strings.Repeat("x", 1<<20), "If-Match", "*")
	dry := o.expect(200, "PUT", "/v1/config?dry_run=true", other, "If-Match", first.tag)
	if dry.Applied != false || !dry.DryRun || dry.Hold != nil || len(dry.Changes) == 0 {
		t.Errorf("a dry run: %+v", dry)
	}
	if got := w.says("/"); got != "one" {
		t.Fatalf("nothing was changed yet, and it answers %q", got)
	}

	put := o.expect(200, "PUT", "/v1/config", other, "If-Match", first.tag)
	if put.Applied != true || put.Digest != dry.Digest || put.tag != `"`+put.Digest+`"` || put.Hold == nil || put.Hold.By != "admin API" {
		t.Errorf("put: %+v", put)
	}
	if got := w.says("/more"); got != "more" {
		t.Errorf("what was put answers %q", got)
	}
	if a := o.expect(200, "GET", "/v1/status", ""); a.Source != "admin API" || a.Hold == nil || a.Hold.Digest != put.Digest {
		t.Errorf("the status: %+v", a)
	}
	if a := o.expect(200, "POST", "/v1/reload", ""); a.Digest != put.Digest {
		t.Errorf("the files were read again, and are heard without having changed: %+v", a)
	}
	if a := o.expect(200, "DELETE", "/v1/config", ""); a.Hold != nil || `"`+a.Digest+`"` != first.tag {
		t.Errorf("let go of: %+v", a)
	}
	if got := w.says("/"); got != "one" {
		t.Errorf("back at the files, it answers %q", got)
	}
}

// A batch has far more bytes than a request's line may have.
func TestABatchIsExplainedByItsBody(t *testing.T) {
	w := newWorld(t, withAdmin+"one\n  POST /batch: { batch: true }\n")
	w.run()
	o := operator{t, w.app.AdminAddress()}
	const path = "/v1/explain?method=POST&url=/batch&header=Content-Type:application/json&format=text"
	large := `{"requests": [{"id": "large", "method": "POST", "url": "/", "body": "` + strings.Repeat("%", 64<<10) + `"}]}`
	for body, want := range map[string]string{
		large:                      "part \"large\": POST ",
		"":                         "answer     400 malformed-body",
		strings.Repeat(" ", 1<<20): "answer     400 malformed-body",
	} {
		if a := o.expect(200, "POST", path, body); !strings.Contains(a.everything, want) {
			t.Errorf("%d bytes: no %q in\n%s", len(body), want, a.everything)
		}
	}
	if a := o.expect(200, "GET", path, ""); strings.Contains(a.everything, "answer") {
		t.Errorf("a body that is not known:\n%s", a.everything)
	}
	if a := o.expect(413, "POST", path, strings.Repeat(" ", 1<<20+1)); a.Code != "body-too-large" || !strings.Contains(a.everything, "A body to explain has at most 1048576 bytes, and no batch of this configuration may have more.") {
		t.Errorf("too large: %s", a.everything)
	}
	o.expect(400, "GET", path+"&body=x", "")
}

// TestTheLargestBatchThatTheConfigAllowsIsExplained and none that is larger; nothing else that the
// admin API is sent may be as large.
func TestTheLargestBatchThatTheConfigAllowsIsExplained(t *testing.T) {
	w := newWorld(t, withAdmin+"one\n  POST /small: { batch: { body: 64KiB } }\n  POST /batch: { batch: { body: 3MiB } }\n  POST /other: { batch: true }\n")
	w.run()
	o := operator{t, w.app.AdminAddress()}
	const path = "/v1/explain?method=POST&header=Content-Type:application/json&format=text&url="
	batch := func(size int) string {
		begin, end := `{"requests": [{"id": "large", "method": "POST", "url": "/", "body": "`, `"}]}`
		return begin + strings.Repeat("%", size-len(begin)-len(end)) + end
	}
	for _, c := range []struct {
		url  string
		size int
		want string
	}{
		{"/batch", 3 << 20, "part \"large\": POST "},
		{"/other", 3 << 20, "The body may have at most 1048576 bytes."},
		{"/small", 64<<10 + 1, "The body may have at most 65536 bytes."},
	} {
		if a := o.expect(200, "POST", path+c.url, batch(c.size)); !strings.Contains(a.everything, c.want) {
			t.Errorf("%d bytes to %s: no %q in\n%s", c.size, c.url, c.want, a.everything)
		}
	}
	if a := o.expect(413, "POST", path+"/batch", batch(3<<20+1)); a.Code != "body-too-large" || !strings.Contains(a.everything, "A body to explain has at most 3145728 bytes, and no batch of this configuration may have more.") {
		t.Errorf("too large: %s", a.everything)
	}
	o.expect(413, "PUT", "/v1/config", "# "+strings.Repeat("x", 1<<20), "If-Match", "*")
	w.write(withAdmin + "one\n  POST /batch: { batch: true }\n")
	await.That(t, "the limit is that of the config that serves now", func() bool {
		a := o.ask("POST", path+"/batch", batch(2<<20))
		return a.status == 413 && strings.Contains(a.everything, "1048576 bytes")
	})
}

func TestTheFilesAreHeardAgainWhenTheyChange(t *testing.T) {
	w, o := newOperator(t)
	o.expect(200, "PUT", "/v1/config", "listen: 127.0.0.1:0\nroutes:\n  GET /: respond:put\n", "If-Match", "*")
	w.write(withAdmin + "two\n")
	w.awaits("/", "two")
	await.That(t, "the status says so", func() bool { // which is noted once it serves
		a := o.expect(200, "GET", "/v1/status", "")
		return a.Source == "input" && a.Hold == nil
	})
}

func TestRollbackOverTheAPI(t *testing.T) {
	w, o := newOperator(t)
	first := o.expect(200, "GET", "/v1/status", "").Digest
	w.write(withAdmin + "two\n")
	second := first
	await.That(t, "the status names what serves now", func() bool { // a moment after it serves
		second = o.expect(200, "GET", "/v1/status", "").Digest
		return second != first
	})
	if a := o.expect(200, "POST", "/v1/rollback", ""); a.Digest != first || a.Hold == nil || a.Hold.By != "rollback" || len(a.Changes) != 1 || a.Changes[0].Name != "GET /" {
		t.Errorf("one step: %+v", a)
	}
	if got := w.says("/"); got != "one" {
		t.Errorf("it answers %q", got)
	}
	if a := o.expect(404, "POST", "/v1/rollback", ""); a.Code != "config-not-kept" {
		t.Errorf("before the first: %+v", a)
	}
	o.expect(404, "POST", "/v1/rollback?to=ffffffff", "")
	if a := o.expect(200, "GET", "/v1/history", ""); !strings.Contains(a.everything, first) || !strings.Contains(a.everything, second) {
		t.Errorf("the history: %s", a.everything)
	}
	if a := o.expect(200, "GET", "/v1/history/"+second+"?format=elements", ""); !strings.Contains(a.everything, "two") {
		t.Errorf("one of the history: %s", a.everything)
	}
	o.expect(404, "GET", "/v1/history/ffffffff", "")
	o.expect(400, "GET", "/v1/config?format=xml", "")
	o.expect(200, "POST", "/v1/rollback?to="+second[:8], "")
	if got := w.says("/"); got != "two" {
		t.Errorf("to a digest: %q", got)
	}
}

func TestTheStatusNamesBadFiles(t *testing.T) {
	w := newWorld(t, withAdmin+"one\n")
	folder := filepath.Dir(w.path)
	team := filepath.Join(folder, "team.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(team, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("routes:\n  GET /team: respond:team\n")
	w.path = folder
	w.run()
	o := operator{t, w.app.AdminAddress()}
	write("routes:\n  GET /team: {}\n")
	await.That(t, "the bad file is told", func() bool { // and counted a moment later
		a := o.ask("GET", "/v1/status", "")
		return len(a.Bad) == 1 && a.Reloads.Refused > 0
	})
	if a := o.expect(200, "GET", "/v1/status", ""); a.Bad[0].File != team || a.Reloads.Applied != 1 {
		t.Errorf("the status: %+v", a)
	}
	if got := w.says("/team"); got != "team" {
		t.Errorf("it answers %q", got)
	}
}
