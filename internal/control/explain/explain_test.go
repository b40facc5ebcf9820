package explain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/explain"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	functions "github.com/weir-gateway/weir/internal/function/all"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

var update = flag.Bool("update", false, "write the goldens anew")

// shop is the config that most requests here are asked of.
func shop(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	return load(t, "shop.yaml")
}

func load(t *testing.T, name string) *snapshot.Snapshot {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	parts := compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions(), Functions: functions.Definitions(), Auths: auths.Definitions()}
	result := config.Load([]config.Source{{Path: name, Data: data}}, parts.Vocabulary())
	if result.Config == nil {
		t.Fatal(result.Problems)
	}
	s, problems := compile.Check(parts, result.Config, "digest")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

func TestText(t *testing.T) {
	s := shop(t)
	for name, q := range map[string]explain.Request{
		"plain":             {Method: "GET", URL: "/orders/42?page=2"},
		"rewritten":         {Method: "POST", URL: "https://shop.dev/api/v1/orders%20new", Headers: []string{"Content-Type: application/json"}},
		"near miss":         {Method: "GET", URL: "/order/42"},
		"nothing near":      {Method: "GET", URL: "/favicon.ico"},
		"wrong method":      {Method: "DELETE", URL: "/orders/42"},
		"later routes":      {Method: "GET", URL: "/orders/latest"},
		"preflight":         {Method: "OPTIONS", URL: "/api/v1/x", Headers: []string{"Origin: https://shop.dev", "Access-Control-Request-Method: PUT"}},
		"options":           {Method: "OPTIONS", URL: "/orders/42"},
		"shares":            {Method: "GET", URL: "/home"},
		"condition holds":   {Method: "GET", URL: "/home", Headers: []string{"X-Beta: 1"}},
		"condition fails":   {Method: "GET", URL: "/fails"},
		"caller":            {Method: "GET", URL: "/mine", As: "ada"},
		"caller by claims":  {Method: "GET", URL: "/mine", As: `{"iss":"https://id.shop.dev","sub":"ada","scope":"orders:read orders:write"}`},
		"nobody":            {Method: "GET", URL: "/mine"},
		"assumed caller":    {Method: "GET", URL: "/known/ada", As: "ada"},
		"nobody is assumed": {Method: "GET", URL: "/known/ada", Headers: []string{"X-API-Key: whatever"}},
		"header condition":  {Method: "GET", URL: "/typed"},
		"redirect":          {Method: "GET", URL: "/old/7"},
		"ambiguous path":    {Method: "GET", URL: "/a/%2e%2e/b"},
		"encoded slash":     {Method: "GET", URL: "/orders/4%2F2"},
		"dot segments":      {Method: "GET", URL: "/x/./y"},
		"host by header":    {Method: "GET", URL: "/", Headers: []string{"Host: api.shop.dev"}},
		"function":          {Method: "GET", URL: "/latest"},
		"folder":            {Method: "GET", URL: "/public/logo.svg"},
		"rewrite too far":   {Method: "GET", URL: "/up/a/b"},
		"composition":       {Method: "GET", URL: "/composed/7"},
		"many endpoints":    {Method: "GET", URL: "/many"},
		"guards pass":       {Method: "GET", URL: "/guarded/ada?v=1", Headers: []string{"X-Tenant: shop"}},
		"guard refuses":     {Method: "GET", URL: "/guarded/root", Headers: []string{"X-Tenant: shop"}},
		"outer guard":       {Method: "GET", URL: "/guarded/root", Client: "192.0.2.1"},
		"limits":            {Method: "POST", URL: "/limited/ada", As: "ada", Headers: []string{"Content-Length: 17"}},
		"body too large":    {Method: "POST", URL: "/limited/ada", Headers: []string{"Content-Length: 5000"}},
		"dry run":           {Method: "GET", URL: "/guarded/ada", Headers: []string{"X-Tenant: shop"}},
		"internal listener": {Method: "GET", URL: "/", Socket: "127.0.0.1:9090"},
	} {
		t.Run(name, func(t *testing.T) { explained(t, s, name, q) })
	}
}

// What clouds get is shown as it is sent.
func TestTextOfClouds(t *testing.T) {
	t.Setenv("MARKET_FUNCTIONS_KEY", "hush")
	s := load(t, "clouds.yaml")
	for name, q := range map[string]explain.Request{
		"azure function": {Method: "GET", URL: "/prices/green%20tea?in=eur"},
		"azure app":      {Method: "GET", URL: "/market/api/prices/tea"},
		"azure refuses":  {Method: "GET", URL: "/refused"},
		"google":         {Method: "GET", URL: "/report"},
		"google beside":  {Method: "GET", URL: "/report", Headers: []string{"Authorization: Basic mine"}},
		"lambda":         {Method: "POST", URL: "/orders"},
		"lambda version": {Method: "GET", URL: "/orders/7"},
		"signed":         {Method: "GET", URL: "/signed?q=a+b"},
	} {
		t.Run(name, func(t *testing.T) { explained(t, s, name, q) })
	}
}

// What backends are told about the client is shown where a route or its defaults say it.
func TestTextOfForwarded(t *testing.T) {
	s := load(t, "forwarded.yaml")
	for name, q := range map[string]explain.Request{
		"forwarded":      {Method: "GET", URL: "/ours"},
		"forwarded none": {Method: "GET", URL: "/theirs"},
	} {
		t.Run(name, func(t *testing.T) { explained(t, s, name, q) })
	}
}

// Programs get a list in any case, also of nothing.
func TestForwardedOfNothingIsAnEmptyList(t *testing.T) {
	e, err := explain.Run(load(t, "forwarded.yaml"), explain.Request{Method: "GET", URL: "/theirs"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"forwarded":{"fields":[],"origin":"forwarded.yaml:2:13"}`; !strings.Contains(string(text), want) {
		t.Errorf("want %s in %s", want, text)
	}
}

// Nobody is told anything where a filter answers, and only the gateway itself is asked about jobs.
func TestForwardedIsNotShownWithoutBackends(t *testing.T) {
	s := load(t, "forwarded.yaml")
	for _, url := range []string{"/here", "/.weir/jobs/0f5003c940dd/1"} {
		e, err := explain.Run(s, explain.Request{Method: "GET", URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if e.Route == nil || e.Forwarded != nil {
			t.Errorf("%s: route %v tells %v", url, e.Route, e.Forwarded)
		}
	}
}

// What becomes of each part of a batch is shown where its body is known.
func TestTextOfBatches(t *testing.T) {
	s := load(t, "batch.yaml")
	for name, body := range map[string]*string{
		"batch": new(`{"requests":[
  {"id":"1","method":"GET","url":"/orders/7?full=1"},
  {"id":"2","method":"GET","url":"/report"},
  {"id":"3","method":"POST","url":"/batch","dependsOn":["1"]}]}`),
		"batch of parts that wait in vain": new(`{"requests":[
  {"id":"refused","method":"GET","url":"/admin"},
  {"id":"passed","method":"GET","url":"/orders/7"},
  {"id":"waits","method":"GET","url":"/orders/8","dependsOn":["passed","refused"]},
  {"id":"waits-longer","method":"GET","url":"/nowhere","dependsOn":["waits"]},
  {"id":"closed","method":"GET","url":"/closed"},
  {"id":"after-closed","method":"GET","url":"/orders/9","dependsOn":["closed"]},
  {"id":"moved","method":"GET","url":"/moved"},
  {"id":"after-moved","method":"GET","url":"/orders/9","dependsOn":["moved"]},
  {"id":"half","method":"GET","url":"/half"},
  {"id":"after-half","method":"GET","url":"/orders/9","dependsOn":["half"]}]}`),
		"batch of mistakes":       new(`{"requests":[{"id":"1","url":"/orders/7","body":1},{"id":"1","method":"GET","url":"orders"}]}`),
		"batch without a body":    nil,
		"batch of nothing":        new(""),
		"batch of something else": new("requests"),
	} {
		t.Run(name, func(t *testing.T) {
			explained(t, s, name, explain.Request{Method: "POST", URL: "/batch", Headers: []string{"Content-Type: application/json"}, As: "ada", Body: body})
		})
	}
}

// Which routes hold bodies, and how much of them, is shown.
func TestTextOfFormats(t *testing.T) {
	s := load(t, "formats.yaml")
	for name, q := range map[string]explain.Request{
		"format of a request":  {Method: "POST", URL: "/orders"},
		"format of a response": {Method: "GET", URL: "/orders/7"},
		"format of a step":     {Method: "GET", URL: "/plain"},
	} {
		t.Run(name, func(t *testing.T) { explained(t, s, name, q) })
	}
}

func explained(t *testing.T, s *snapshot.Snapshot, name string, q explain.Request) {
	t.Helper()
	e, err := explain.Run(s, q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := explain.Text(&out, e); err != nil {
		t.Fatal(err)
	}
	golden(t, strings.ReplaceAll(name, " ", "-")+".txt", out.Bytes())
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, got)
	}
}

func TestDiagram(t *testing.T) {
	s := shop(t)
	e, err := explain.Run(s, explain.Request{Method: "GET", URL: "/composed/7"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := explain.Diagram(&out, e); err != nil {
		t.Fatal(err)
	}
	golden(t, "composition.mmd", out.Bytes())
	e, err = explain.Run(s, explain.Request{Method: "GET", URL: "/orders/42"})
	if err != nil {
		t.Fatal(err)
	}
	if err := explain.Diagram(&out, e); !errors.Is(err, explain.ErrNoComposition) {
		t.Errorf("a route without one: %v", err)
	}
}

func TestExplainingChangesNothing(t *testing.T) {
	s := shop(t)
	q := explain.Request{Method: "GET", URL: "/home", Headers: []string{"X-Beta: 1"}}
	var texts [2]bytes.Buffer
	for i := range texts {
		e, err := explain.Run(s, q)
		if err != nil || explain.Text(&texts[i], e) != nil {
			t.Fatal(err)
		}
	}
	if texts[0].String() != texts[1].String() {
		t.Errorf("first:\n%s\nthen:\n%s", &texts[0], &texts[1])
	}
}

func TestWrongDescriptionSaysWhatToWrite(t *testing.T) {
	s := shop(t)
	for want, q := range map[string]explain.Request{
		`"orders/1" is no URL to explain: write a path such as /orders/1, or http://shop.dev/orders/1`: {Method: "GET", URL: "orders/1"},
		`"ftp://shop.dev/" is no URL to explain`:                                                       {Method: "GET", URL: "ftp://shop.dev/"},
		`"" is no URL to explain`:                                                                      {Method: "GET"},
		`method "GE T"`:                                                                                {Method: "GE T", URL: "/"},
		`header "X Beta: 1": HTTP allows no such name or value`:                                        {Method: "GET", URL: "/", Headers: []string{"X Beta: 1"}},
		`header "X: a\r\nY: b": HTTP allows no such name or value`:                                     {Method: "GET", URL: "/", Headers: []string{"X: a\r\nY: b"}},
		`header "X-Beta 1": write it as "Name: value"`:                                                 {Method: "GET", URL: "/", Headers: []string{"X-Beta 1"}},
		`header "Content-Length: -1": strconv`:                                                         {Method: "GET", URL: "/", Headers: []string{"Content-Length: -1"}},
		`the identity is not a JSON object of claims`:                                                  {Method: "GET", URL: "/", As: `{"sub": }`},
		`client "localhost" is not an IP address`:                                                      {Method: "GET", URL: "/", Client: "localhost"},
		`there is no socket "api"; there are: 127.0.0.1:9090, :8080, `:                                 {Method: "GET", URL: "/", Socket: "api"},
	} {
		if _, err := explain.Run(s, q); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestWhoMayNotBeAskedIsTold(t *testing.T) {
	step := snapshot.BackendStep{
		Name: "users", Endpoints: []string{"10.0.0.1:80"}, Asks: service.AsksPanicked, Resting: true,
		Left: []snapshot.LeftEndpoint{{Address: "10.0.0.2:80", State: service.Starting, Why: "status 503"}, {Address: "10.0.0.3:80", State: service.NotReady}},
	}
	for range 5 {
		step.Left = append(step.Left, snapshot.LeftEndpoint{Address: "10.0.0.4:80", State: service.Draining})
	}
	var text bytes.Buffer
	if err := explain.Text(&text, snapshot.Explanation{Backends: []snapshot.BackendStep{step}}); err != nil {
		t.Fatal(err)
	}
	const want = "             at 10.0.0.1:80\n                not 10.0.0.2:80, starting: status 503\n                not 10.0.0.3:80, not-ready\n" +
		"                not 10.0.0.4:80, draining\n                not 10.0.0.4:80, draining\n                not 10.0.0.4:80, draining\n                nor 2 more\n" +
		"                panic: too few are healthy, so unhealthy ones are asked too\n                its breaker is open: nothing is sent\n"
	if !strings.Contains(text.String(), want) {
		t.Errorf("it says\n%s", text.String())
	}
}

func TestEndpointsOfBeforeTheStartAreToldToBe(t *testing.T) {
	at := time.Date(2026, 11, 28, 4, 11, 7, 0, time.UTC)
	step := snapshot.BackendStep{Name: "users", Endpoints: []string{"10.0.0.1:80", "10.0.0.2:80"}, Kept: at}
	var text bytes.Buffer
	if err := explain.Text(&text, snapshot.Explanation{Backends: []snapshot.BackendStep{step}}); err != nil {
		t.Fatal(err)
	}
	const want = "             at 10.0.0.1:80, 10.0.0.2:80\n                from before the start, last confirmed 2026-11-28T04:11:07Z\n"
	if !strings.Contains(text.String(), want) {
		t.Errorf("it says\n%s", text.String())
	}
}

// Whatever a function has written into its log, a terminal does not obey it, and none of it is left out.
func TestAFunctionIsToldOfInLines(t *testing.T) {
	state := []string{"v2, sync; 0 calls, 0 wait", "failed last at 2026-11-28 20:58:05: function-error: no tea"}
	for range 10 {
		state = append(state, "\x1b[31mred\a")
	}
	var text bytes.Buffer
	if err := explain.Text(&text, snapshot.Explanation{Backends: []snapshot.BackendStep{{Name: "orders", State: state}}}); err != nil {
		t.Fatal(err)
	}
	want := "backend    orders\n             v2, sync; 0 calls, 0 wait\n               failed last at 2026-11-28 20:58:05: function-error: no tea\n" + strings.Repeat("               \ufffd[31mred\ufffd\n", 10)
	if !strings.Contains(text.String(), want) {
		t.Errorf("it says\n%s", text.String())
	}
}
