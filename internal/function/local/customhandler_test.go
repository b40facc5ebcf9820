package local

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function"
)

// app writes an Azure Functions app whose handler is testdata/custom. files are
// those of the app beside its host.json; @PROGRAM@ in any of them is the program's path.
func app(tb testing.TB, host string, files map[string]string) string {
	tb.Helper()
	folder := tb.TempDir()
	program := filepath.ToSlash(testFunction(tb, "custom"))
	write := func(name, text string) {
		path := filepath.Join(folder, filepath.FromSlash(name))
		must(tb, os.MkdirAll(filepath.Dir(path), 0o700))
		must(tb, os.WriteFile(path, []byte(strings.ReplaceAll(text, "@PROGRAM@", program)), 0o600))
	}
	write("host.json", host)
	for name, text := range files {
		write(name, text)
	}
	return folder
}

const (
	payloadHost = `{
  "version": "2.0", // as all are
  "customHandler": { "description": { "defaultExecutablePath": "@PROGRAM@" } }
}`
	forwardHost = `{
  "version": "2.0",
  "customHandler": { "description": { "defaultExecutablePath": "@PROGRAM@" }, "enableForwardingHttpRequest": true }
}`
	inAndOut = `{"type":"http","direction":"out","name":"res"}`
)

// trigger makes a function.json of an httpTrigger with those fields and of more bindings.
func trigger(fields string, more ...string) string {
	bindings := append([]string{`{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous"` + fields + `}`}, more...)
	return `{"bindings":[` + strings.Join(bindings, ",") + `]}`
}

func startApp(tb testing.TB, log *records, folder string, change func(*Config)) *gateway {
	tb.Helper()
	return serve(tb, start(tb, log, func(c *Config) {
		c.Run = folder
		change(c)
	}))
}

func TestCustomHandlerIsPostedThePayload(t *testing.T) {
	g := startApp(t, &records{}, app(t, payloadHost, map[string]string{
		"Echo/function.json": trigger(`,"methods":["post"],"route":"echo/{id:int}/{more?}"`, inAndOut),
	}), unchanged)
	got := g.post(t, "/api/echo/7?x=1&x=2&y=%20", "hello")
	if got.status != 201 || got.header.Get("Content-Type") != "application/json" || got.header.Get("X-Invocation") == "" {
		t.Fatalf("got %+v", got)
	}
	posted := decode[struct {
		Data struct {
			Req map[string]any `json:"req"`
		}
		Metadata map[string]any
	}](t, got)
	headers := posted.Data.Req["Headers"].(map[string]any)
	delete(posted.Data.Req, "Headers")
	want := `{"Body":"hello","Identities":[{"Actor":null,"AuthenticationType":null,"BootstrapContext":null,"Claims":[],"IsAuthenticated":false,` +
		`"Label":null,"Name":null,"NameClaimType":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",` +
		`"RoleClaimType":"http://schemas.microsoft.com/ws/2008/06/identity/claims/role"}],"Method":"POST","Params":{"id":"7","more":null},` +
		`"Query":{"x":"1,2","y":" "},"Url":"` + g.URL + `/api/echo/7?x=1&x=2&y=%20"}`
	if have, _ := json.Marshal(posted.Data.Req); strings.ReplaceAll(string(have), `\u0026`, "&") != want {
		t.Errorf("the request in the payload is\n%s\nwant\n%s", have, want)
	}
	if have, _ := json.Marshal(headers["Content-Type"]); string(have) != `["text/plain"]` {
		t.Errorf("Content-Type is %s", have)
	}
	sys := posted.Metadata["sys"].(map[string]any)
	if sys["MethodName"] != "Echo" || len(sys["RandGuid"].(string)) != 36 || posted.Metadata["id"] != "7" {
		t.Errorf("the metadata are %v", posted.Metadata)
	}
	if _, err := time.Parse(time.RFC3339, sys["UtcNow"].(string)); err != nil {
		t.Error(err)
	}
}

func TestCustomHandlerOutputsAndLogs(t *testing.T) {
	log := &records{}
	g := startApp(t, log, app(t, payloadHost, map[string]string{
		"Order/function.json":   trigger(`,"methods":["post"]`, inAndOut, `{"type":"queue","direction":"out","name":"message","queueName":"orders"}`),
		"Returns/function.json": trigger("", `{"type":"http","direction":"out","name":"$return"}`),
	}), unchanged)
	if got := g.post(t, "/api/order", `{"id":1005}`); got.status != 200 || got.body != "Order enqueued" || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %+v", got)
	}
	for _, line := range []string{"an order has come", "and is done"} {
		if found := log.find(line); len(found) != 1 || found[0]["name"] != "Order" || found[0]["request"] != "id-of/api/order" {
			t.Errorf("the line %q is %v", line, found)
		}
	}
	if found := log.find(`the function sent "message", and nothing here takes what is for a queue`); len(found) != 1 || found[0]["value"] != `"{\"id\":1005}"` {
		t.Errorf("what was sent to the queue is %v", found)
	}
	if got := g.get(t, "/api/returns"); got.status != 202 || got.body != "returned" {
		t.Errorf("got %+v", got)
	}
}

func TestCustomHandlerIsForwardedTheRequest(t *testing.T) {
	for mode, host := range map[string]string{
		"forwarding": forwardHost,
		"proxying":   strings.Replace(forwardHost, "enableForwardingHttpRequest", "enableProxyingHttpRequest", 1),
		"http":       strings.Replace(forwardHost, `"enableForwardingHttpRequest": true`, `"http": { "enableProxying": true }`, 1),
	} {
		t.Run(mode, func(t *testing.T) {
			g := startApp(t, &records{}, app(t, host, map[string]string{
				"Items/function.json": trigger(`,"route":"items/{*path}"`, inAndOut),
				"Order/function.json": trigger("", inAndOut, `{"type":"queue","direction":"out","name":"message"}`),
			}), unchanged)
			got := decode[struct {
				Method, Target, Body string
				Headers              http.Header
			}](t, g.post(t, "/api/items/a%2Fb/c?x=1&y", "hello"))
			if got.Method != "POST" || got.Target != "/api/items/a%2Fb/c?x=1&y" || got.Body != "hello" {
				t.Errorf("the handler saw %+v", got)
			}
			for _, name := range []string{"X-Ms-Invocation-Id", "X-Azure-Functions-Invocationid", "X-Azure-Functions-Hostversion"} {
				if got.Headers.Get(name) == "" {
					t.Errorf("%s is missing", name)
				}
			}
			// A function with another output needs the payload, whatever host.json says.
			if got := g.post(t, "/api/order", "{}"); got.body != "Order enqueued" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestClientsCannotSayWhoAzureTookThemFor(t *testing.T) {
	g := startApp(t, &records{}, app(t, forwardHost, map[string]string{"Items/function.json": trigger("", inAndOut)}), unchanged)
	r, err := http.NewRequest(http.MethodGet, g.URL+"/api/items", nil)
	must(t, err)
	r.Header.Set("X-Ms-Client-Principal-Name", "root")
	r.Header.Set("X-Ms-Token-Aad-Access-Token", "made up")
	r.Header.Set("X-Ms-Other", "stays")
	res, err := g.Client().Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	var got struct{ Headers http.Header }
	must(t, json.NewDecoder(res.Body).Decode(&got))
	if got.Headers.Get("X-Ms-Client-Principal-Name")+got.Headers.Get("X-Ms-Token-Aad-Access-Token") != "" || got.Headers.Get("X-Ms-Other") == "" {
		t.Errorf("the handler saw %v", got.Headers)
	}
}

func TestCustomHandlerEnvironment(t *testing.T) {
	folder := app(t, `{
  "version": "2.0",
  "customHandler": {
    "description": {
      "defaultExecutablePath": "@PROGRAM@", "workingDirectory": "inside",
      "arguments": ["--table", "%TABLE%", "%CONFIGURED%", "%UNKNOWN%"]
    },
    "enableForwardingHttpRequest": true
  }
}`, map[string]string{
		"env/function.json":   trigger("", inAndOut),
		"inside/keep.txt":     "",
		"local.settings.json": `{"IsEncrypted": false, "Values": {"TABLE": "orders", "CONFIGURED": "by the file"}}`,
	})
	g := startApp(t, &records{}, folder, func(c *Config) {
		c.Env, c.Args = env(t, "CONFIGURED", "by weir"), []string{"--more"}
	})
	got := decode[struct {
		Env, Args []string
		Dir       string
	}](t, g.get(t, "/api/env"))
	if !slices.Equal(got.Args, []string{"--table", "orders", "by weir", "%UNKNOWN%", "--more"}) {
		t.Errorf("the arguments are %q", got.Args)
	}
	if resolved, err := filepath.EvalSymlinks(filepath.Join(folder, "inside")); err != nil || got.Dir != resolved {
		t.Errorf("the working folder is %s, want %s, %v", got.Dir, resolved, err)
	}
	all := "\n" + strings.Join(got.Env, "\n") + "\n"
	for _, want := range []string{
		"\nFUNCTIONS_CUSTOMHANDLER_PORT=", "\nFUNCTIONS_HTTPWORKER_PORT=", "\nFUNCTIONS_CUSTOMHANDLER_WORKER_ID=", "\nFUNCTIONS_HTTPWORKER_ID=",
		"\nFUNCTIONS_WORKER_RUNTIME=custom\n", "\nAzureWebJobsScriptRoot=" + folder + "\n", "\nFUNCTIONS_APP_ROOT_PATH=" + folder + "\n",
		"\nAZURE_FUNCTIONS_ENVIRONMENT=Development\n", "\nTABLE=orders\n", "\nCONFIGURED=by weir\n",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the environment lacks %q:%s", want, all)
		}
	}
}

func TestCustomHandlerRoutesAreTheApps(t *testing.T) {
	log := &records{}
	g := startApp(t, log, app(t, payloadHost, map[string]string{
		"Echo/function.json":   trigger(`,"methods":["get"]`, inAndOut),
		"Timer/function.json":  `{"bindings":[{"type":"timerTrigger","direction":"in","name":"tick"}]}`,
		"Off/function.json":    `{"disabled":true,` + trigger("", inAndOut)[1:],
		"Locked/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},` + inAndOut + `]}`,
	}), unchanged)
	if got := g.get(t, "/api/ECHO"); got.status != 201 {
		t.Errorf("got %+v", got)
	}
	wantProblem(t, g.get(t, "/api/nothing"), 404, "route-not-found")
	wantProblem(t, g.get(t, "/echo"), 404, "route-not-found")
	wantProblem(t, g.get(t, "/api/off"), 404, "route-not-found")
	wantProblem(t, g.post(t, "/api/echo", "x"), 405, "method-not-allowed")
	if found := log.find("a function of the app is not served"); len(found) != 2 || found[0]["name"] != "Off" || found[1]["reason"] != "it is called by a timerTrigger, and only HTTP calls functions here" {
		t.Errorf("the log tells %v", found)
	}
	if found := log.find("functions of the app ask for no key here, whatever their authLevel: put auth on their routes"); len(found) != 1 || found[0]["names"] != "Locked" {
		t.Errorf("the log tells %v", found)
	}
}

// onlyPart is one function of an app, as a route names it.
type onlyPart struct {
	function.Backend
	http.RoundTripper
}

func (p onlyPart) RoundTrip(r *http.Request) (*http.Response, error) {
	exchange.Of(r).Params.Add("id", r.Header.Get("X-Request-Id")[len("id-of/"):])
	return p.RoundTripper.RoundTrip(r) //nolint:wrapcheck // the part's own
}

func TestARouteMayNameAFunctionOfAnApp(t *testing.T) {
	b := start(t, &records{}, func(c *Config) {
		c.Run = app(t, forwardHost, map[string]string{
			"Item/function.json":  trigger(`,"route":"items/{id}","methods":["get"]`, inAndOut),
			"Other/function.json": trigger("", inAndOut),
		})
	})
	item, err := b.(function.Parted).Part("item")
	must(t, err)
	g := serve(t, onlyPart{b, item})
	for path, target := range map[string]string{"/api/items/7": "/api/items/7", "/a b": "/api/items/a%20b"} {
		got := decode[struct{ Target string }](t, g.get(t, strings.ReplaceAll(path, " ", "%20")))
		if path == "/a b" {
			target = "/api/items/a%2520b" // what the test captures is not decoded
		}
		if got.Target != target {
			t.Errorf("%s is sent to %s, want %s", path, got.Target, target)
		}
	}
	wantProblem(t, g.post(t, "/api/items/7", "x"), 405, "method-not-allowed")
	if _, err := b.(function.Parted).Part("missing"); err == nil || !strings.Contains(err.Error(), "it has Item, Other") {
		t.Errorf("the error is %v", err)
	}
}

func TestCustomHandlerFailuresAreProblems(t *testing.T) {
	names := []string{"Fails", "Babbles", "Stalls", "Exits", "Floods"}
	files := map[string]string{"Echo/function.json": trigger("", inAndOut)}
	for _, name := range names {
		files[name+"/function.json"] = trigger("", inAndOut)
	}
	folder := app(t, payloadHost, files)
	g := startApp(t, &records{}, folder, func(c *Config) { c.Timeout = time.Minute })
	wantProblem(t, g.post(t, "/api/fails", "x"), 502, "function-error")
	wantProblem(t, g.post(t, "/api/babbles", "x"), 502, "function-invalid-response")
	wantProblem(t, g.post(t, "/api/floods", "x"), 502, "function-invalid-response")
	wantProblem(t, g.post(t, "/api/exits", "x"), 502, "function-crashed")
	wantProblem(t, g.post(t, "/api/echo", strings.Repeat("x", 7<<20)), 413, "function-payload-too-large")
	if got := g.post(t, "/api/echo", "alive"); got.status != 201 {
		t.Errorf("afterwards it answers %+v", got)
	}
	impatient := startApp(t, &records{}, folder, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	wantProblem(t, impatient.post(t, "/api/stalls", "x"), 504, "function-timeout") // amid the answer
}

func TestCustomHandlerStreams(t *testing.T) {
	g := startApp(t, &records{}, app(t, forwardHost, map[string]string{"stream/function.json": trigger("", inAndOut)}), unchanged)
	if got := g.get(t, "/api/stream"); got.body != "piece 0\npiece 1\npiece 2\n" {
		t.Errorf("got %+v", got)
	}
}

// An app as Go developers have it: the source beside host.json, the handler not built.
func TestCustomHandlerInGoIsBuilt(t *testing.T) {
	ownCache(t)
	source, err := os.ReadFile("testdata/custom/main.go")
	must(t, err)
	folder := app(t, `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`, map[string]string{
		"handler.go": string(source), "go.mod": "module example.com/handler\n\ngo 1.26\n", "Echo/function.json": trigger("", inAndOut),
	})
	g := startApp(t, &records{}, folder, func(c *Config) { c.Queue.Wait = time.Minute })
	if got := g.post(t, "/api/echo", "built"); got.status != 201 {
		t.Errorf("got %+v", got)
	}
	if note := g.Status().Note; !strings.Contains(note, "contract azure") || !strings.Contains(note, "the Go program in it") {
		t.Errorf("the status says %q", note)
	}
}

func TestACommandThatIsMissingIsNamed(t *testing.T) {
	folder := app(t, `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"no-such-interpreter","arguments":["server.js"]}}}`,
		map[string]string{"Echo/function.json": trigger("", inAndOut)})
	g := startApp(t, &records{}, folder, unchanged)
	wantProblem(t, g.get(t, "/api/echo"), 503, "function-init-failed")
	if problem := g.Status().Problem; !strings.Contains(problem, "there is no no-such-interpreter here") {
		t.Errorf("the status says %q", problem)
	}
}

func TestAnAppsOwnTimesCount(t *testing.T) {
	folder := app(t, `{"version":"2.0","functionTimeout":"00:00:05","customHandler":{"description":{"defaultExecutablePath":"@PROGRAM@"}}}`,
		map[string]string{"Echo/function.json": trigger("", inAndOut)})
	c := defaults()
	c.Run = folder
	found, err := c.find("", "app")
	must(t, err)
	for configured, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Minute: 5 * time.Second} {
		c.Timeout = configured
		if got := c.times(found); got.invoke != want || got.init != time.Minute {
			t.Errorf("with timeout %v the times are %v", configured, *got)
		}
	}
}

// Apps as their developers have them in other languages: the interpreter is named,
// and the script is its argument.
func TestCustomHandlerInAnInterpretedLanguage(t *testing.T) {
	const node = `
const http = require('http');
http.createServer((request, response) => {
  let text = '';
  request.on('data', piece => text += piece).on('end', () => {
    const { Data: { req } } = JSON.parse(text);
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ Outputs: { res: { statusCode: 201, body: 'node got ' + req.Body + ' by ' + request.url } }, Logs: ['from node'] }));
  });
}).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1');
`
	const python = `
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        req = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Data"]["req"]
        body = json.dumps({"Outputs": {"res": {"statusCode": 201, "body": "python got " + req["Body"] + " by " + self.path}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self):
        self.send_error(404)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), Handler).serve_forever()
`
	for command, script := range map[string]string{"node": node, "python3": python} {
		t.Run(command, func(t *testing.T) {
			if _, err := exec.LookPath(command); err != nil {
				t.Skip(err)
			}
			folder := app(t, `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"`+command+`","arguments":["server.txt"]}}}`,
				map[string]string{"Echo/function.json": trigger("", inAndOut), "server.txt": script})
			g := startApp(t, &records{}, folder, func(c *Config) { c.Queue.Wait = time.Minute })
			if got := g.post(t, "/api/echo", "hello"); got.status != 201 || got.body != strings.TrimSuffix(command, "3")+" got hello by /Echo" {
				t.Errorf("got %+v; %s", got, g.Status().Problem)
			}
		})
	}
}

func TestWhatIsCutIsCutBetweenCharacters(t *testing.T) {
	for _, test := range []struct {
		text string
		most int
		want string
	}{{"tea", 3, "tea"}, {"teas", 3, "tea"}, {"té", 2, "t"}, {"té", 3, "té"}, {"\u2014\u2014", 5, "\u2014"}, {"\x80\x80\x80", 2, ""}} {
		if got := begin(test.text, test.most); got != test.want {
			t.Errorf("%q within %d is %q, want %q", test.text, test.most, got, test.want)
		}
	}
}
