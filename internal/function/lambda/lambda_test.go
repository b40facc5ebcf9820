package lambda

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
)

var full = flag.Bool("full", false, "five hundred maximal payloads at once, which takes minutes")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one call as the double of the platform has seen it.
type asked struct {
	path, query, region string
	head                http.Header
	body                string
}

// double is one of AWS Lambda in one region, which checks signatures.
type double struct {
	*httptest.Server

	t      *testing.T
	region string
	answer func(w http.ResponseWriter, a asked)

	mu  sync.Mutex
	all []asked
}

func serveAWS(t *testing.T, region string, answer func(w http.ResponseWriter, a asked)) *double {
	t.Helper()
	a := &double{t: t, region: region, answer: answer}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	verifier := sigv4.New("lambda", a.region, []sigv4.Key{{ID: "AKIDEXAMPLE", Secret: secret.NewValue("hush"), Token: secret.NewValue("a/session+token=")}})
	claim, err := verifier.Open(sigv4.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host, Head: exchange.RequestHead(r), Length: r.ContentLength,
	})
	if err == nil {
		err = claim.Confirm(sha256.Sum256(body))
	}
	if err != nil {
		a.t.Errorf("the signature: %v", err)
	}
	seen := asked{r.URL.EscapedPath(), r.URL.RawQuery, a.region, r.Header, string(body)}
	a.mu.Lock()
	a.all = append(a.all, seen)
	a.mu.Unlock()
	a.answer(w, seen)
}

func (a *double) seen() []asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all
}

func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "a/session+token=", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
}

// build makes a function of a config in YAML that leads to the doubles; %s stands for their endpoint.
func build(t *testing.T, text string) function.Backend {
	t.Helper()
	b, err := (&platformOf{newPlatform()}).build(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type platformOf struct{ *platform }

func (p *platformOf) build(t *testing.T, text string) (function.Backend, error) {
	t.Helper()
	c := read(t, text)
	b, err := p.platform.build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, "orders", c)
	if err == nil {
		t.Cleanup(func() { _ = b.Close(context.Background()) })
	}
	return b, err
}

func read(t *testing.T, text string) *Config {
	t.Helper()
	var ps doc.Problems
	c := defaults()
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
	for _, p := range ps.Sorted() {
		t.Fatal(p)
	}
	return &c
}

// ask sends a request through the function.
func ask(t *testing.T, b http.RoundTripper, method, target, body string, change func(*http.Request)) (*http.Response, *exchange.Exchange, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	r.RemoteAddr = "192.0.2.7:1234"
	change(r)
	x := &exchange.Exchange{ID: "req-1", Start: time.Now(), Host: "shop.dev", Route: "ANY /**", Client: exchange.Client{IP: netip.MustParseAddrPort(r.RemoteAddr).Addr()}}
	res, err := b.RoundTrip(exchange.With(r, x))
	return res, x, err
}

func unchanged(*http.Request) {}

func bodyOf(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("the body: %v", err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	return string(body)
}

func say(status int, body string, fields ...string) func(http.ResponseWriter, asked) {
	return func(w http.ResponseWriter, _ asked) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestARequestBecomesAnEventAndTheAnswerAResponse(t *testing.T) {
	environment(t)
	log := base64.StdEncoding.EncodeToString([]byte("START\nREPORT RequestId: 1\tInit Duration: 12.50 ms\t\n"))
	a := serveAWS(t, "eu-west-1", say(200, `{"statusCode":201,"headers":{"x-a":"1"},"cookies":["a=1","b=2"],"body":"hi"}`, "X-Amz-Log-Result", log))
	b := build(t, "lambda: place-order:live\nregion: eu-west-1\nendpoint: "+a.URL)
	res, x, err := ask(t, b, "POST", "/orders?tag=x", `{"item":1}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	if err != nil {
		t.Fatal(err)
	}
	if got := bodyOf(t, res); res.StatusCode != 201 || got != "hi" || res.Header.Get("X-A") != "1" || len(res.Header["Set-Cookie"]) != 2 {
		t.Errorf("got %d %q %v", res.StatusCode, got, res.Header)
	}
	seen := a.seen()[0]
	if seen.path != "/2015-03-31/functions/place-order/invocations" || seen.query != "Qualifier=live" || seen.head.Get("X-Amz-Log-Type") != "Tail" {
		t.Errorf("it was asked %s?%s %v", seen.path, seen.query, seen.head)
	}
	var event struct{ Version, RawPath, RawQueryString, Body string }
	if err := json.Unmarshal([]byte(seen.body), &event); err != nil || event.Version != "2.0" || event.RawPath != "/orders" || event.RawQueryString != "tag=x" || event.Body != `{"item":1}` {
		t.Errorf("the event is %s", seen.body)
	}
	if len(x.Attempts) != 1 || x.Attempts[0].Cold != 12500*time.Microsecond {
		t.Errorf("the attempts are %+v", x.Attempts)
	}
}

func TestNamesAreSignedHoweverTheyAreWritten(t *testing.T) {
	environment(t)
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	for name, path := range map[string]string{
		"orders": "/2015-03-31/functions/orders/invocations?",
		"arn:aws:lambda:eu-west-1:123456789012:function:orders":     "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders/invocations?",
		"arn:aws:lambda:eu-west-1:123456789012:function:orders:v_2": "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders/invocations?Qualifier=v_2",
		"orders:$LATEST": "/2015-03-31/functions/orders/invocations?Qualifier=%24LATEST",
	} {
		text := "lambda: " + name + "\nendpoint: " + a.URL
		if !strings.HasPrefix(name, "arn:") {
			text += "\nregion: eu-west-1"
		}
		res, _, err := ask(t, build(t, text), "GET", "/", "", unchanged)
		if err != nil {
			t.Fatal(err)
		}
		_ = bodyOf(t, res)
		last := a.seen()[len(a.seen())-1]
		if got := last.path + "?" + last.query; got != path {
			t.Errorf("%s is asked for at %s", name, got)
		}
	}
	app, ok := build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL).(function.Parted)
	if !ok {
		t.Fatal("aliases cannot be named")
	}
	part, err := app.Part("next")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, part, "GET", "/", "", unchanged); err != nil {
		t.Fatal(err)
	}
	if last := a.seen()[len(a.seen())-1]; last.query != "Qualifier=next" {
		t.Errorf("the alias is asked for by %q", last.query)
	}
}

func TestModesWithoutAnAnswer(t *testing.T) {
	environment(t)
	for mode, want := range map[string]struct {
		status int
		kind   string
	}{"async": {202, "Event"}, "dry-run": {204, "DryRun"}} {
		a := serveAWS(t, "eu-west-1", say(want.status, ""))
		res, _, err := ask(t, build(t, "lambda: orders\nregion: eu-west-1\nmode: "+mode+"\nendpoint: "+a.URL), "POST", "/", "{}", unchanged)
		if err != nil {
			t.Fatal(err)
		}
		seen := a.seen()[0]
		if got := bodyOf(t, res); res.StatusCode != want.status || got != "" || seen.head.Get("X-Amz-Invocation-Type") != want.kind || seen.head.Get("X-Amz-Log-Type") != "" {
			t.Errorf("%s: got %d %q; asked %v", mode, res.StatusCode, got, seen.head)
		}
	}
}

// What goes wrong is never a 200. The rows are those of docs/lambda.md.
func TestFailuresHaveHonestStatuses(t *testing.T) {
	environment(t)
	failed := func(body string) func(http.ResponseWriter, asked) {
		return say(200, body, "X-Amz-Function-Error", "Unhandled")
	}
	api := func(status int, name string, fields ...string) func(http.ResponseWriter, asked) {
		return say(status, `{"Type":"User","Message":"it says so","Reason":"R"}`, append(fields, "X-Amzn-Errortype", name+":http://internal.amazon.com/")...)
	}
	tests := map[string]struct {
		answer func(http.ResponseWriter, asked)
		kind   fault.Kind
		tries  int
		text   string
	}{
		"an exception":         {failed(`{"errorMessage":"no tea","errorType":"OrderError","stackTrace":["at x"]}`), fault.FunctionError, 1, "OrderError: no tea"},
		"not JSON":             {failed(`<html>`), fault.FunctionError, 1, "<html>"},
		"too slow":             {failed(`{"errorMessage":"2026-11-28T12:00:00Z 1 Task timed out after 3.00 seconds"}`), fault.FunctionTimeout, 1, "timed out"},
		"too slow, by type":    {failed(`{"errorType":"Sandbox.Timedout","errorMessage":"x"}`), fault.FunctionTimeout, 1, "Sandbox"},
		"it exits":             {failed(`{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited with error: exit status 1"}`), fault.FunctionCrashed, 1, "exit status 1"},
		"out of memory":        {failed(`{"errorType":"Runtime.OutOfMemory","errorMessage":"x"}`), fault.FunctionCrashed, 1, "OutOfMemory"},
		"its answer is large":  {failed(`{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"x"}`), fault.FunctionBadResponse, 1, "TooLarge"},
		"no import":            {failed(`{"errorType":"Runtime.ImportModuleError","errorMessage":"x"}`), fault.FunctionError, 1, "Import"},
		"a wrong answer":       {say(200, `{"statusCode":99}`), fault.FunctionBadResponse, 1, "99"},
		"no answer":            {say(200, ``), fault.FunctionBadResponse, 1, ""},
		"throttled":            {api(429, "TooManyRequestsException"), fault.FunctionThrottled, 3, "it says so (R)"},
		"throttled for long":   {api(429, "TooManyRequestsException", "Retry-After", "60"), fault.FunctionThrottled, 1, ""},
		"too large":            {api(413, "RequestTooLargeException"), fault.FunctionTooLarge, 1, "it says so"},
		"no such function":     {api(404, "ResourceNotFoundException"), fault.FunctionRefused, 1, "ResourceNotFoundException"},
		"not allowed":          {api(403, "AccessDeniedException"), fault.FunctionRefused, 1, "AccessDenied"},
		"expired":              {api(403, "ExpiredTokenException"), fault.FunctionRefused, 1, "Expired"}, // just fetched: another one would be no newer
		"unknown key":          {api(403, "UnrecognizedClientException"), fault.FunctionRefused, 1, ""},
		"the wrong parameter":  {api(400, "InvalidParameterValueException"), fault.FunctionRefused, 1, ""},
		"media type":           {api(415, "UnsupportedMediaTypeException"), fault.FunctionRefused, 1, ""},
		"its network":          {api(502, "ENILimitReachedException"), fault.FunctionUnavailable, 3, ""},
		"its state":            {api(409, "ResourceConflictException"), fault.FunctionUnavailable, 3, ""},
		"its key":              {api(502, "KMSDisabledException"), fault.FunctionRefused, 1, ""},
		"a loop":               {api(400, "RecursiveInvocationException"), fault.FunctionRefused, 1, ""},
		"the platform is ill":  {api(500, "ServiceException"), fault.FunctionUnavailable, 1, ""}, // perhaps it was invoked
		"a proxy before it":    {say(503, "<html>"), fault.FunctionUnavailable, 1, ""},
		"what nobody knows":    {api(418, "TeapotException"), fault.FunctionRefused, 1, ""},
		"the wrong kind of OK": {say(202, ""), fault.FunctionBadResponse, 1, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := serveAWS(t, "eu-west-1", test.answer)
			res, _, err := ask(t, build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL), "POST", "/", "{}", unchanged)
			f, ok := errors.AsType[*fault.Fault](err)
			if !ok {
				t.Fatalf("got %v, %v", res, err)
			}
			if f.Code != test.kind.Code || !strings.Contains(f.Operator(), test.text) || f.Detail != "" && strings.Contains(f.Detail, "says so") {
				t.Errorf("got %v", f)
			}
			if n := len(a.seen()); n != test.tries {
				t.Errorf("it was asked %d times", n)
			}
			if f.Status == 429 && f.RetryAfter < time.Second || name == "throttled for long" && f.RetryAfter != time.Minute {
				t.Errorf("the client may come back after %v", f.RetryAfter)
			}
		})
	}
}

func TestEveryErrorOfTheApiHasAVerdict(t *testing.T) {
	for name, v := range verdicts() {
		if v.kind.Code == "" || v.kind.Status < 400 {
			t.Errorf("%s is %+v", name, v)
		}
		if v.taken && !v.retry {
			t.Errorf("%s: what may have been taken is tried again for methods that may", name)
		}
	}
	for status := 200; status < 600; status++ {
		if v := judge("", status); v.kind.Status < 400 {
			t.Errorf("%d is %+v", status, v)
		}
	}
}

// documented are the errors of the API by the rows of docs/lambda.md: by their names, or by how these
// begin ("KMS..."), the problem of each and whether it is tried again.
func documented(t *testing.T) map[string][2]string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][2]string{}
	_, table, _ := strings.Cut(string(page), "| what AWS says |")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, " | ")
		problem := regexp.MustCompile(`^\d+ \[([a-z-]+)\]`).FindStringSubmatch(strings.TrimPrefix(cells[min(1, len(cells)-1)], "| "))
		if problem == nil || strings.Contains(cells[0], "with `raw`") || strings.Contains(cells[0], ":") {
			continue
		}
		for _, name := range regexp.MustCompile("`([A-Z][A-Za-z0-9.]+)`").FindAllStringSubmatch(cells[0], -1) {
			rows[name[1]] = [2]string{problem[1], strings.TrimSuffix(strings.TrimSpace(cells[2]), " |")}
		}
	}
	return rows
}

// What is written of an error is what happens.
func TestVerdictsAreThoseOfTheDocs(t *testing.T) {
	rows, met := documented(t), map[string]bool{}
	of := func(name string) (row [2]string, ok bool) {
		for said, row := range rows {
			if begin, open := strings.CutSuffix(said, "..."); said == name || open && strings.HasPrefix(name, begin) {
				met[said] = true
				return row, true
			}
		}
		return row, false
	}
	all := maps.Clone(verdicts())
	for _, name := range []string{"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"} {
		all[name] = judge(name, http.StatusForbidden)
	}
	for name, v := range all {
		row, ok := of(name)
		tried := "no"
		switch {
		case v.renew:
			tried = "once, with new credentials"
			row, ok = rows[name], true // its name begins as those of others
			met[name] = true
		case v.taken:
			tried = "idempotent methods"
		case v.retry:
			tried = "yes"
		}
		if !ok || row != [2]string{v.kind.Code, tried} {
			t.Errorf("%s is written to be %v, and is %s, tried again: %s", name, row, v.kind.Code, tried)
		}
	}
	for said, row := range rows {
		ofFunction := kindOf(&function.Failure{Type: said}).Code
		if !met[said] && (ofFunction == fault.FunctionError.Code || ofFunction != row[0]) {
			t.Errorf("docs/lambda.md tells of %s, which nothing is", said)
		}
	}
	for status, want := range map[int]fault.Kind{429: fault.FunctionThrottled, 413: fault.FunctionTooLarge, 301: fault.FunctionRefused, 499: fault.FunctionRefused, 500: fault.FunctionUnavailable, 599: fault.FunctionUnavailable} {
		if v := judge("AnotherException", status); v.kind.Code != want.Code {
			t.Errorf("every other %d is %s", status, v.kind.Code)
		}
	}
}

func TestWhatMayHaveBeenTakenIsRepeatedForIdempotentMethodsOnly(t *testing.T) {
	environment(t)
	tests := []struct {
		method, name string
		tries        int
	}{
		{"GET", "ServiceException", 3}, {"PUT", "ServiceException", 3}, {"POST", "ServiceException", 1}, {"PATCH", "ServiceException", 1},
		{"GET", "ServiceUnavailableException", 3}, {"POST", "ServiceUnavailableException", 1},
	}
	for _, test := range tests {
		a := serveAWS(t, "eu-west-1", say(503, `{}`, "X-Amzn-Errortype", test.name))
		if _, _, err := ask(t, build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL), test.method, "/", "", unchanged); err == nil {
			t.Error("no error")
		}
		if n := len(a.seen()); n != test.tries {
			t.Errorf("%s, %s: it was asked %d times", test.method, test.name, n)
		}
	}
}

func TestRegionsAreTriedInTheirOrder(t *testing.T) {
	environment(t)
	served := say(200, `{"statusCode":200,"body":"b"}`)
	throttled := say(429, `{}`, "X-Amzn-Errortype", "TooManyRequestsException", "Retry-After", "60")
	ill := say(500, `{}`, "X-Amzn-Errortype", "ServiceException")
	tests := map[string]struct {
		first    func(http.ResponseWriter, asked)
		method   string
		served   bool
		inFirst  int // of two requests
		inSecond int
	}{
		"the first is well":               {served, "POST", true, 2, 0},
		"throttled":                       {throttled, "POST", true, 2, 2},
		"ill, and it may be repeated":     {ill, "GET", true, 1, 2}, // it rests
		"ill, and it must not":            {ill, "POST", false, 1, 0},
		"the function does not want to":   {say(200, `{}`, "X-Amz-Function-Error", "Unhandled"), "GET", false, 1, 0},
		"nobody may":                      {say(403, `{}`, "X-Amzn-Errortype", "AccessDeniedException"), "GET", false, 1, 0},
		"nobody is there":                 {nil, "POST", true, 0, 2},
		"it breaks off after it has come": {func(http.ResponseWriter, asked) { panic(http.ErrAbortHandler) }, "POST", false, 1, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			first, second := serveAWS(t, "eu-west-1", test.first), serveAWS(t, "eu-central-1", served)
			if test.first == nil {
				first.Close()
			}
			b := toBoth(t, first, second)
			for range 2 {
				res, _, err := ask(t, b, test.method, "/", "", unchanged)
				if err == nil {
					_ = bodyOf(t, res)
				}
				if (err == nil) != test.served {
					t.Fatalf("got %v, %v", res, err)
				}
				if !test.served {
					break
				}
			}
			if len(first.seen()) != test.inFirst || len(second.seen()) != test.inSecond {
				t.Errorf("asked %d and %d times, want %d and %d", len(first.seen()), len(second.seen()), test.inFirst, test.inSecond)
			}
		})
	}
}

// Credentials that a region does not accept are replaced once; where there are no others, those
// that there are serve on.
func TestARefusalCostsNobodyTheCredentials(t *testing.T) {
	environment(t)
	refuse := atomic.Bool{}
	a := serveAWS(t, "eu-west-1", func(w http.ResponseWriter, seen asked) {
		if refuse.Swap(false) {
			say(403, `{}`, "X-Amzn-Errortype", "ExpiredTokenException")(w, seen)
			return
		}
		say(200, `{"statusCode":200,"body":"b"}`)(w, seen)
	})
	b := build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL).(*backend)
	source := &flapping{}
	b.sites[0].credentials = cloud.Keep(source.fetch, cloud.KeptOptions{Calm: time.Nanosecond})
	defer b.sites[0].credentials.Close()
	tests := []struct {
		name                string
		refused, down, well bool
	}{
		{"nothing is wrong", false, false, true},
		{"the platform refuses once, and there are others", true, false, true},
		{"the platform refuses once, and there are none", true, true, false},
		{"nothing is wrong again", false, true, true},
	}
	for _, test := range tests {
		refuse.Store(test.refused)
		source.down.Store(test.down)
		res, _, err := ask(t, b, "POST", "/", "", unchanged)
		if (err == nil) != test.well {
			t.Errorf("%s: got %v", test.name, err)
		}
		if err == nil {
			_ = bodyOf(t, res)
		}
	}
}

// flapping is a source of credentials.
type flapping struct{ down atomic.Bool }

func (f *flapping) fetch(context.Context) (sdk.Credentials, time.Time, error) {
	if f.down.Load() {
		return sdk.Credentials{}, time.Time{}, errors.New("down")
	}
	return sdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "hush", SessionToken: "a/session+token="}, time.Now().Add(time.Hour), nil
}

// toBoth makes a function in two regions, each of which has its double.
func toBoth(t *testing.T, first, second *double) function.Backend {
	t.Helper()
	b, ok := build(t, "lambda: orders\nregions: [eu-west-1, eu-central-1]\nendpoint: http://{region}.test:80").(*backend)
	if !ok {
		t.Fatal("it is no backend of ours")
	}
	for i, at := range []*double{first, second} {
		u, err := url.Parse(at.URL)
		if err != nil {
			t.Fatal(err)
		}
		b.sites[i].url.Host, b.sites[i].host = u.Host, u.Host
	}
	return b
}

func TestLimitsAreKnownBeforehand(t *testing.T) {
	environment(t)
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	a202 := serveAWS(t, "eu-west-1", say(202, ``))
	text := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	tests := map[string]struct {
		config string
		at     *double
		size   int
		change func(*http.Request)
		passes bool
		names  string
	}{
		"sync":                               {"", a, 6<<20 - 4096, text, true, ""},
		"more":                               {"", a, 6 << 20, text, false, "6291456"},
		"more, of unknown length":            {"", a, 6<<20 + 1, func(r *http.Request) { text(r); r.ContentLength = -1 }, false, "6291456"},
		"known length, never read":           {"", a, 1, func(r *http.Request) { r.ContentLength = 7 << 20; r.Body = unread{t} }, false, "6291456"},
		"binary, a third larger":             {"", a, 5 << 20, unchanged, false, "6291456"},
		"sync, of unknown length":            {"", a, 5 << 20, func(r *http.Request) { text(r); r.ContentLength = -1 }, true, ""},
		"async":                              {"\nmode: async", a202, 1<<20 - 4096, text, true, ""},
		"async, more":                        {"\nmode: async", a202, 1 << 20, text, false, "1048576"},
		"the config's own, which is smaller": {"\nlimits: { request: 2KiB }", a, 2 << 10, text, false, "2048"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(test.at.seen())
			b := build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+test.at.URL+test.config)
			res, _, err := ask(t, b, "POST", "/", strings.Repeat("x", test.size), test.change)
			f := fault.From(err)
			if err == nil {
				_ = bodyOf(t, res)
			}
			switch {
			case test.passes && err != nil:
				t.Errorf("got %v", err)
			case !test.passes && (f == nil || f.Status != 413 || !strings.Contains(f.Detail, test.names)):
				t.Errorf("got %v", f)
			case !test.passes && len(test.at.seen()) != before:
				t.Error("it was sent")
			}
			if held := b.(*backend).platform.room.Taken(); held != 0 {
				t.Errorf("%d bytes are held", held)
			}
		})
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("it was read")
	return 0, io.EOF
}
func (unread) Close() error { return nil }

// Five hundred maximal payloads at once hold no more than there is room for, and one of them more.
func TestPayloadsInFlightAreBoundedInSum(t *testing.T) {
	environment(t)
	size, bound, requests := 256<<10, int64(4<<20), 60
	if *full {
		size, bound, requests = 5<<20, 64<<20, 500
	}
	big := `{"statusCode":200,"body":"` + strings.Repeat("y", size) + `"}`
	a := serveAWS(t, "eu-west-1", say(200, big))
	b := build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL+"\nlimits: { wait: 120s }\ntimeout: 300s").(*backend)
	b.platform.room.Tune(bound)
	body := strings.Repeat("x", size)
	var all sync.WaitGroup
	var most int64
	var mu sync.Mutex
	for range requests {
		all.Go(func() {
			res, _, err := ask(t, b, "POST", "/", body, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
			if err != nil {
				t.Errorf("got %v", err)
				return
			}
			mu.Lock()
			most = max(most, b.platform.room.Taken())
			mu.Unlock()
			if n, err := io.Copy(io.Discard, res.Body); n != int64(size) || err != nil {
				t.Errorf("%d bytes came, %v", n, err)
			}
			_ = res.Body.Close()
		})
	}
	all.Wait()
	if most > bound+int64(room.Factor*size) || most == 0 || b.platform.room.Taken() != 0 {
		t.Errorf("%d bytes were held, and %d are", most, b.platform.room.Taken())
	}
}

func TestWhoWaitsInVainForRoomIsTold(t *testing.T) {
	environment(t)
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	b := build(t, "lambda: orders\nregion: eu-west-1\nlimits: { wait: 10ms }\nendpoint: "+a.URL).(*backend)
	others := b.platform.room.Part()
	if err := others.Grow(t.Context(), int64(aws.DefaultRoom), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, length := range []int64{5, -1} {
		_, _, err := ask(t, b, "POST", "/", "hello", func(r *http.Request) { r.ContentLength = length })
		if f := fault.From(err); f == nil || f.Code != fault.Overloaded.Code || f.RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
	}
}

// Neither one client nor one function has all the room, so that others get some.
func TestNobodyHasAllTheRoom(t *testing.T) {
	environment(t)
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	b := build(t, "lambda: orders\nregion: eu-west-1\nlimits: { wait: 1ms }\nendpoint: "+a.URL).(*backend)
	from := func(client string) error {
		_, _, err := ask(t, b, "POST", "/", strings.Repeat("x", 1<<20), func(r *http.Request) { r.RemoteAddr = client + ":1234" })
		return err
	}
	fill := func(owners ...room.Owner) (held []*room.Part) {
		for p := b.platform.room.Part(owners...); p.Try(1 << 20); p = b.platform.room.Part(owners...) {
			held = append(held, &p)
		}
		if err := held[0].Grow(t.Context(), 8<<20, time.Minute); err != nil { // the one that may have more
			t.Error(err)
		}
		return held
	}
	for name, test := range map[string]struct {
		owner          room.Owner
		before, others bool // whether requests of the client, and of others, pass
	}{
		"a client":   {netip.MustParseAddr("2001:db8::"), false, true},
		"a function": {b.name, false, false},
		"another":    {"another", true, true},
	} {
		held := fill(test.owner)
		if err := from("[2001:db8::7]"); (err == nil) != test.before {
			t.Errorf("%s has much: the client gets %v", name, err)
		}
		if err := from("192.0.2.7"); (err == nil) != test.others {
			t.Errorf("%s has much: another client gets %v", name, err)
		}
		for _, p := range held {
			p.Shrink(0)
		}
	}
}

// Bodies that are announced and do not come keep nobody else out, and end with the call.
func TestSlowBodiesHoldNobodyUp(t *testing.T) {
	environment(t)
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	b := build(t, "lambda: orders\nregion: eu-west-1\ntimeout: 15m\nendpoint: "+a.URL).(*backend)
	ctx, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	var slow sync.WaitGroup
	for range 30 {
		body, client := io.Pipe()
		slow.Go(func() {
			defer func() { _ = client.Close() }()
			_, _, err := ask(t, b, "POST", "/", "", func(r *http.Request) {
				*r = *r.WithContext(ctx)
				r.Body, r.ContentLength = body, 6<<20
			})
			if err == nil || err.Error() != "left" {
				t.Errorf("a slow one gets %v", err)
			}
		})
		if _, err := client.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for _, length := range []int64{0, 1 << 20} {
		res, _, err := ask(t, b, "POST", "/", strings.Repeat("x", int(length)), unchanged)
		if err != nil {
			t.Fatalf("%d bytes get %v", length, err)
		}
		_ = bodyOf(t, res)
	}
	leave(errors.New("left"))
	slow.Wait()
	if held := b.platform.room.Taken(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestTimeOutsAndClientsThatLeave(t *testing.T) {
	environment(t)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	a := serveAWS(t, "eu-west-1", func(_ http.ResponseWriter, seen asked) {
		if strings.Contains(seen.body, "/leaves") { // the one before may be out of time before it is here
			begun <- struct{}{}
		}
		<-release
	})
	defer close(release)
	b := build(t, "lambda: orders\nregion: eu-west-1\ntimeout: 50ms\nendpoint: "+a.URL).(*backend)
	_, _, err := ask(t, b, "POST", "/", "{}", unchanged)
	if f := fault.From(err); f == nil || f.Code != fault.FunctionTimeout.Code {
		t.Errorf("got %v", err)
	}
	c := *b.bounded.Load()
	c.timeout = time.Hour
	b.bounded.Store(&c)
	ctx, leave := context.WithCancelCause(t.Context())
	go func() {
		<-begun
		leave(errors.New("left"))
	}()
	if _, _, err := ask(t, b, "POST", "/leaves", "{}", func(r *http.Request) { *r = *r.WithContext(ctx) }); err == nil || err.Error() != "left" {
		t.Errorf("who left is told %v", err)
	}
	if s := b.Status(); s.Busy != 0 || b.sites[0].calls.Status().Busy != 0 || b.platform.room.Taken() != 0 {
		t.Errorf("it is %+v", s)
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	environment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	a := serveAWS(t, "eu-west-1", say(200, `{}`))
	b := build(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL)
	_, _, err := ask(t, b, "POST", "/", "{}", unchanged)
	if f := fault.From(err); f == nil || f.Code != fault.CredentialsMissing.Code || len(a.seen()) != 0 {
		t.Errorf("got %v", err)
	}
	if s := b.Status(); s.Problem == "" {
		t.Errorf("it tells %+v", s)
	}
}

func TestWhatFailedLastIsToldWithItsLog(t *testing.T) {
	environment(t)
	log := base64.StdEncoding.EncodeToString([]byte("START RequestId: 1\nno tea left\nEND RequestId: 1\n"))
	a := serveAWS(t, "eu-west-1", say(200, `{"errorType":"OrderError","errorMessage":"no tea"}`, "X-Amz-Function-Error", "Unhandled", "X-Amz-Log-Result", log))
	var out bytes.Buffer
	p := newPlatform()
	b, err := p.build(function.Env{Log: slog.New(slog.NewTextHandler(&out, nil))}, "orders", read(t, "lambda: orders\nregion: eu-west-1\nendpoint: "+a.URL))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, b, "POST", "/", "{}", unchanged); err == nil {
		t.Error("no error")
	}
	told := strings.Join(b.Status().Details, "\n")
	_ = b.Close(context.Background())
	for _, text := range []string{told, out.String()} {
		if !strings.Contains(text, "no tea left") || !strings.Contains(text, "OrderError") {
			t.Errorf("it tells %s", text)
		}
	}
}

func TestConfigsThatCannotServeAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"lambda: orders": "region: say where",
		"lambda: orders\nregion: eu-west-1\nregions: [eu-west-1]":                                          "keep one of them",
		"lambda: orders@eu-west-1\nregion: eu-west-2":                                                      "remove one of them",
		"lambda: arn:aws:lambda:eu-west-1:123456789012:function:orders\nregions: [eu-west-2]":              "do not hold eu-west-1",
		"lambda: orders\nregions: [eu-west-1, eu-west-1]":                                                  "twice",
		"lambda: orders\nregions: [eu-west-1, eu-west-2]\nendpoint: https://lambda.test":                   "must hold {region}",
		"lambda: orders\nregion: eu-west-1\ntimeout: 16m":                                                  "as long as a function may run",
		"lambda: orders\nregion: eu-west-1\nmode: async\nlimits: { request: 2MiB }":                        "1MiB",
		"lambda: orders\nregion: eu-west-1\nformat: v3":                                                    "none of v2, v1",
		"lambda: orders\nregion: eu-west-1\nlimits: { concurrency: -1, queue: -1, wait: 0s }\ntimeout: 0s": "limits.queue",
	} {
		err := read(t, text).validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"lambda: or ders\nregion: eu-west-1":                            "no name of a function",
		"lambda: orders\nregion: ireland":                               "no region",
		"lambda: orders\nregion: eu-west-1\nmode: stram":                "did you mean stream",
		"lambda: orders\nregion: eu-west-1\nendpoint: https://x:99999":  "a port from 1 to 65535",
		"lambda: orders\nregion: eu-west-1\nrole: gateway":              "arn:aws:iam",
		"lambda: orders\nregion: eu-west-1\nendpoint: lambda.test":      "https://",
		"lambda: orders\nregion: eu-west-1\nendpoint: https://a.test/x": "a scheme and a host",
	} {
		var ps doc.Problems
		c := defaults()
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &c, &ps)
		all := fmt.Sprint(ps.Sorted())
		if !ps.Failed() || !strings.Contains(all, want) {
			t.Errorf("%s: %s", text, all)
		}
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]string{
		"orders@eu-west-1": "", "orders:live@eu-west-1": "", "arn:aws:lambda:eu-west-1:123456789012:function:orders:live": "",
		"orders": "its region behind it", "orders@ireland": "no region", "": "no name", "arn:aws:s3:::x": "the ARN of a function",
	} {
		c, err := inline(config.Ref{Scheme: "lambda", Rest: text})
		if err == nil {
			err = (&config.Config{}).Settle(c)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// message is one of an event stream.
func message(t *testing.T, headers map[string]string, payload string) []byte {
	t.Helper()
	m := eventstream.Message{Payload: []byte(payload)}
	for name, value := range headers {
		m.Headers.Set(name, eventstream.StringValue(value))
	}
	var out bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func event(t *testing.T, kind, payload string) []byte {
	t.Helper()
	return message(t, map[string]string{":message-type": "event", ":event-type": kind}, payload)
}

// What explain shows is what is sent.
func TestARehearsalIsWhatIsSent(t *testing.T) {
	environment(t)
	for _, test := range []struct{ config, part, adds string }{
		{"", "", "an event in the format v2; X-Amz-Log-Type: Tail"},
		{"log: false\nformat: alb", "live", "an event in the format alb"},
		{"mode: stream", "7", "an event in the format v2; X-Amz-Log-Type: Tail"},
		{"mode: async", "", "an event in the format v2; X-Amz-Invocation-Type: Event"},
		{"mode: dry-run", "", "an event in the format v2; X-Amz-Invocation-Type: DryRun"},
	} {
		a := serveAWS(t, "eu-west-1", say(200, `{}`))
		text := "lambda: arn:aws:lambda:eu-west-1:123456789012:function:orders\nendpoint: " + a.URL + "\n" + test.config
		b := build(t, text)
		to := http.RoundTripper(b)
		if test.part != "" {
			to, _ = b.(function.Parted).Part(test.part)
		}
		if res, _, err := ask(t, to, "GET", "/orders?page=2", "", unchanged); err == nil {
			_ = res.Body.Close()
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/orders?page=2", http.NoBody)
		adds, err := Definition().Rehearse(read(t, text), test.part, r)
		if err != nil {
			t.Fatal(err)
		}
		got := a.seen()[0]
		if r.Method != http.MethodPost || r.URL.EscapedPath() != got.path || r.URL.RawQuery != got.query || a.URL != "http://"+r.Host {
			t.Errorf("it rehearses %s %s at %s, and sends %s?%s", r.Method, r.URL, r.Host, got.path, got.query)
		}
		if said := strings.Join(adds, "; "); said != test.adds+"; a signature for lambda in eu-west-1" {
			t.Errorf("it adds %s", said)
		}
		for _, field := range adds[1 : len(adds)-1] {
			if name, value, _ := strings.Cut(field, ": "); got.head.Get(name) != value {
				t.Errorf("%s is not sent", field)
			}
		}
	}
}
