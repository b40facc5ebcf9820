package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/cli"
)

// A gateway that runs is asked what it would do, by its admin API.
func TestARunningGatewayExplains(t *testing.T) {
	type question struct {
		method, body string
		query        url.Values
	}
	var asked question
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked = (question{r.Method, string(body), r.URL.Query()}); r.URL.Path != "/v1/explain" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if asked.query.Get("url") == "orders" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"title": "A parameter is wrong.", "detail": "it is no URL to explain", "code": "bad-parameter"}`))
			return
		}
		_, _ = w.Write([]byte("backend    users\x1b[2J\n")) // a terminal is not led by what a config says
	}))
	defer admin.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
		asks question
	}{
		{[]string{"GET", "/orders"}, 0, "backend    users\\x1b[2J\n", question{"GET", "", url.Values{"method": {"GET"}, "url": {"/orders"}, "format": {"text"}}}},
		{
			[]string{"POST", "/orders", "--json", "-H", "A: 1", "-H", "B: 2", "--as", "ada", "--client", "10.0.0.1", "--socket", ":8080"}, 0, "backend    users\x1b[2J\n",
			question{"GET", "", url.Values{"method": {"POST"}, "url": {"/orders"}, "header": {"A: 1", "B: 2"}, "as": {"ada"}, "client": {"10.0.0.1"}, "socket": {":8080"}}},
		},
		{[]string{"POST", "/batch", "-d", "-"}, 0, "backend    users", question{"POST", "{}", url.Values{"method": {"POST"}, "url": {"/batch"}, "format": {"text"}}}},
		{[]string{"POST", "/batch", "-d", ""}, 0, "backend    users", question{"POST", "", url.Values{"method": {"POST"}, "url": {"/batch"}, "format": {"text"}}}},
		{[]string{"GET", "orders"}, 1, "it is no URL to explain", question{"GET", "", url.Values{"method": {"GET"}, "url": {"orders"}, "format": {"text"}}}},
	} {
		var out bytes.Buffer
		args := append([]string{"explain", "running", "--admin", strings.TrimPrefix(admin.URL, "http://")}, c.args...)
		code := cli.Main(args, "test", cli.Streams{In: strings.NewReader("{}"), Out: &out, Err: &out})
		if code != c.code || !strings.Contains(out.String(), c.says) || !reflect.DeepEqual(asked, c.asks) {
			t.Errorf("%q: exit %d, asked for %v, and it says\n%s", c.args, code, asked, out.String())
		}
	}
}
