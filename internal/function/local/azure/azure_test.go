package azure

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// folder writes an app.
func folder(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

const (
	host    = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	trigger = `{"type":"httpTrigger","direction":"in","name":"req"}`
	output  = `{"type":"http","direction":"out","name":"res"}`
	plain   = `{"bindings":[` + trigger + `,` + output + `]}`
)

func TestWhatAnAppMayNotSay(t *testing.T) {
	handler := func(more string) string {
		return `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}` + more + `}}`
	}
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"no JSON":                   {map[string]string{"host.json": "{\n\"version\": }"}, "host.json: line 2:"},
		"another version":           {map[string]string{"host.json": `{"version":"1.0"}`}, "only 2.0 is read"},
		"a worker of Azure's":       {map[string]string{"host.json": `{"version":"2.0"}`}, "there is no customHandler"},
		"the old section":           {map[string]string{"host.json": `{"version":"2.0","httpWorker":{}}`}, "old name of customHandler"},
		"no program":                {map[string]string{"host.json": `{"version":"2.0","customHandler":{}}`}, "defaultExecutablePath: name the program"},
		"a fixed port":              {map[string]string{"host.json": handler(`,"port":"8000"`)}, "cannot share one port"},
		"a time without form":       {map[string]string{"host.json": `{"version":"2.0","functionTimeout":"5m",` + handler("")[17:]}, "functionTimeout: \"5m\" is no time"},
		"no time at all":            {map[string]string{"host.json": `{"version":"2.0","functionTimeout":"00:00:00",` + handler("")[17:]}, "write -1 for no bound"},
		"an unknown profile":        {map[string]string{"host.json": `{"configurationProfile":"grpc",` + host[1:]}, "configurationProfile"},
		"no function":               {map[string]string{"host.json": host}, "has no function that HTTP can call"},
		"only a timer":              {map[string]string{"host.json": host, "T/function.json": `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t"}]}`}, "T is called by a timerTrigger"},
		"routes by payload":         {map[string]string{"host.json": handler(`,"http":{"routes":[{"route":"{*all}"}]}`)}, "set enableProxying"},
		"encrypted settings":        {map[string]string{"host.json": host, "local.settings.json": `{"IsEncrypted":true}`, "F/function.json": plain}, "func settings decrypt"},
		"a setting that is no text": {map[string]string{"host.json": host, "local.settings.json": `{"Values":{"A":[]}}`, "F/function.json": plain}, "Values.A is no text"},
		"a broken function":         {map[string]string{"host.json": host, "F/function.json": "{"}, filepath.Join("F", "function.json") + ": line 1"},
		"an unknown level":          {map[string]string{"host.json": host, "F/function.json": strings.Replace(plain, `"name":"req"`, `"name":"req","authLevel":"user"`, 1)}, "authLevel"},
		"a trigger no name":         {map[string]string{"host.json": host, "F/function.json": strings.Replace(plain, `"name":"req"`, `"name":""`, 1)}, "has no name"},
		"a bad route":               {map[string]string{"host.json": host, "F/function.json": strings.Replace(plain, `"name":"req"`, `"name":"req","route":"a/{x"`, 1)}, `route "a/{x"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(folder(t, test.files)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestWhatAnAppSays(t *testing.T) {
	a, err := Read(folder(t, map[string]string{
		"host.json": "\xef\xbb\xbf" + `{
  /* the form of all
     today */
  "version": "2.0",
  "functionTimeout": "1.00:10:00", // a day and ten minutes
  "functions": ["a", "Binary", "Timed", "Off", "http"],
  "extensions": { "http": { "routePrefix": "v1/shop" } },
  "customHandler": {
    "description": {
      "defaultExecutablePath": "bin/handler", "workingDirectory": "bin", "arguments": ["// no comment"],
      "defaultWorkerPath": "server.js", "workerArguments": ["--last"]
    },
    "enableForwardingHttpRequest": true, "initializationTimeout": "00:00:20"
  }
}`,
		"local.settings.json":  `{"Values":{"TEXT":"x","NUMBER":1,"TRUTH":true,"OFF":"True"}}`,
		"A/function.json":      plain,
		"B/function.json":      plain,
		"Binary/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"in","authLevel":"Anonymous","methods":["get","Post"],"route":"b/{id}"},` + output + `,{"type":"queue","direction":"out","name":"q"}]}`,
		"Timed/function.json":  `{"bindings":[` + trigger + `,{"type":"blob","direction":"in","name":"blob"}]}`,
		"Off/function.json":    `{"disabled":"OFF",` + plain[1:],
		"9/function.json":      plain,
		"notes/readme.txt":     "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if a.Executable != "bin/handler" || a.Dir != filepath.Join(a.Folder, "bin") || a.Timeout != 24*time.Hour+10*time.Minute || a.Init != 20*time.Second ||
		!slices.Equal(a.Arguments, []string{"// no comment", "server.js", "--last"}) {
		t.Errorf("the app is %+v", a)
	}
	if want := map[string]string{"TEXT": "x", "NUMBER": "1", "TRUTH": "true", "OFF": "True"}; !maps.Equal(a.Settings, want) {
		t.Errorf("the settings are %v", a.Settings)
	}
	if want := map[string]string{
		"B": "is not among the functions that host.json lists", "Off": "is disabled", "9": "has a name that no function may have",
		"Timed": `has the input "blob" of type blob, which nobody fills here`,
	}; !maps.Equal(a.Ignored, want) {
		t.Errorf("ignored are %v", a.Ignored)
	}
	if !slices.Equal(a.Guarded(), []string{"A"}) {
		t.Errorf("guarded are %v", a.Guarded())
	}
	f, err := a.Find("BINARY")
	if err != nil || f.Trigger != "in" || f.Response != "res" || f.Passed || !slices.Equal(f.Outputs, []Output{{"q", "queue"}}) || !slices.Equal(f.Methods, []string{"GET", "POST"}) {
		t.Errorf("the function is %+v, %v", f, err)
	}
	if _, err := a.Find("timed"); err == nil || !strings.Contains(err.Error(), "has the input") {
		t.Errorf("the error is %v", err)
	}
	if f, _, _ := a.Match("GET", "/v1/shop/A"); f == nil || !f.Passed {
		t.Errorf("the route leads to %+v", f)
	}
}

func TestTheProfileOfMCPLeadsEverythingToTheHandler(t *testing.T) {
	a, err := Read(folder(t, map[string]string{"host.json": `{"configurationProfile":"MCP-custom-handler",` + host[1:]}))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/mcp", "/a/b/c"} {
		if f, _, _ := a.Match("DELETE", path); f == nil || !f.Passed {
			t.Errorf("%s leads to %+v", path, f)
		}
	}
}

func TestRoutes(t *testing.T) {
	tests := []struct{ template, path, want string }{
		{"orders", "/api/orders", ""},
		{"orders", "/API/Orders/", ""},
		{"orders", "/api", "no"},
		{"orders", "/orders", "no"},
		{"/orders", "/api/orders", ""},
		{"orders/{id}", "/api/orders/a%2Fb", "id=a/b"},
		{"orders/{id}", "/api/orders", "no"},
		{"orders/{id?}", "/api/orders", "id?"},
		{"orders/{id=7}", "/api/orders", "id=7"},
		{"orders/{id:int}", "/api/orders/-7", "id=-7"},
		{"orders/{id:int}", "/api/orders/7x", "no"},
		{"orders/{id:int:min(3)}", "/api/orders/2", "no"},
		{"orders/{id:int?}", "/api/orders", "id?"},
		{"x/{a:alpha}", "/api/x/1", "no"},
		{"x/{a:bool}", "/api/x/TRUE", "a=TRUE"},
		{"x/{a:guid}", "/api/x/24ad4c06-24ad-4e5b-8294-3da9714877e9", "a=24ad4c06-24ad-4e5b-8294-3da9714877e9"},
		{"x/{a:decimal}", "/api/x/1.5", "a=1.5"},
		{"x/{a:double}", "/api/x/1e999", "no"},
		{"x/{a:long}", "/api/x/9223372036854775807", "a=9223372036854775807"},
		{"x/{a:datetime}", "/api/x/2016-12-31", "a=2016-12-31"},
		{"x/{a:datetime}", "/api/x/yesterday", "no"},
		{"x/{a:length(2)}", "/api/x/%C3%A9%C3%A9", "a=éé"},
		{"x/{a:length(1,2)}", "/api/x/abc", "no"},
		{"x/{a:minlength(2)}", "/api/x/a", "no"},
		{"x/{a:maxlength(2)}", "/api/x/a", "a=a"},
		{"x/{a:max(2)}", "/api/x/3", "no"},
		{"x/{a:range(1,3)}", "/api/x/3", "a=3"},
		{"x/{a:required}", "/api/x/3", "a=3"},
		{`x/{a:regex(^\d{{3}}/?$)}`, "/api/x/123", "a=123"},
		{`x/{a:regex(^\d{{3}}$)}`, "/api/x/12", "no"},
		{"{*rest}", "/api", "rest?"},
		{"{*rest}", "/api/a/b", "rest=a/b"},
		{"files/{**rest:minlength(3)}", "/api/files/a/b", "rest=a/b"},
		{"files/{*rest:minlength(9)}", "/api/files/a/b", "no"},
		{"{a}/{b=x}/{c?}", "/api/1", "a=1 b=x c?"},
	}
	for _, test := range tests {
		r, err := parseRoute("api", test.template)
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		params, ok := r.match(split(test.path))
		var got []string
		for _, p := range params {
			if p.Missing {
				got = append(got, p.Name+"?")
			} else {
				got = append(got, p.Name+"="+p.Value)
			}
		}
		if text := strings.Join(got, " "); ok == (test.want == "no") || ok && text != test.want {
			t.Errorf("%s with %s: %q, %v; want %q", test.template, test.path, text, ok, test.want)
		}
	}
}

func TestRoutesThatAreRefused(t *testing.T) {
	for template, want := range map[string]string{
		"a//b": "a segment is empty", "{*rest}/x": "takes all that is left", "{a?}/b": "may be missing", "{a}/{A}": "two parameters",
		"file-{name}": "mixes text and a parameter", "{}": "no parameter's name", "{a:odd}": "not known", "{a:min(x)}": "is no number",
		"{a:min(1,2)}": "not known", "{a:regex(()}": "constraint", "{a": "mixes",
	} {
		if _, err := parseRoute("api", template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want one with %q", template, err, want)
		}
	}
}

func TestTheMostPreciseRouteWins(t *testing.T) {
	files := map[string]string{"host.json": host}
	for name, template := range map[string]string{
		"Rest": "{*rest}", "Typed": "orders/{id:int}", "Any": "orders/{id}", "Exact": "orders/latest", "Longer": "orders/{id}/lines", "Guarded": "{*rest:minlength(20)}",
	} {
		files[name+"/function.json"] = strings.Replace(plain, `"name":"req"`, `"name":"req","route":"`+template+`"`, 1)
	}
	a, err := Read(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/api/orders/latest": "Exact", "/api/orders/7": "Typed", "/api/orders/x": "Any", "/api/orders/x/lines": "Longer", "/api/z": "Rest",
		"/api/a-long-way-to-nowhere": "Guarded",
	} {
		if f, _, _ := a.Match("GET", path); f == nil || f.Name != want {
			t.Errorf("%s leads to %+v, want %s", path, f, want)
		}
	}
}

func TestTheHandlersPathIsMadeOfWhatWasCaptured(t *testing.T) {
	var captured exchange.Params
	captured.Add("id", "a b")
	captured.Add("rest", "x/y z")
	for template, want := range map[string]string{
		"items/{id}": "/api/items/a%20b", "items/{id}/{*rest}": "/api/items/a%20b/x/y%20z", "{id}/{n=1}": "/api/a%20b/1",
		"items/{id}/{more?}": "/api/items/a%20b", "items/{id:int}": "error", "items/{other}": "error",
	} {
		f := &Function{Name: "F", Level: levelFunction}
		if err := f.reach("api", template, ""); err != nil {
			t.Fatal(err)
		}
		path, _, err := f.Place("/elsewhere", &captured)
		if (err != nil) != (want == "error") || err == nil && path != want {
			t.Errorf("%s: the path is %s, %v; want %s", template, path, err, want)
		}
	}
}

// respond gives what f's answer becomes: status, fields and body as one text.
func respond(tb testing.TB, f *Function, answer string) (string, Result, error) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	result, err := f.Result(r, []byte(answer))
	if err != nil {
		return "", result, err
	}
	body, err := io.ReadAll(result.Response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	parts := []string{result.Response.Status, string(body)}
	for name, value := range exchange.ResponseHead(result.Response).All() {
		parts = append(parts, name+": "+value)
	}
	slices.Sort(parts[2:])
	return strings.Join(parts, "|"), result, nil
}

func TestResults(t *testing.T) {
	const text = "Content-Type: text/plain; charset=utf-8"
	tests := []struct{ response, answer, want string }{
		{"res", `{"Outputs":{"res":{"statusCode":201,"headers":{"X-A":"1","X-N":2},"body":"made"}}}`, "201 Created|made|Content-Length: 4|" + text + "|X-A: 1|X-N: 2"},
		{"res", `{"outputs":{"res":{"StatusCode":"201","Body":"made"}}}`, "201 Created|made|Content-Length: 4|" + text},
		{"res", `{"Outputs":{"res":{"status":404,"body":{"a":[1, 2]}}}}`, `404 Not Found|{"a":[1,2]}|Content-Length: 11|` + text},
		{"res", `{"Outputs":{"res":"{\"statusCode\":204}"}}`, "204 No Content|"},
		{"res", `{"Outputs":{"res":{"body":null}}}`, "200 OK||Content-Length: 0"},
		{"res", `{"Outputs":{}}`, "200 OK||Content-Length: 0"},
		{"res", `{}`, "200 OK||Content-Length: 0"},
		{"res", `{"Outputs":{"res":{"headers":{"Set-Cookie":["a=1","b=2"],"Content-Length":"99","Transfer-Encoding":"chunked"}}}}`, "200 OK||Content-Length: 0|Set-Cookie: a=1|Set-Cookie: b=2"},
		{"res", `{"Outputs":{"res":{"headers":{"content-type":"image/png"},"body":"x"}}}`, "200 OK|x|Content-Length: 1|Content-Type: image/png"},
		{"$return", `{"ReturnValue":"hello"}`, "200 OK|hello|Content-Length: 5|" + text},
		{"$return", `{"ReturnValue":{"hello":"world"}}`, `200 OK|{"hello":"world"}|Content-Length: 17|` + text},
		{"$return", `{"ReturnValue":{"statusCode":201,"body":"made"}}`, "201 Created|made|Content-Length: 4|" + text},
		{"$return", `{"ReturnValue":"{\"statusCode\":201,\"body\":\"made\"}"}`, "201 Created|made|Content-Length: 4|" + text},
		{"$return", `{"ReturnValue":7}`, "200 OK|7|Content-Length: 1|" + text},
		{"$return", `{}`, "200 OK||Content-Length: 0"},
		{"", `{"Outputs":{"q":"sent"}}`, "204 No Content|"},
	}
	for _, test := range tests {
		f := &Function{Name: "F", Response: test.response, Outputs: []Output{{"q", "queue"}}}
		got, _, err := respond(t, f, test.answer)
		if err != nil || got != test.want {
			t.Errorf("%s\n got %s, %v\nwant %s", test.answer, got, err, test.want)
		}
	}
}

func TestResultsThatDoNotFit(t *testing.T) {
	for answer, want := range map[string]string{
		``: "is no invocation's result", `[]`: "is no invocation's result", `"x"`: "is no invocation's result",
		`{"Outputs":{"res":"made"}}`: "no object with statusCode", `{"Outputs":{"res":[1]}}`: "no object with statusCode",
		`{"Outputs":{"res":{"statusCode":"fine"}}}`: "not a number", `{"Outputs":{"res":{"statusCode":101}}}`: "not from 200 to 599",
		`{"Outputs":{"res":{"headers":{"X A":"1"}}}}`: "not valid", `{"Outputs":{"res":{"headers":{"X":"1\r\nY: 2"}}}}`: "not valid",
		`{"Outputs":{"res":{"headers":{"X":{}}}}}`: "is no text", `{"Outputs":{"res":{"headers":{"X":[null]}}}}`: "is no text",
		`{"Logs":"one"}`: "is no invocation's result",
	} {
		if _, _, err := respond(t, &Function{Response: "res"}, answer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want one with %q", answer, err, want)
		}
	}
}

func TestLogsAndOutputsAreGiven(t *testing.T) {
	f := &Function{Response: "res", Outputs: []Output{{"q", "queue"}, {"$return", "blob"}, {"none", "table"}}}
	_, result, err := respond(t, f, `{"Outputs":{"q":["a","b"],"none":null,"other":1},"Logs":["one","two"],"ReturnValue":"x"}`)
	if err != nil || !slices.Equal(result.Logs, []string{"one", "two"}) || string(result.Sent["q"]) != `["a","b"]` || string(result.Sent["$return"]) != `"x"` || len(result.Sent) != 2 {
		t.Errorf("the result is %+v, %v", result, err)
	}
}

func TestBodiesInPayloads(t *testing.T) {
	for _, test := range []struct{ contentType, body, want string }{
		{"application/json", `{"a":1}`, `"Body":"{\"a\":1}"`},
		{"text/plain; charset=utf-8", "é<&>", `"Body":"é<&>"`},
		{"application/octet-stream", "hello", `"Body":"aGVsbG8="`},
		{"multipart/form-data; boundary=x", "hello", `"Body":"aGVsbG8="`},
		{"", "\xff", `"Body":"/w=="`},
		{"", "", `"Identities":[`},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://shop.dev/api/f?a", nil)
		r.Header.Set("Content-Type", test.contentType)
		r = exchange.With(r, &exchange.Exchange{})
		payload, err := (&Function{Name: "F", Trigger: "req"}).Payload(r, "/api/f", nil, []byte(test.body), "id")
		if err != nil || !strings.Contains(string(payload), test.want) || test.body == "" && strings.Contains(string(payload), "Body") {
			t.Errorf("%s: %s, %v; want %s", test.contentType, payload, err, test.want)
		}
	}
}

func FuzzResult(f *testing.F) {
	f.Add(`{"Outputs":{"res":{"statusCode":201,"headers":{"X":["1",2]},"body":{"a":1}}},"Logs":["x"],"ReturnValue":"{\"body\":1}"}`)
	f.Add(`{"Outputs":{"res":"{\"status\":\"204\"}"}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		for _, response := range []string{"res", "$return", ""} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			result, err := (&Function{Response: response}).Result(r, []byte(answer))
			if err != nil {
				continue
			}
			if s := result.Response.StatusCode; s < 200 || s > 599 {
				t.Errorf("the status is %d", s)
			}
			for name, value := range exchange.ResponseHead(result.Response).All() {
				if strings.ContainsAny(name+value, "\r\n\x00") {
					t.Errorf("the field %q is %q", name, value)
				}
			}
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("orders/{id:int:min(1)?}", "/api/orders/7")
	f.Add("{a=b}/{*rest:regex(^[a-z]{{2}}$)}", "/api/x/y%2Fz")
	f.Fuzz(func(t *testing.T, template, path string) {
		r, err := parseRoute("api", template)
		if err != nil {
			return
		}
		params, ok := r.match(split(path))
		if ok && len(params) > len(r.segments) {
			t.Errorf("%d parameters of %d segments", len(params), len(r.segments))
		}
	})
}

func FuzzComments(f *testing.F) {
	f.Add(`{"a": "// no", /* yes */ "b": 1} // end`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := withoutComments([]byte(text)); len(got) != len(text) || strings.Count(string(got), "\n") != strings.Count(text, "\n") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
