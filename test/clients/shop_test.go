package clients_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

// startShop serves a copy of the example shop. Its second listener, whose port is fixed in the example, gets a free
// port.
func startShop(t *testing.T) *weirtest.Gateway {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(weirtest.Root(), "examples", "shop"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "weir.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const catalog = "127.0.0.1:9000"
	if n := strings.Count(string(config), catalog); n != 6 {
		t.Fatalf("the example names %s %d times, want a listener, a backend and four steps", catalog, n)
	}
	free := freeport.Address(t)
	config = []byte(strings.ReplaceAll(string(config), catalog, free))
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	shop := weirtest.Start(t, folder)
	shop.Address = slices.DeleteFunc(shop.Sockets, func(address string) bool { return address == free })[0]
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("weir says:\n%s", shop.Log())
		}
	})
	return shop
}

func TestShop(t *testing.T) {
	shop := startShop(t)
	client := h1Client(t)
	for _, test := range []struct {
		path   string
		status int
		body   string // JSON; "" if other tests check it
	}{
		{"/orders/1", 200, `{"id":"1","item":"Darjeeling, 250 g","total":1290}`},
		{"/orders/7", 404, `{"error":"there is no order 7"}`},
		{"/offers", 200, `{"pots":{"item":"Tea pot","price":2900},"tea":{"item":"Darjeeling, 250 g","price":990}}`},
		{"/offers/tea", 200, `{"item":"Darjeeling, 250 g","price":990}`},
		{"/offers/coffee", 404, `{"error":"there is no such offer"}`},
		{"/products/tea.json", 200, `{"name":"tea","price":420,"currency":"EUR"}`},
		{"/products/coffee.json", 404, ""},
		{"/home/ann", 200, `{"user":"ann","ordered":["Darjeeling, 250 g","Tea pot","Oolong, 100 g"],"points":1290,"left":{"Darjeeling, 250 g":40},
			"offers":{"pots":{"item":"Tea pot","price":2900},"tea":{"item":"Darjeeling, 250 g","price":990}},"products":[null,{"name":"tea","price":420,"currency":"EUR"}],
			"news":[{"title":"First flush is in","day":"2026-04-12"},{"title":"Closed on Sunday","day":"2026-04-09"}]}`},
		{"/nope", 404, ""},
	} {
		res, body := send(t, client, newRequest(t, http.MethodGet, "http://"+shop.Address+test.path, nil))
		if res.StatusCode != test.status {
			t.Errorf("%s: %s %s, want %d", test.path, res.Status, body, test.status)
		}
		if test.body != "" && compact(t, body) != compact(t, test.body) {
			t.Errorf("%s: got %s, want %s", test.path, body, test.body)
		}
	}
}

// TestShopTakesBackWhatWasNotPaidFor buys until nothing is left, and once in between with a card that is declined.
func TestShopTakesBackWhatWasNotPaidFor(t *testing.T) {
	shop := startShop(t)
	client := h1Client(t)
	left := func() string {
		_, body := send(t, client, newRequest(t, http.MethodGet, "http://"+shop.Address+"/stock?item=Tea+pot", nil))
		return strings.TrimSpace(body)
	}
	for i, test := range []struct {
		card   string
		status int
		body   string
		left   string
	}{
		{"4000", 201, `{"reservation":1,"paid":true}`, `{"Tea pot":2}`},
		{"expired", 402, `{"error":"the card has expired"}`, `{"Tea pot":2}`},
		{"4000", 201, `{"reservation":3,"paid":true}`, `{"Tea pot":1}`},
		{"4000", 201, `{"reservation":4,"paid":true}`, `{"Tea pot":0}`},
		{"4000", 409, `{"error":"there is none left"}`, `{"Tea pot":0}`},
	} {
		r := newRequest(t, http.MethodPost, "http://"+shop.Address+"/checkout", strings.NewReader(`{"item":"Tea pot","card":"`+test.card+`"}`))
		r.Header.Set("Content-Type", "application/json")
		res, body := send(t, client, r)
		if res.StatusCode != test.status || compact(t, body) != compact(t, test.body) {
			t.Errorf("%d: got %s %s, want %d %s", i, res.Status, body, test.status, test.body)
		}
		if got := left(); got != test.left {
			t.Errorf("%d: %s is left, want %s", i, got, test.left)
		}
	}
}

// compact returns JSON with sorted keys and no spaces.
func compact(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Errorf("%q is not JSON: %v", text, err)
	}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestShopSaysWhatCameClosest(t *testing.T) {
	shop := startShop(t)
	res, body := send(t, h1Client(t), newRequest(t, http.MethodGet, "http://"+shop.Address+"/order/1", nil))
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	const closest = `The closest is GET /orders/{id}: path differs at segment 1: "order" vs "orders".`
	if res.StatusCode != http.StatusNotFound || problem.Code != "route-not-found" || !strings.Contains(problem.Detail, closest) {
		t.Errorf("got %s %s, want a 404 that says: %s", res.Status, body, closest)
	}
}

// A function answers many clients at once, each with its own order.
func TestSixteenClientsShareAFunction(t *testing.T) {
	shop := startShop(t)
	want := map[string]string{
		"1": `{"id":"1","item":"Darjeeling, 250 g","total":1290}`,
		"2": `{"id":"2","item":"Tea pot","total":3450}`,
		"3": `{"id":"3","item":"Oolong, 100 g","total":980}`,
	}
	ids := slices.Sorted(maps.Keys(want))
	var all sync.WaitGroup
	for i := range 16 {
		client, id := h1Client(t), ids[i%len(ids)]
		all.Go(func() {
			for range 25 {
				if err := wantOrder(client, "http://"+shop.Address+"/orders/"+id, want[id]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func wantOrder(client *http.Client, url, want string) error {
	res, err := client.Get(url) //nolint:noctx // the client has a time-out
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(body) != want) {
		err = fmt.Errorf("%s: %s %s, want %s", url, res.Status, body, want)
	}
	return err
}

func TestExplainNamesRouteAndBackend(t *testing.T) {
	got := runWeir(t, "explain", "examples/shop", "GET", "/orders/7")
	for _, want := range []string{"GET /orders/{id}", "fn:orders", `id = "7"`} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not name %s:\n%s", want, got)
		}
	}
}

// runWeir runs the binary in the root of the repository and returns its output.
func runWeir(t *testing.T, arguments ...string) string {
	t.Helper()
	weir := exec.CommandContext(t.Context(), weirtest.Binary(t), arguments...)
	weir.Dir = weirtest.Root()
	out, err := weir.CombinedOutput()
	if err != nil {
		t.Errorf("weir %q: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// console matches a block of the README that shows a command and its output.
var console = regexp.MustCompile("(?s)```console\n\\$ (.*?)\n(.*?)```")

// TestReadmeShowsWhatHappens runs the README's commands against the shop and compares their output with the README's,
// if it shows any.
func TestReadmeShowsWhatHappens(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(weirtest.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := console.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("the README shows no command")
	}
	shop := startShop(t)
	for _, block := range blocks {
		command, shown := block[1], block[2]
		t.Run(command, func(t *testing.T) {
			got := run(t, command, shop)
			if shown != "" && masked(got) != masked(shown) {
				t.Errorf("it prints\n%s\nthe README shows\n%s", got, shown)
			}
		})
	}
}

// run runs a command of the README, and returns its output.
func run(t *testing.T, command string, shop *weirtest.Gateway) string {
	t.Helper()
	words := split(command)
	switch {
	case strings.HasPrefix(command, "go run ./cmd/weir "):
		return runWeir(t, words[3:]...)
	case words[0] == "curl":
		return curl(t, words[1:], shop)
	}
	t.Fatalf("this test does not know how to run %q", command)
	return ""
}

// split splits a command line into words; single quotes keep a word together.
func split(command string) []string {
	var words []string
	for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(command, -1) {
		words = append(words, strings.Trim(word, "'"))
	}
	return words
}

// curl supports the flags -i and -H.
func curl(t *testing.T, words []string, shop *weirtest.Gateway) string {
	t.Helper()
	address := strings.Replace(words[len(words)-1], "localhost:8080", shop.Address, 1)
	request := newRequest(t, http.MethodGet, "http://"+address, nil)
	head := false
	for i := 0; i < len(words)-1; i++ {
		switch words[i] {
		case "-i":
			head = true
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			request.Header.Set(name, value)
		default:
			t.Fatalf("this test does not know curl's %s", words[i])
		}
	}
	res, body := send(t, h1Client(t), request)
	if res.StatusCode >= http.StatusInternalServerError {
		t.Errorf("%s: %s %s", address, res.Status, body)
	}
	if !head {
		return body
	}
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, "%s %s\n", res.Proto, res.Status)
	_ = res.Header.Write(&out) // a write to a strings.Builder cannot fail
	return out.String() + "\n" + body
}

// masked returns an output without what differs between runs, and without the order of header fields, which
// net/http's client does not report.
func masked(text string) string {
	text = strings.ReplaceAll(text, "\r", "")
	text = regexp.MustCompile(`(?m)^Date: .*\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`("request_id": ?")[^"]*`).ReplaceAllString(text, "$1")
	if strings.HasPrefix(text, "HTTP/") {
		head, content, _ := strings.Cut(text, "\n\n")
		lines := strings.Split(head, "\n")
		slices.Sort(lines[1:])
		text = strings.Join(lines, "\n") + "\n\n" + content
	}
	return strings.TrimSpace(text)
}
