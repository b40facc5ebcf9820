package etcd

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestWhatStandsInAKey(t *testing.T) {
	for text, want := range map[string]discovery.Endpoint{
		"10.0.0.1:80":            {Address: "10.0.0.1:80", Weight: 1},
		"users-1:80\r\n":         {Address: "users-1:80", Weight: 1},
		`{"address":"[::1]:80"}`: {Address: "[::1]:80", Weight: 1},
		`{"address":"::1","port":80,"weight":0,"zone":"a","node":"n","state":"not_ready"}`: {Address: "[::1]:80", Zone: "a", Node: "n", Condition: discovery.NotReady},
		`{"address":"a:1","id":"x","weight":2.9,"tags":["y"],"meta":{"z":1}}`:              {ID: "x", Address: "a:1", Weight: 2},
		`{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}`:                                    {Address: "10.0.0.1:80", Weight: 1},
		`{"Op":0,"Addr":"10.0.0.1:80","Metadata":"blue"}`:                                  {Address: "10.0.0.1:80", Weight: 1},
		`{"Addr":"10.0.0.1:80","Metadata":{"Op":1,"Addr":"x","weight":5,"zone":"b"}}`:      {Address: "10.0.0.1:80", Weight: 5, Zone: "b"},
	} {
		if want.ID == "" {
			want.ID = "a@1f"
		}
		if got, err := endpointOf(pair{value: []byte(text), lease: 31, create: 7}, "a"); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                      "the address \"\" is not of the form host:port",
		"unix:/run/docker.sock":                 "not a number from 1 to 65535",
		"10.0.0.1":                              "not of the form host:port",
		"{":                                     "no JSON that is understood",
		`{"address":5}`:                         "no JSON that is understood",
		`{"address":"a","port":70000}`:          "not a number from 1 to 65535",
		`{"address":"a:1","weight":-1}`:         "its weight is -1",
		`{"address":"a:1","weight":1e300}`:      "its weight is 1e+300",
		`{"address":"a:1","zone":"a\u001b[2J"}`: "its zone holds what cannot be printed",
		`{"address":"a:1","id":"a\u0007"}`:      "its id holds what cannot be printed",
		`{"address":"a:1","state":"up"}`:        `its state is "up"`,
		`{"Op":1,"Addr":"10.0.0.1:80"}`:         "marked as deleted",
		`{"zone":"a"}`:                          "not of the form host:port",
		`{"address":"unix:/run/docker.sock"}`:   "not a number",
	} {
		if got, err := endpointOf(pair{value: []byte(text)}, "a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", text, got, err, want)
		}
	}
	if a, b := identity(pair{create: 7}, "a"), identity(pair{create: 8}, "a"); a == b {
		t.Error("a key that was created anew is the same instance")
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string][]string{
		"http://10.0.0.5:2379":                               {"http://10.0.0.5:2379"},
		"[http://a, https://b:1/]":                           {"http://a:2379", "https://b:1"},
		"servers: [http://a, http://b]\nprefix: ''\n":        {"http://a:2379", "http://b:2379"},
		"servers: https://[::1]:2379\nname: etcd\nca: /ca\n": {"https://[::1]:2379"},
		"prefix: x/\n":                                       {"http://127.0.0.1:2379"},
	} {
		c, ps := settings(text)
		var got []string
		for _, s := range c.Servers {
			got = append(got, s.String())
		}
		if ps.Failed() || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, ps.Sorted())
			continue
		}
		again, ps := settings(string(doc.Encode(&c)))
		if ps.Failed() || !config.Same(c, again) {
			t.Errorf("%s is written as %s: %v", text, doc.Encode(&c), ps.Sorted())
		}
	}
	for text, want := range map[string]string{
		"10.0.0.5:2379":                     "it is no URL with http:// or https://",
		"tcp://a:1":                         "it is no URL",
		"http://u:p@a":                      "a user in a URL would stand in logs",
		"http://a/v3":                       "it has a path",
		"http://a:0":                        "is not a number",
		"{ servers: [] }":                   "etcd has no servers",
		"{ user: weir }":                    "there is a user and no password",
		"{ password: '${env:X}' }":          "there is a password and no user",
		"{ servers: http://a, ca: /ca }":    "is asked without TLS",
		"{ server: http://a }":              `unknown key "server"`,
		"{ user: weir, password: geheim }":  "",
		"{ servers: http://a, user: [a] }":  "user is a list",
		"{ servers: { a: b } }":             "a map is given where a text is expected",
		"{ servers: https://a, cert: /c }":  "",
		"{ servers: https://a, prefix: 1 }": "",
	} {
		_, ps := settings(text)
		if told := problemsOf(ps); want != "" && !strings.Contains(told, want) {
			t.Errorf("%s: %s", text, told)
		}
	}
	if _, err := open(discovery.SourceEnv{Log: discard(), Checked: true}, &Config{TLS: discovery.TLS{Cert: &config.FileSecret{}}}); err == nil {
		t.Error("a certificate without a key is taken")
	}
}

func settings(text string) (Config, *doc.Problems) {
	var ps doc.Problems
	c := defaults()
	if !strings.Contains(text, "\n") { // it stands behind its key
		text = "etcd: " + text
	}
	if n := doc.Parse("weir.yaml", []byte(text), &ps); n != nil {
		doc.Decode(cmp.Or(n.Get("etcd"), n), &c, &ps)
	}
	return c, &ps
}

func problemsOf(ps *doc.Problems) string {
	var texts []string
	for _, p := range ps.Sorted() {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "\n")
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"users": true, "shop/users": true, "": false, "/users": false, "users/": false, "a//b": false, "//10.0.0.1:2379/users": false, "?x": false, "a#b": false, "a b": false, "a\x1b": false, "übung": true} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, s := range Definition().Schemes {
		rest, found := strings.CutPrefix(s.Example, s.Name+":")
		if !found || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil {
			t.Errorf("%+v", s)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for prefix, end := range map[string]string{"services/users/": "services/users0", "a\xff": "b", "\xff\xff": "\x00", "": "\x00"} {
		if got := string(prefixEnd(prefix)); got != end {
			t.Errorf("%q ends before %q", prefix, got)
		}
	}
}

// Pauses grow, and are never longer than the longest.
func TestPauses(t *testing.T) {
	for failures := range 100 {
		for servers := 1; servers < 4; servers++ {
			if d := pauseAfter(failures, servers); d < 0 || d > longestPause || failures > 20 && d < longestPause/2 {
				t.Errorf("after %d failures of %d servers: %v", failures, servers, d)
			}
		}
	}
	var e discovery.Emptied
	now := time.Now()
	if e.Doubted(now) != discovery.EmptiedDoubt || e.Doubted(now.Add(discovery.EmptiedDoubt)) != 0 {
		t.Error("doubt does not end when it should")
	}
	if e.Filled(); e.Doubted(now.Add(time.Hour)) != discovery.EmptiedDoubt {
		t.Error("doubt does not begin anew")
	}
}
