package docs_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
)

const functionsKey = "a-key-of-32-characters-at-least."

// startClouds serves examples/clouds, with a stand-in for Google's metadata server.
func startClouds(t *testing.T) *shop {
	t.Helper()
	metadata := startMetadata(t)
	for name, value := range map[string]string{
		"GCE_METADATA_HOST": metadata, "FUNCTIONS_KEY": functionsKey, "GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	google, azure := freeport.Address(t), freeport.Address(t)
	s := startExample(t, "clouds", "127.0.0.1:9001", google, "127.0.0.1:9002", azure, "127.0.0.1:9003", metadata)
	s.hosts["localhost:9001"], s.hosts["localhost:9002"] = google, azure
	s.awaitFunctions(t, "/here/tea", "/google/tea", "/azure/tea")
	return s
}

// startMetadata builds the program and returns the address on which it listens.
func startMetadata(t *testing.T) (address string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "metadata")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(root, "examples", "clouds", "metadata")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	command := exec.Command(program, "-listen", "127.0.0.1:0") //nolint:noctx // ended below
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- text
	}()
	address, ok := strings.CutPrefix(strings.TrimSpace(await.From(t, "where it listens", line)), "http://")
	if !ok {
		t.Fatalf("it says %q", address)
	}
	return address
}

func TestTheCloudsExampleAnswersAsItsPageSays(t *testing.T) {
	s := startClouds(t)
	for _, p := range pages(t) {
		if p.name != "examples/clouds/README.md" {
			continue
		}
		for _, b := range p.blocks {
			if b.info == "console" {
				s.hold(t, b)
			}
		}
		p.save(t)
	}
}

// TestAClientCannotTellWhichCloud checks that the same requests get the same answers here, from the stand-in for
// Cloud Run and from the stand-in for Azure, except for the date and ids.
func TestAClientCannotTellWhichCloud(t *testing.T) {
	s := startClouds(t)
	for _, request := range []struct{ method, target, body string }{
		{"GET", "/orders/a%20b?tag=x&tag=y%2Cz&flag", ""},
		{"POST", "/orders", `{"item":"für uns <&>"}`},
		{"PUT", "/upload", "\x00\xff\x01"},
		{"POST", "/big", strings.Repeat("many words ", 200_000)},
		{"DELETE", "/orders/1", ""},
		{"HEAD", "/orders", ""},
		{"GET", "/missing", ""},
		{"GET", "/stream", ""},
		{"GET", "/", ""},
	} {
		here := s.answer(t, request.method, "/here"+request.target, request.body)
		for _, cloud := range []string{"/google", "/azure"} {
			if there := s.answer(t, request.method, cloud+request.target, request.body); there != here {
				t.Errorf("%s %s:\nhere  %.500s\n%s %.500s", request.method, request.target, here, cloud, there)
			}
		}
	}
}

// TestWhatStandsForTheCloudsChecksWhoCalls checks the stand-ins, without which the test above would prove little.
func TestWhatStandsForTheCloudsChecksWhoCalls(t *testing.T) {
	s := startClouds(t)
	for name, test := range map[string]struct{ listener, host, field, value string }{
		"no token":        {"localhost:9001", "web-123456789012.europe-west1.run.app", "X-Any", ""},
		"no token at all": {"localhost:9001", "web-123456789012.europe-west1.run.app", "Authorization", "Bearer a.b.c"},
		"a guessed key":   {"localhost:9002", "shop-web.azurewebsites.net", "X-Functions-Key", "guess"},
		"no key":          {"localhost:9002", "shop-web.azurewebsites.net", "X-Any", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.hosts[test.listener]+"/tea", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = test.host
			r.Header.Set(test.field, test.value)
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
}

// answer returns a response as text, without what differs each time.
func (s *shop) answer(t *testing.T, method, target, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.hosts["localhost:8080"]+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header["X-Many"] = []string{"1", "2"}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
	for _, name := range []string{"Date", "X-Request-Id"} {
		res.Header.Del(name)
	}
	head, err := json.Marshal(res.Header)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(res.StatusCode) + " " + string(head) + " " + string(got)
}
