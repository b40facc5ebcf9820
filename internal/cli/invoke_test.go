//go:build !windows

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/cli"
)

// invokable makes a folder with a config of the test functions of package local.
func invokable(t *testing.T) {
	t.Helper()
	functions := builtFunctions(t)
	t.Chdir(t.TempDir())
	text := `listen: :8080
auth:
  customer:
    jwt: https://id.example.com/
    audience: shop
routes:
  ANY /api/{what}:
    auth: customer
    strip: /api
    to: fn:orders
  ANY /web/**:
    strip: /web
    to: web
functions:
  orders:
    run: ` + functions + `/lambda
    contract: lambda
    scale: { min: 3 }
  web:
    run: ` + functions + `/web
  app:
    run: ./app
  broken:
    run: ` + functions + `/lambda
    contract: lambda
    env: { INIT: error }
groups:
  team:
    functions:
      loud: { run: ` + functions + `/lambda, contract: lambda }
`
	for name, text := range map[string]string{
		"weir.yaml":     text,
		"app/host.json": `{"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "` + functions + `/custom"}}}`,
		"app/Returns/function.json": `{"bindings": [{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "route": "returns"},
			{"type": "http", "direction": "out", "name": "$return"}]}`,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// builtFunctions is a folder with the programs lambda, web and custom.
func builtFunctions(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(os.Getenv("XDG_STATE_HOME"), "functions") // removed after all tests
	for _, name := range []string{"lambda", "web", "custom"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			continue
		}
		build := exec.Command("go", "build", "-o", folder+"/", "../function/local/testdata/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return folder
}

// unsteady is what differs from one run to the next.
var unsteady = regexp.MustCompile(`(RequestId: )[0-9a-f-]{36}|\d+\.\d\d ms|Used: \d+ MB`)

func TestInvoke(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	invokable(t)
	if err := os.WriteFile("event.json", []byte(`{"rawPath":"/any","body":"from a file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	report := "REPORT RequestId: ID\tDuration: T\tInit Duration: T\tMemory Size: 128 MB"
	for name, c := range map[string]struct {
		args []string
		in   string
		want result // out and err are what they must hold
	}{
		"a payload":              {args: []string{"orders", "--data", `{"body":"hello"}`}, want: result{0, `{"body":"hello","statusCode":200}` + "\n", report}},
		"no payload":             {args: []string{"orders"}, want: result{0, `{"body":"","statusCode":200}` + "\n", report}},
		"a payload of a file":    {args: []string{"orders", "--event", "event.json"}, want: result{0, `"from a file"`, report}},
		"data of a file":         {args: []string{"orders", "-d", "@event.json"}, want: result{0, `"from a file"`, report}},
		"data of standard input": {args: []string{"orders", "-d", "-"}, in: `{"body":"piped"}`, want: result{0, `"piped"`, report}},
		"a stream":               {args: []string{"orders", "-d", `{"rawPath":"/stream-raw"}`}, want: result{0, "first second", report}},
		"a stream that fails":    {args: []string{"orders", "-d", `{"rawPath":"/stream-error"}`}, want: result{1, "first ", "weir: function-error"}},
		"its output":             {args: []string{"team/loud", "-d", `{"rawPath":"/loud"}`}, want: result{0, `"loud"` + "\n", "one\n"}},
		"an error":               {args: []string{"orders", "-d", `{"rawPath":"/error"}`}, want: result{1, `{"errorType":"OrderError","errorMessage":"no such order"}` + "\n", "weir: function-error: OrderError: no such order"}},
		"a crash":                {args: []string{"orders", "-d", `{"rawPath":"/crash"}`}, want: result{1, "", "about to crash"}},
		"an error at its start":  {args: []string{"broken"}, want: result{1, `{"errorType":"Runtime.ImportModuleError","errorMessage":"no such module"}`, "weir: function-init-failed"}},
		"a response":             {args: []string{"web", "/web/x?a=1", "-d", "body", "-i"}, want: result{0, "X-Agent: []\nX-Target: localhost/x?a=1\n\nbody", "REPORT RequestId: ID\tDuration: T\tInit Duration: T"}},
		"data for requests":      {args: []string{"web", "-d", "body"}, want: result{0, "body", "no route leads POST / to web, so the request is sent unchanged"}},
		"a crash amid a request": {args: []string{"web", "/web/crash", "-i"}, want: result{1, "HTTP/1.1 502 Bad Gateway\n", "weir: function-crashed"}},
		"one of an app":          {args: []string{"app/Returns", "/anywhere", "-i"}, want: result{0, "HTTP/1.1 202 Accepted\n", "REPORT"}},
		"an app by its routes":   {args: []string{"app", "/api/returns"}, want: result{0, "returned", "REPORT"}},
		"none of an app":         {args: []string{"app/Return", "/x"}, want: result{2, "", `"Return" names a function within "app"`}},
		"no app":                 {args: []string{"web/x"}, want: result{2, "", `"x" names a function within "web"`}},
		"an unknown name":        {args: []string{"order"}, want: result{2, "", `weir: there is no function "order"; did you mean "orders"?`}},
		"a name far off":         {args: []string{"nothing-like-it"}, want: result{2, "", "there are: app, broken, orders, team/loud, web"}},
		"no JSON":                {args: []string{"orders", "-d", "hello"}, want: result{2, "", `--data: a payload must be JSON, and this is not`}},
		"a file that is no JSON": {args: []string{"orders", "-e", "weir.yaml"}, want: result{2, "", `--event: a payload must be JSON, and this is not`}},
		"no such file":           {args: []string{"orders", "-d", "@none.json"}, want: result{2, "", "weir: --data: open none.json"}},
		"no such event":          {args: []string{"orders", "-e", "none.json"}, want: result{2, "", "weir: --event: open none.json"}},
		"no such config":         {args: []string{"-c", "none.yaml", "orders"}, want: result{1, "", "none.yaml"}},
		"a path and a payload":   {args: []string{"orders", "/x", "--event", "event.json"}, want: result{2, "", "write --event http, or leave them out"}},
		"a header and a payload": {args: []string{"orders", "-H", "A: b"}, want: result{2, "", "weir invoke orders GET /"}},
		"two payloads":           {args: []string{"orders", "-e", "event.json", "-d", "{}"}, want: result{2, "", "--event FILE and --data both set the payload; use only one of them"}},
		"an ambiguous path":      {args: []string{"web", "/a/%2e%2e/b"}, want: result{2, "", "/a/%2e%2e/b: "}},
		"no path":                {args: []string{"web", "GET", "x"}, want: result{2, "", `"x" is no URL`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := invokeWith(c.in, c.args...)
			if got.code != c.want.code || !strings.Contains(got.out, c.want.out) || !strings.Contains(got.err, c.want.err) || c.want.out == "" && got.out != "" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func invokeWith(in string, args ...string) result {
	var out, err bytes.Buffer
	code := cli.Main(append([]string{"invoke"}, args...), "v0.0.0-test", cli.Streams{In: strings.NewReader(in), Out: &out, Err: &err})
	text := unsteady.ReplaceAllStringFunc(err.String(), func(s string) string {
		switch {
		case strings.HasPrefix(s, "RequestId"):
			return "RequestId: ID"
		case strings.HasSuffix(s, " ms"):
			return "T"
		}
		return "Used: M"
	})
	return result{code, out.String(), text}
}

// TestInvokeMakesTheGatewaysEvent holds that the function sees of a request what it
// would see behind its route, whatever that asks of callers.
func TestInvokeMakesTheGatewaysEvent(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	invokable(t)
	got := invokeWith("", "orders", "PUT", "/api/event?a=1&a=2", "-H", "Cookie: c=1; d=2", "-H", "X-Tenant: shop", "-H", "X-Forwarded-For: 192.0.2.1",
		"-d", `{"id":7}`, "--as", `{"sub":"ada","scope":"orders:read","age":7}`)
	var event struct {
		RouteKey, RawPath, RawQueryString, Body string
		Cookies                                 []string
		Headers, QueryStringParameters          map[string]string
		PathParameters                          map[string]string
		RequestContext                          struct {
			HTTP       struct{ Method, Path, SourceIP string }
			Authorizer struct {
				JWT struct {
					Claims map[string]string
					Scopes []string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(got.out), &event); err != nil || got.code != 0 {
		t.Fatalf("%v: %s", err, got)
	}
	c := event.RequestContext
	for what, pair := range map[string][2]string{
		"routeKey": {event.RouteKey, "ANY /api/{what}"}, "rawPath": {event.RawPath, "/event"}, "query": {event.RawQueryString, "a=1&a=2"}, "parameter": {event.QueryStringParameters["a"], "1,2"},
		"pathParameters": {event.PathParameters["what"], "event"}, "cookies": {strings.Join(event.Cookies, "|"), "c=1|d=2"}, "header": {event.Headers["x-tenant"], "shop"},
		"content type": {event.Headers["content-type"], "application/json"}, "forwarded": {event.Headers["x-forwarded-for"], "127.0.0.1"}, "host": {event.Headers["host"], "localhost"},
		"body": {event.Body, `{"id":7}`}, "method": {c.HTTP.Method, "PUT"}, "source": {c.HTTP.SourceIP, "127.0.0.1"}, "claim": {c.Authorizer.JWT.Claims["age"], "7"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, not %q", what, pair[0], pair[1])
		}
	}
}

// TestInvokeDoesNotWaitForDataForGood holds that reading what to send can be interrupted.
func TestInvokeDoesNotWaitForDataForGood(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	invokable(t)
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"-", "@pipe"} {
		t.Run(data, func(t *testing.T) {
			weir := exec.Command(os.Args[0], "invoke", "orders", "--data", data)
			weir.Env = append(os.Environ(), asWeir+"=1")
			in, err := weir.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			var told bytes.Buffer
			weir.Stderr = &told
			if err := weir.Start(); err != nil {
				t.Fatal(err)
			}
			stuck := time.AfterFunc(time.Minute, func() { _ = weir.Process.Kill() })
			defer stuck.Stop()
			if data == "-" { // more than a pipe holds: when it was taken, weir waits for the rest
				_, err = in.Write(bytes.Repeat([]byte(" "), 500_000))
			} else { // it is open for writing when weir has it open
				var pipe *os.File
				if pipe, err = os.OpenFile("pipe", os.O_WRONLY, 0); err == nil {
					defer pipe.Close()
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := weir.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := weir.Wait(); err == nil || err.Error() != "exit status 130" || !strings.Contains(told.String(), "interrupted") {
				t.Errorf("it ended with %v: %s", err, told.String())
			}
		})
	}
	got := invokeWith(strings.Repeat(" ", 6<<20+1), "orders", "--data", "-")
	if got.code != 2 || !strings.Contains(got.err, "--data: it has more than 6291456 bytes") {
		t.Errorf("too much: %s", got)
	}
}

// What an interrupt makes of a call is no answer of the function.
func TestAnInterruptedInvokeAnswersNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	invokable(t)
	weir := exec.Command(os.Args[0], "invoke", "web", "GET", "/web/hang", "-i")
	weir.Env = append(os.Environ(), asWeir+"=1")
	told, err := weir.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	weir.Stdout = &out
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = weir.Process.Kill() })
	defer stuck.Stop()
	lines := bufio.NewScanner(told)
	for lines.Scan() && !strings.Contains(lines.Text(), "hangs") {
	}
	if err := weir.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(told)
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.Wait(); err == nil || err.Error() != "exit status 130" || out.Len() != 0 || !strings.Contains(string(rest), "interrupted; the function was stopped") {
		t.Errorf("it ended with %v: %s%s", err, rest, out.String())
	}
}
