package lambdaapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// do is a payload that the function understands.
func do(pairs ...string) *string {
	q := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		q[pairs[i]] = pairs[i+1]
		if n, err := strconv.Atoi(pairs[i+1]); err == nil {
			q[pairs[i]] = n
		}
	}
	raw, _ := json.Marshal(q)
	return new(string(raw))
}

// everywhere runs a scene with each client.
func everywhere(t *testing.T, g *weirtest.Gateway, caller who, scene func(t *testing.T, ask func(op string, in input) answer)) {
	t.Helper()
	for name, client := range clients() {
		t.Run(name, func(t *testing.T) {
			scene(t, func(op string, in input) answer {
				if in.Function == "" && op != "list" {
					in.Function = "orders"
				}
				return client(t, question{Op: op, Endpoint: "http://" + g.Lambda, Region: region, Who: caller, Attempts: 1, Input: in})
			})
		})
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// A function behind an alias is told the alias, and where it is according to the config.
func TestTheSDKsInvokeByAlias(t *testing.T) {
	g := start(t, `{address: "`+open+`", region: `+region+`, account: "123456789012", aliases: live}`, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		for _, in := range []input{{Qual: "live"}, {Function: "orders:live"}, {Function: "arn:aws:lambda:" + region + ":123456789012:function:orders:live"}} {
			in.Payload = do("text", "x")
			a := ask("invoke", in)
			var told struct{ ARN string }
			if err := json.Unmarshal([]byte(a.Payload), &told); err != nil || a.Status != 200 || told.ARN != "arn:aws:lambda:"+region+":123456789012:function:orders:live" {
				t.Errorf("%+v: got %+v, %v", in, a, err)
			}
		}
		if a := ask("invoke", input{Qual: "staging", Payload: do("text", "x")}); a.Status != 404 {
			t.Errorf("an alias that is none: got %+v", a)
		}
	})
}

func TestTheSDKsInvoke(t *testing.T) {
	g := start(t, open, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		custom := base64.StdEncoding.EncodeToString([]byte(`{"custom":{"shop":"tea"}}`))
		a := ask("invoke", input{Payload: do("text", "für uns"), Context: custom, Log: "Tail"})
		var told struct{ Text, RequestID, ARN, Left, Shop string }
		var raw struct {
			Custom map[string]string
		}
		if err := json.Unmarshal([]byte(a.Payload), &told); err != nil {
			t.Fatalf("%v: %+v", err, a)
		}
		_ = json.Unmarshal([]byte(a.Payload), &raw)
		if a.Status != 200 || a.Version != "$LATEST" || a.FunctionError != "" || told.Text != "für uns" || !uuid.MatchString(told.RequestID) ||
			told.ARN != "arn:aws:lambda:us-east-1:000000000000:function:orders" || told.Left != "some" || raw.Custom["shop"] != "tea" {
			t.Errorf("got %+v", a)
		}
		if log := decoded(t, a.Log); !strings.HasPrefix(log, "START RequestId: "+told.RequestID) || !strings.Contains(log, "REPORT RequestId: "+told.RequestID) {
			t.Errorf("the log is %q", log)
		}
		if a := ask("invoke", input{Payload: do("do", "error")}); a.Status != 200 || a.FunctionError != "Unhandled" || a.Payload != `{"errorMessage":"no such order","errorType":"errorString"}` {
			t.Errorf("an error: got %+v", a)
		}
		if a := ask("invoke", input{Payload: do("do", "panic")}); a.FunctionError != "Unhandled" || !strings.Contains(a.Payload, `"out of tea"`) || !strings.Contains(a.Payload, "stackTrace") {
			t.Errorf("a panic: got %+v", a)
		}
		if a := ask("invoke", input{Payload: do("do", "exit")}); a.FunctionError != "Unhandled" || !strings.Contains(a.Payload, "Runtime.ExitError") {
			t.Errorf("an exit: got %+v", a)
		}
		if a := ask("invoke", input{Type: "DryRun"}); a.Status != 204 || a.Payload != "" {
			t.Errorf("a dry run: got %+v", a)
		}
		if a := ask("invoke", input{Payload: do("do", "stream")}); a.Payload != "first second" || a.FunctionError != "" {
			t.Errorf("a stream, whole: got %+v", a)
		}
		for _, name := range []string{"orders:$LATEST", "000000000000:function:orders", "arn:aws:lambda:eu-west-1:123456789012:function:orders:$LATEST"} {
			if a := ask("invoke", input{Function: name, Qual: "$LATEST"}); a.Status != 200 {
				t.Errorf("%s: got %+v", name, a)
			}
		}
	})
}

func TestTheSDKsAreToldOfAHang(t *testing.T) {
	g := start(t, open, patient+", timeout: 2s")
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		if a := ask("invoke", input{Payload: do("do", "hang")}); a.FunctionError != "Unhandled" || !strings.Contains(a.Payload, "Task timed out after 2.00 seconds") {
			t.Errorf("got %+v", a)
		}
		if a := ask("stream", input{Payload: do("do", "hang")}); !a.Complete || a.FunctionError != "Sandbox.Timedout" {
			t.Errorf("of a stream: got %+v", a)
		}
	})
}

func decoded(t *testing.T, log string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(log)
	if err != nil {
		t.Errorf("the log %q: %v", log, err)
	}
	return string(raw)
}

func TestTheLogHasWhatTheFunctionPutOut(t *testing.T) {
	g := start(t, open, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		for _, op := range []string{"invoke", "stream"} {
			a := ask(op, input{Payload: do("do", "log", "text", "ours"), Log: "Tail"})
			if log := decoded(t, a.Log); !strings.Contains(log, "\na line of ours\nEND RequestId: ") {
				t.Errorf("%s: the log is %q", op, log)
			}
		}
	})
}

func TestTheSDKsUnderstandErrors(t *testing.T) {
	g := start(t, open, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		tests := map[string]struct {
			in     input
			status int
			want   string
		}{
			"no function":  {input{Function: "nobody"}, 404, "ResourceNotFoundException"},
			"no version":   {input{Qual: "live"}, 404, "ResourceNotFoundException"},
			"two versions": {input{Function: "orders:1", Qual: "2"}, 400, "InvalidParameterValueException"},
			"no payloads":  {input{Function: "web"}, 400, "InvalidParameterValueException"},
			"no JSON":      {input{Payload: new("{")}, 400, "InvalidRequestContentException"},
			"too large":    {input{Payload: new(`"` + strings.Repeat("x", 6<<20) + `"`)}, 413, "RequestTooLargeException"},
			"event":        {input{Payload: new(`"` + strings.Repeat("x", 1<<20) + `"`), Type: "Event"}, 413, "RequestTooLargeException"},
		}
		for name, test := range tests {
			if a := ask("invoke", test.in); a.Status != test.status || a.Error != test.want || a.Message == "" {
				t.Errorf("%s: got %+v", name, a)
			}
		}
		if a := ask("stream", input{Function: "nobody"}); a.Status != 404 || a.Error != "ResourceNotFoundException" {
			t.Errorf("a stream of nobody: got %+v", a)
		}
	})
}

func TestLargePayloadsPassBothWays(t *testing.T) {
	g := start(t, open, patient)
	const most = 6 << 20
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		largest := `{"do":"big","size":` + strconv.Itoa(most-2) + `,"text":"`
		largest += strings.Repeat("x", most-len(largest)-2) + `"}`
		if a := ask("invoke", input{Payload: &largest}); len(a.Payload) != most || a.FunctionError != "" {
			t.Errorf("got %d bytes, %.200s", len(a.Payload), a.Error+a.Payload)
		}
		if a := ask("invoke", input{Payload: do("do", "big", "size", "7000000")}); a.FunctionError != "Unhandled" || !strings.Contains(a.Payload, "Function.ResponseSizeTooLarge") {
			t.Errorf("got %.200s", a.Payload)
		}
	})
}

func TestTheSDKsReadStreams(t *testing.T) {
	g := start(t, open, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		if a := ask("stream", input{Payload: do("do", "stream")}); a.Status != 200 || a.Payload != "first second" || !a.Complete || a.FunctionError != "" || a.Version != "$LATEST" {
			t.Errorf("got %+v", a)
		}
		if a := ask("stream", input{Payload: do("do", "break")}); !strings.HasSuffix(a.Payload, "\x00first ") || !a.Complete || a.FunctionError != "errorString" || !strings.Contains(a.Details, "the disk is gone") {
			t.Errorf("one that breaks: got %+v", a)
		}
		if a := ask("stream", input{Payload: do("do", "prelude")}); a.Payload != `{"statusCode":201}`+strings.Repeat("\x00", 8)+"first second" || !a.Complete || a.FunctionError != "" {
			t.Errorf("one with a head: got %+v", a)
		}
		if a := ask("stream", input{Payload: do("do", "error")}); a.Payload != "" || !a.Complete || !strings.Contains(a.Details, "no such order") {
			t.Errorf("an error: got %+v", a)
		}
		if a := ask("stream", input{Payload: do("text", "whole")}); !strings.Contains(a.Payload, `"text":"whole"`) || !a.Complete {
			t.Errorf("a whole answer: got %+v", a)
		}
	})
}

func TestAnEventIsProcessedLater(t *testing.T) {
	for name, state := range map[string]string{"on disk": t.TempDir(), "in memory": "off"} {
		t.Run(name, func(t *testing.T) { eventsAreProcessed(t, start(t, open, patient, "--state", state)) })
	}
}

func eventsAreProcessed(t *testing.T, g *weirtest.Gateway) {
	t.Helper()
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		note := filepath.Join(t.TempDir(), "note")
		if a := ask("invoke", input{Payload: do("do", "note", "file", note, "text", "later"), Type: "Event"}); a.Status != 202 || a.Payload != "" {
			t.Errorf("got %+v", a)
		}
		await.That(t, "the note is there", func() bool {
			raw, _ := os.ReadFile(note)
			return string(raw) == "later"
		})
	})
}

func TestAnEventOutlivesAKilledGateway(t *testing.T) {
	dir := t.TempDir()
	state, note, gate := filepath.Join(dir, "state"), filepath.Join(dir, "note"), filepath.Join(dir, "gate")
	config := configure(t, open, patient+", scale: {max: 1}, timeout: 1m")
	g := weirtest.Start(t, config, "--state", state)
	ask := func(g *weirtest.Gateway, payload *string) {
		t.Helper()
		a := goSDK(t, question{
			Op: "invoke", Endpoint: "http://" + g.Lambda, Region: region, Who: anybody(), Attempts: 1,
			Input: input{Function: "orders", Type: "Event", Payload: payload},
		})
		if a.Status != 202 {
			t.Fatalf("got %+v", a)
		}
	}
	ask(g, do("do", "wait", "file", gate))
	await.That(t, "the instance is busy", func() bool { return metric(t, g, `weir_function_instances{function="orders",state="busy"}`) == 1 })
	ask(g, do("do", "note", "file", note, "text", "after all"))
	g.Kill()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	weirtest.Start(t, config, "--state", state)
	await.That(t, "the note is there", func() bool {
		raw, _ := os.ReadFile(note)
		return string(raw) == "after all"
	})
}

func TestSDKsTryAgainWhereTheFunctionIsBusy(t *testing.T) {
	g := start(t, open, ", scale: {max: 1}, timeout: 1m, queue: {size: 0, wait: 2m}")
	ask := func(t *testing.T, client func(*testing.T, question) answer, attempts int, payload *string) answer {
		t.Helper()
		return client(t, question{
			Op: "invoke", Endpoint: "http://" + g.Lambda, Region: region, Who: anybody(), Attempts: attempts, Input: input{Function: "orders", Payload: payload},
		})
	}
	ask(t, goSDK, 1, nil) // builds the function
	for name, client := range clients() {
		t.Run(name, func(t *testing.T) {
			gate := filepath.Join(t.TempDir(), "gate")
			open := func() { _ = os.WriteFile(gate, nil, 0o600) }
			var others sync.WaitGroup
			defer others.Wait()
			defer open()
			others.Go(func() { ask(t, goSDK, 1, do("do", "wait", "file", gate)) })
			await.That(t, "the instance is busy", func() bool { return metric(t, g, `weir_function_instances{function="orders",state="busy"}`) == 1 })
			if a := ask(t, client, 1, nil); a.Status != 429 || a.Error != "TooManyRequestsException" || a.Reason != "ConcurrentInvocationLimitExceeded" {
				t.Errorf("without another try: got %+v", a)
			}
			throttled := func() float64 {
				return metric(t, g, `weir_function_errors_total{function="orders",reason="busy"}`)
			}
			before := throttled()
			others.Go(func() {
				await.That(t, "the client is told to come again", func() bool { return throttled() > before })
				open()
			})
			if a := ask(t, client, 10, do("text", "at last")); a.Status != 200 || !strings.Contains(a.Payload, "at last") {
				t.Errorf("with further tries: got %+v", a)
			}
		})
	}
}

func TestFunctionsAreDescribed(t *testing.T) {
	g := start(t, open, patient)
	everywhere(t, g, anybody(), func(t *testing.T, ask func(string, input) answer) {
		t.Helper()
		if a := ask("list", input{}); len(a.Names) != 1 || a.Names[0] != "orders" {
			t.Errorf("got %+v", a)
		}
		if a := ask("get", input{}); len(a.Names) != 1 || a.Names[0] != "arn:aws:lambda:us-east-1:000000000000:function:orders" {
			t.Errorf("got %+v", a)
		}
	})
}

func TestSignaturesOfTheSDKsCount(t *testing.T) {
	g := start(t, keyed(t), patient)
	for name, test := range map[string]struct {
		caller who
		want   string
	}{
		"the holder":         {holder(), ""},
		"another secret":     {who{ID: keyID, Secret: "another"}, "InvalidSignatureException"},
		"another key":        {who{ID: "AKIDOTHER", Secret: secret}, "UnrecognizedClientException"},
		"a temporary key":    {who{ID: temporaryID, Secret: secret, Token: token}, ""},
		"without its token":  {who{ID: temporaryID, Secret: secret}, "UnrecognizedClientException"},
		"with another token": {who{ID: temporaryID, Secret: secret, Token: "another"}, "UnrecognizedClientException"},
		"a token too many":   {who{ID: keyID, Secret: secret, Token: token}, "UnrecognizedClientException"},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, g, test.caller, func(t *testing.T, ask func(string, input) answer) {
				t.Helper()
				for _, function := range []string{"orders", "orders:$LATEST", "arn:aws:lambda:eu-west-1:123456789012:function:orders"} {
					in := input{Function: function, Qual: "$LATEST", Payload: do("text", "ü"), Context: "e30=", Log: "Tail"}
					for _, op := range []string{"invoke", "stream"} {
						if op == "stream" {
							in.Context = ""
						}
						a := ask(op, in)
						if a.Error != test.want || test.want == "" && a.Status != 200 || test.want != "" && a.Status != 403 {
							t.Errorf("%s of %s: got %+v", op, function, a)
						}
					}
				}
				if a := ask("list", input{}); a.Error != test.want {
					t.Errorf("list: got %+v", a)
				}
			})
		})
	}
	if strings.Contains(g.Log(), secret) || strings.Contains(g.Log(), token) {
		t.Error("a secret is in the log")
	}
}

// signed is a request that aws4 signs.
type signed struct {
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body,omitempty"`
	SignQuery bool              `json:"signQuery,omitempty"`
}

const invocations = "/2015-03-31/functions/orders/invocations"

func TestSignaturesOfAws4Count(t *testing.T) {
	g := start(t, keyed(t), patient)
	today, old := time.Now().UTC().Format("20060102T150405Z"), time.Now().UTC().Add(-6*time.Minute).Format("20060102T150405Z")
	tests := map[string]struct {
		request signed
		region  string
		want    string
	}{
		"in the head":        {signed{Path: invocations + "?Qualifier=%24LATEST", Body: "{}"}, region, ""},
		"in the query":       {signed{Path: invocations + "?Qualifier=%24LATEST", Body: "", SignQuery: true}, region, ""},
		"a short life":       {signed{Path: invocations + "?X-Amz-Expires=60", SignQuery: true}, region, ""},
		"a long life":        {signed{Path: invocations + "?X-Amz-Expires=700000", SignQuery: true}, region, "IncompleteSignatureException"},
		"more of the head":   {signed{Path: invocations, Body: "{}", Headers: map[string]string{"X-Shop": "a   b ", "X-Amz-Log-Type": "Tail", "Content-Type": "text/plain"}}, region, ""},
		"another region":     {signed{Path: invocations, Body: "{}"}, "us-east-1", "InvalidSignatureException"},
		"an old date":        {signed{Path: invocations, Body: "{}", Headers: map[string]string{"X-Amz-Date": old}}, region, "InvalidSignatureException"},
		"a date of now":      {signed{Path: invocations, Body: "{}", Headers: map[string]string{"X-Amz-Date": today}}, region, ""},
		"an unsigned body":   {signed{Path: invocations, Body: "{}", Headers: map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}}, region, "InvalidSignatureException"},
		"a body in chunks":   {signed{Path: invocations, Body: "{}", Headers: map[string]string{"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}, region, "InvalidSignatureException"},
		"an ARN in the path": {signed{Path: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders/invocations", Body: "{}"}, region, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.request.Method = http.MethodPost
			if test.request.Headers == nil {
				test.request.Headers = map[string]string{}
			}
			a := javaScript.ask(t, question{Op: "signed", Endpoint: "http://" + g.Lambda, Region: test.region, Who: holder(), Request: test.request})
			if a.Error != test.want || test.want == "" && a.Status != 200 {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestWithoutASignatureNobodyPassesWhereThereAreKeys(t *testing.T) {
	g := start(t, keyed(t), patient)
	res, err := http.Post("http://"+g.Lambda+invocations, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 403 || res.Header.Get("X-Amzn-Errortype") != "MissingAuthenticationTokenException" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// The command line is awscli, from Debian or elsewhere.
func TestTheCommandLineInvokes(t *testing.T) {
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the AWS command line is not installed (see test/deps.sh)")
	}
	g := start(t, keyed(t), patient)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.json"), []byte(*do("text", "from a shell")), 0o600); err != nil {
		t.Fatal(err)
	}
	aws := func(arguments ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), program, append([]string{"--endpoint-url", "http://" + g.Lambda, "lambda"}, arguments...)...)
		c.Dir = dir
		c.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION="+region, "AWS_PAGER=", "AWS_CONFIG_FILE="+filepath.Join(dir, "none"))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("aws %v: %v\n%s", arguments, err, out)
		}
		return string(out)
	}
	if out := aws("invoke", "--function-name", "orders", "--payload", "fileb://in.json", "--log-type", "Tail", "out.json"); !strings.Contains(out, `"StatusCode": 200`) || !strings.Contains(out, "LogResult") {
		t.Errorf("it says %s", out)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "out.json")); err != nil || !strings.Contains(string(raw), "from a shell") {
		t.Errorf("got %s, %v", raw, err)
	}
	if out := aws("list-functions"); !strings.Contains(out, `"orders"`) {
		t.Errorf("it says %s", out)
	}
	aws("wait", "function-active-v2", "--function-name", "orders")
}
