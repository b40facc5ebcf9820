// Package smoke plays the scenarios of the examples against functions that really run in clouds, with the user's own
// account. Each request goes to the function here and there, and a client must not be able to tell them apart. `make
// cloud-smoke` does it for every platform that the environment names, and reports the others as not tested. Without
// it the scenarios are played against Weir's own Lambda API, which proves that they detect differences.
package smoke

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/weirtest"
)

var clouds = flag.Bool("clouds", false, "play against the clouds that the environment names")

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// platform is a cloud in which a function may run.
type platform struct {
	// needs are the environment variables that name the function; example is a possible value of the first one.
	needs   []string
	example string
	folder  string // of the deployed function, from the root of the repository
	// there holds routes to it in the config's language, by the prefixes of their paths; {} stands for the first
	// variable.
	there map[string]string
	// here is the route to the same function on this machine.
	here string
	far  string // how the function there is declared
	// paths are requested behind each prefix; statuses are prefixes for which only the status is compared.
	paths    []string
	statuses map[string]int
}

// platforms returns all platforms.
func platforms() map[string]platform {
	const web, anyPath = "examples/clouds/functions/web", "ANY /%s/**: {strip: /%[1]s, to: %s}"
	return map[string]platform{
		"AWS Lambda": {
			needs: []string{"WEIR_SMOKE_LAMBDA"}, example: "orders:live@eu-west-1", folder: "examples/shop/functions/orders",
			here: "GET /here/{id}: fn:local",
			there: map[string]string{
				"sync": "GET /sync/{id}: far", "stream": "GET /stream/{id}: far-stream", "async": "GET /async/{id}: far-async", "dry": "GET /dry/{id}: far-dry",
			},
			far:   "far: {lambda: '{}'%[1]s}\n  far-stream: {lambda: '{}', mode: stream%[1]s}\n  far-async: {lambda: '{}', mode: async%[1]s}\n  far-dry: {lambda: '{}', mode: dry-run%[1]s}",
			paths: []string{"/1", "/2", "/9"}, statuses: map[string]int{"async": http.StatusAccepted, "dry": http.StatusNoContent},
		},
		"a function URL of AWS": {
			needs: []string{"WEIR_SMOKE_FUNCTION_URL"}, example: "https://ID.lambda-url.eu-west-1.on.aws", folder: "examples/shop/functions/orders",
			here: "GET /here: fn:local", there: map[string]string{"url": "GET /url: {sign: aws, rewrite: /, to: '{}'}"}, paths: []string{""},
		},
		"Google Cloud": {
			needs: []string{"WEIR_SMOKE_GOOGLE"}, example: "https://web-123456789012.europe-west1.run.app", folder: web,
			here: fmt.Sprintf(anyPath, "here", "fn:local"), there: map[string]string{"google": fmt.Sprintf(anyPath, "google", "far")},
			far: "far: {gcf: '{}'}", paths: []string{"/tea", "/a%20b?x=1"},
		},
		"Azure Functions": {
			needs: []string{"WEIR_SMOKE_AZURE", "FUNCTIONS_KEY"}, example: "shop-web", folder: web,
			here: fmt.Sprintf(anyPath, "here", "fn:local"), there: map[string]string{"azure": fmt.Sprintf(anyPath, "azure", "far")},
			far: "far: {azure: '{}', prefix: none, key: '${env:FUNCTIONS_KEY}'}", paths: []string{"/tea", "/a%20b?x=1"},
		},
	}
}

// missing returns the variables that the environment lacks.
func (p platform) missing() []string {
	return slices.DeleteFunc(slices.Clone(p.needs), func(name string) bool { return os.Getenv(name) != "" })
}

// TestAgainstClouds runs only if it is asked for.
func TestAgainstClouds(t *testing.T) {
	if !*clouds {
		t.Skip("it needs an account: run `make cloud-smoke`")
	}
	all, ran := platforms(), 0
	var summary []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		if missing := p.missing(); len(missing) > 0 {
			summary = append(summary, fmt.Sprintf("%s: DID NOT RUN, for the environment has no %s (for example %s; deploy %s there)", name, strings.Join(missing, " and no "), p.example, p.folder))
			continue
		}
		ran++
		told := "FAILED"
		if t.Run(name, func(t *testing.T) { play(t, p, "") }) {
			told = "passed"
		}
		summary = append(summary, name+": "+told)
	}
	if ran == 0 {
		summary = append(summary, "No cloud was asked anything.")
	}
	t.Log("\n" + strings.Join(summary, "\n"))
}

// TestTheScenariosTellWhatIsAnother plays the scenarios against a stand-in for AWS, and against a different function.
func TestTheScenariosTellWhatIsAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds functions")
	}
	lambda := platforms()["AWS Lambda"]
	serving := weirtest.Start(t, written(t, "listen: localhost:0\nlambda_api: 127.0.0.1:0\nfunctions:\n"+function("orders", lambda.folder)+"routes:\n  GET /{id}: fn:orders\n"))
	for name, value := range map[string]string{
		"WEIR_SMOKE_LAMBDA": "orders@eu-west-1", "AWS_ACCESS_KEY_ID": "here", "AWS_SECRET_ACCESS_KEY": "here", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	endpoint := ", endpoint: 'http://" + serving.Lambda + "'"
	play(t, lambda, endpoint)
	if differences := played(t, lambda, endpoint, "GET /here/{id}: {respond: another}"); len(differences) == 0 {
		t.Error("another function is taken for the same")
	}
}

func play(t *testing.T, p platform, more string) {
	t.Helper()
	for _, d := range played(t, p, more, p.here) {
		t.Error(d)
	}
}

// played requests everything here and there, and returns the differences.
func played(t *testing.T, p platform, more, here string) (differences []error) {
	t.Helper()
	routes := []string{here}
	for _, route := range p.there {
		routes = append(routes, route)
	}
	far := p.far
	if strings.Contains(far, "%[1]s") {
		far = fmt.Sprintf(far, more)
	}
	text := "listen: 127.0.0.1:0\nroutes:\n  " + strings.Join(routes, "\n  ") + "\nfunctions:\n" + function("local", p.folder)
	if far != "" {
		text += "  " + far + "\n"
	}
	g := weirtest.Start(t, written(t, strings.ReplaceAll(text, "{}", os.Getenv(p.needs[0]))))
	for _, prefix := range slices.Sorted(maps.Keys(p.there)) {
		for _, path := range p.paths {
			there, err := ask(t, g, "/"+prefix+path)
			if err != nil {
				differences = append(differences, err)
				continue
			}
			if status, alone := p.statuses[prefix]; alone {
				if there.status != status {
					differences = append(differences, fmt.Errorf("/%s%s: %v, want %d", prefix, path, there, status))
				}
				continue
			}
			same, err := ask(t, g, "/here"+path)
			if err != nil || same.String() != there.String() {
				differences = append(differences, fmt.Errorf("/%s%s:\nhere  %v\nthere %v, %w", prefix, path, same, there, errors.Join(err)))
			}
		}
	}
	return differences
}

// answer is a response without the parts that differ each time.
type answer struct {
	status int
	head   http.Header
	body   string
}

func (a answer) String() string {
	head, _ := json.Marshal(a.head) // it always encodes, sorted by name
	return fmt.Sprintf("%d %s %.1000s", a.status, head, a.body)
}

// patience is how long the first request may take, because a function may have to be built for it.
const patience = 3 * time.Minute

func ask(t *testing.T, g *weirtest.Gateway, path string) (answer, error) {
	t.Helper()
	client := http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.Address+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	body, err := io.ReadAll(res.Body)
	// What platforms add besides the date: ids, the names of their servers, and fields about the connection.
	kept := http.Header{}
	for _, name := range []string{"Content-Type", "Set-Cookie", "Location", "Cache-Control"} {
		if values := res.Header.Values(name); values != nil {
			kept[name] = values
		}
	}
	return answer{res.StatusCode, kept, string(body)}, err
}

// function declares a function that is built from a folder.
func function(name, folder string) string {
	more := ""
	if strings.HasPrefix(folder, "examples/clouds") {
		more = ", contract: http"
	}
	return "  " + name + ": {run: " + strconv.Quote(filepath.Join(weirtest.Root(), folder)) + ", queue: {wait: 2m}" + more + "}\n"
}

func written(t *testing.T, text string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}
