package functions

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/googletest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// written writes a config to a file.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGoogleLibraryBehindCloudRun runs a function with Google's own command as Cloud Run would have it: behind a
// guard that checks who has signed the token, and for which audience.
func TestGoogleLibraryBehindCloudRun(t *testing.T) {
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
	issuer := googletest.Start(t)
	const audience = "https://hello-abc.a.run.app"
	platform := weirtest.Start(t, written(t, fmt.Sprintf(`
listen: 127.0.0.1:0
auth:
  id-token:
    jwt: https://accounts.google.com
    audience: %s
    jwks: %s/oauth2/v3/certs
routes:
  ANY /**:
    auth: id-token
    to: fn:hello
functions:
  hello:
    run: %s
    handler: hello
    init: 2m
    queue: { wait: 2m }
    timeout: 2m
    env:
      FUNCTION_SOURCE: %s
      NODE_OPTIONS: %s
      PATH: %s
`, audience, issuer.URL, strconv.Quote(filepath.Join(folder, "node_modules", ".bin", "functions-framework")), strconv.Quote(filepath.Join(folder, "framework.cjs")),
		strconv.Quote("--require "+filepath.Join(folder, "loopback.cjs")), strconv.Quote(filepath.Dir(node)+string(os.PathListSeparator)+"/usr/bin:/bin"))))
	for name, value := range map[string]string{"GCE_METADATA_HOST": issuer.Host(), "GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": t.TempDir()} {
		t.Setenv(name, value)
	}
	gateway := weirtest.Start(t, written(t, `
listen: 127.0.0.1:0
routes:
  ANY /wrong/**: { strip: /wrong, to: "run:wrong" }
  ANY /**: run:hello
functions:
  hello: { gcf: `+audience+`, timeout: 2m, endpoint: "http://`+platform.Address+`" }
  wrong: { gcf: `+audience+`, timeout: 2m, endpoint: "http://`+platform.Address+`", audience: "https://other.a.run.app" }
`))
	for name, test := range map[string]struct {
		address, path string
		status        int
		want          string
	}{
		"nobody":             {platform.Address, "/tea", 401, "unauthorized"},
		"the gateway":        {gateway.Address, "/tea?a=1", 201, `"url":"/tea?a=1"`},
		"a stream":           {gateway.Address, "/stream", 200, "data: 1\n\ndata: 2\n\n"},
		"a failure":          {gateway.Address, "/throw", 500, ""},
		"a token for others": {gateway.Address, "/wrong/tea", 502, "function-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+test.address+test.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("got %d %s, %v", res.StatusCode, body, err)
			}
		})
	}
}
