package lambdaapi

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/weirtest"
)

// both serves the function in the folder web with one gateway. Another gateway has routes to the function here, and
// through the API of the first, which demands signatures.
func both(t *testing.T, more string) (here, there string) {
	t.Helper()
	folder, err := filepath.Abs("web")
	if err != nil {
		t.Fatal(err)
	}
	function := "functions:\n  web: {run: " + strconv.Quote(folder) + patient + "}\n"
	first := weirtest.Start(t, written(t, "listen: localhost:0\nlambda_api: "+keyed(t)+"\nroutes:\n  ANY /**: fn:web\n"+function))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": temporaryID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	second := weirtest.Start(t, written(t, "listen: 127.0.0.1:0\nroutes:\n  ANY /**: lambda:far\nfunctions:\n  far: {lambda: web, region: "+region+
		", timeout: 2m, endpoint: 'http://"+first.Lambda+"'"+more+"}\n"))
	return first.Address, second.Address
}

func written(t *testing.T, text string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestAClientCannotTellWhereAFunctionIs checks that the same requests get the same answers in both places, except for
// the date and ids.
func TestAClientCannotTellWhereAFunctionIs(t *testing.T) {
	for mode, more := range map[string]string{"sync": "", "stream": ", mode: stream"} {
		t.Run(mode, func(t *testing.T) {
			here, there := both(t, more)
			for _, request := range []struct{ method, target, kind, body string }{
				{"GET", "/orders/a%2Fb%20c?tag=x&tag=y%2Cz&flag", "", ""},
				{"POST", "/orders?do=echo", "application/json", `{"item":"für uns <&>"}`},
				{"PUT", "/upload?do=echo", "image/png", "\x00\xff\x01"},
				{"POST", "/big?do=echo", "text/plain", strings.Repeat("many words ", 200_000)},
				{"DELETE", "/orders/1?do=empty", "", ""},
				{"GET", "/cookies?do=cookies", "", ""},
				{"GET", "/missing?do=missing", "", ""},
				{"GET", "/stream?do=stream", "", ""},
				{"GET", "/error?do=error", "", ""},
				{"GET", "/panic?do=panic", "", ""},
				{"GET", "/bad?do=bad", "", ""},
				{"HEAD", "/orders?do=echo", "", ""},
				{"POST", "/large?do=echo", "text/plain", strings.Repeat("x", 6<<20)},
			} {
				one, other := played(t, here, request.method, request.target, request.kind, request.body), played(t, there, request.method, request.target, request.kind, request.body)
				if one != other {
					t.Errorf("%s %s:\nhere  %.800s\nthere %.800s", request.method, request.target, one, other)
				}
			}
		})
	}
}

// played returns a response as text, without what differs each time.
func played(t *testing.T, address, method, target, kind, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.dev"
	req.Header["X-Many"] = []string{"1", "2"}
	req.Header.Set("Cookie", "a=1; b=2")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
	res.Header.Del("Date")
	head, err := json.Marshal(res.Header)
	if err != nil {
		t.Fatal(err)
	}
	var problem map[string]any
	if res.Header.Get("Content-Type") == "application/problem+json" && json.Unmarshal(got, &problem) == nil {
		delete(problem, "request_id")
		got, _ = json.Marshal(problem)
		res.Header.Del("Content-Length")
		head, _ = json.Marshal(res.Header)
	}
	return strconv.Itoa(res.StatusCode) + " " + string(head) + " " + string(got)
}
