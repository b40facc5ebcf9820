package functions

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local"
)

// frameworkCommand is what npx would run.
var frameworkCommand = filepath.Join("node", "node_modules", ".bin", "functions-framework")

// googleNode starts a function of node/framework.cjs with Google's command for Node.js.
func googleNode(t *testing.T, log *await.Text, target, signature string) function.Backend {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs("node")
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{
		"FUNCTION_SOURCE": filepath.Join(folder, "framework.cjs"), "FUNCTION_SIGNATURE_TYPE": signature,
		"PATH": filepath.Dir(node) + string(os.PathListSeparator) + "/usr/bin:/bin", "NODE_OPTIONS": "--require " + filepath.Join(folder, "loopback.cjs"),
	}
	return startLogged(t, slog.New(slog.NewTextHandler(log, nil)), frameworkCommand, func(c *local.Config) {
		c.Handler, c.Init, c.Env = target, new(await.Patience), map[string]local.Value{}
		for name, value := range variables {
			c.Env[name] = local.Value{Secret: config.Secret{Template: secret.Template{Parts: []secret.Part{{Text: value}}}}}
		}
	})
}

func TestGoogleLibraryForNodeAnswers(t *testing.T) {
	b := googleNode(t, &await.Text{}, "hello", "http")
	if note := b.Status().Note; !strings.Contains(note, "contract http") {
		t.Errorf("the contract was guessed wrongly: %s", note)
	}
	r := request("/any/path?a=1", `{"tea":"green"}`)
	r.Header.Set("Content-Type", "application/json")
	res, text := whole(t, b, r)
	var got struct {
		Method, URL, Raw, Target string
		Body                     map[string]string
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if res.StatusCode != 201 || got.Method != http.MethodPost || got.URL != "/any/path?a=1" || got.Body["tea"] != "green" || got.Raw != `{"tea":"green"}` || got.Target != "hello" {
		t.Errorf("got %d %+v", res.StatusCode, got)
	}
	if res, text := whole(t, b, get("/stream")); text != "data: 1\n\ndata: 2\n\n" || !strings.HasPrefix(exchange.ResponseHead(res).Get("Content-Type"), "text/event-stream") {
		t.Errorf("a stream became %d %q", res.StatusCode, text)
	}
	if res, _ := whole(t, b, get("/throw")); res.StatusCode != 500 {
		t.Errorf("an error became %d; want the library's own 500", res.StatusCode)
	}
}

// Both forms in which CloudEvents arrive over HTTP (CloudEvents HTTP binding, sections 3.1 and 3.2).
func TestGoogleLibraryForNodeTakesCloudEvents(t *testing.T) {
	log := &await.Text{}
	b := googleNode(t, log, "ordered", "cloudevent")
	binary := func(id, kind string) *http.Request {
		r := request("/", `{"tea":"green"}`)
		for name, value := range map[string]string{"Content-Type": "application/json", "Ce-Id": id, "Ce-Source": "/orders", "Ce-Type": kind, "Ce-Specversion": "1.0"} {
			r.Header.Set(name, value)
		}
		return r
	}
	structured := request("/", `{"specversion":"1.0","id":"e-2","source":"/orders","type":"dev.shop.ordered","datacontenttype":"application/json","data":{"tea":"black"}}`)
	structured.Header.Set("Content-Type", "application/cloudevents+json")
	for name, test := range map[string]struct {
		r      *http.Request
		status int
		logged string
	}{
		"binary": {binary("e-1", "dev.shop.ordered"), 204, "e-1 from /orders: green"}, "structured": {structured, 204, "e-2 from /orders: black"},
		"one that it does not take": {binary("e-3", "dev.shop.paid"), 500, "no such event: dev.shop.paid"},
	} {
		t.Run(name, func(t *testing.T) {
			if res, text := whole(t, b, test.r); res.StatusCode != test.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, text, test.status)
			}
			await.That(t, "it is logged: "+test.logged, func() bool { return strings.Contains(log.String(), test.logged) })
		})
	}
}

// Operators can find what the command says about a function that does not exist.
func TestGoogleLibraryForNodeThatFindsNoFunction(t *testing.T) {
	log := &await.Text{}
	b := googleNode(t, log, "missing", "http")
	res, err := b.RoundTrip(get("/"))
	if err == nil {
		_ = res.Body.Close()
		t.Fatalf("got %d", res.StatusCode)
	}
	if !strings.Contains(log.String(), "missing") || !strings.Contains(b.Status().Problem, "missing") {
		t.Errorf("the status says %q, and the log\n%s", b.Status().Problem, log)
	}
}
