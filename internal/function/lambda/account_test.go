package lambda

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
)

// vocabulary is what configs may say here.
func vocabulary() config.Vocabulary {
	d := Definition()
	return config.Vocabulary{
		Functions: []config.Kind{{Name: d.Kind, Summary: d.Summary, New: d.New}}, Schemes: []config.Scheme{d.Scheme}, Clouds: []config.Kind{aws.Kind()},
	}
}

// load reads a whole config, and gives its functions by their names.
func load(t *testing.T, text string) (map[string]*Config, string) {
	t.Helper()
	r := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte("listen: :8080\n" + text)}}, vocabulary())
	if r.Config == nil {
		return nil, fmt.Sprint(r.Problems)
	}
	all := map[string]*Config{}
	for _, f := range r.Config.Functions {
		c, ok := f.Config.(*Config)
		if !ok {
			t.Fatalf("%T", f.Config)
		}
		all[f.Name] = c
	}
	return all, ""
}

const accounts = `
clouds:
  aws:
    room: 64MiB
    regions: eu-west-1
    concurrency: 200
    accounts:
      shop:
        id: "123456789012"
        role: { arn: arn:aws:iam::123456789012:role/gateway, external_id: shop-42 }
        regions: [eu-central-1, eu-west-1]
        endpoint: http://{region}.test
        concurrency: { eu-central-1: 3000 }
        queue: 7
        wait: 2s
      old: { profile: old }
functions:
  plain: { lambda: a }
  named: { lambda: a, account: shop }
  by-arn: { lambda: "arn:aws:lambda:eu-west-2:123456789012:function:a" }
  by-role: { lambda: a, role: "arn:aws:iam::123456789012:role/other" }
  own: { lambda: a, account: shop, region: us-east-1, profile: mine, endpoint: "http://own.test" }
  old: { lambda: a, account: old }
`

func TestWhatIsSaidOfAnAccountHoldsForItsFunctions(t *testing.T) {
	all, problems := load(t, accounts)
	if problems != "" {
		t.Fatal(problems)
	}
	const gateway = "arn:aws:iam::123456789012:role/gateway"
	tests := map[string]struct {
		account, role, profile, endpoint string
		regions                          []string
		pool                             cloud.PoolBounds
	}{
		"plain":   {"profile ", "", "", "", []string{"eu-west-1"}, cloud.PoolBounds{Max: 200, Size: 1000, Wait: 5 * time.Second}},
		"named":   {"123456789012", gateway, "", "http://{region}.test", []string{"eu-central-1", "eu-west-1"}, cloud.PoolBounds{Max: 3000, Size: 7, Wait: 2 * time.Second}},
		"by-arn":  {"123456789012", gateway, "", "http://{region}.test", []string{"eu-west-2"}, cloud.PoolBounds{Max: 1000, Size: 7, Wait: 2 * time.Second}},
		"by-role": {"123456789012", "arn:aws:iam::123456789012:role/other", "", "http://{region}.test", []string{"eu-central-1", "eu-west-1"}, cloud.PoolBounds{Max: 3000, Size: 7, Wait: 2 * time.Second}},
		"own":     {"123456789012", "", "mine", "http://own.test", []string{"us-east-1"}, cloud.PoolBounds{Max: 1000, Size: 7, Wait: 2 * time.Second}},
		"old":     {"account old", "", "old", "", []string{"eu-west-1"}, cloud.PoolBounds{Max: 1000, Size: 1000, Wait: 5 * time.Second}},
	}
	for name, want := range tests {
		c := all[name]
		if name == "old" { // whose account says no region, and that of all others is another account's
			if err := c.validate(); err == nil || !strings.Contains(err.Error(), "region") {
				t.Errorf("old: %v", err)
			}
			continue
		}
		if err := c.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		who := c.caller(c.regions()[0])
		if c.account() != want.account || who.Role != want.role || who.Profile != want.profile || string(c.endpoint()) != want.endpoint || !slices.Equal(c.regions(), want.regions) {
			t.Errorf("%s is called in %v of %q as %+v at %q", name, c.regions(), c.account(), who, c.endpoint())
		}
		if got := c.in.Pool(c.regions()[0]); got != want.pool {
			t.Errorf("%s: its pool is %+v", name, got)
		}
		if c.room != 64<<20 {
			t.Errorf("%s: there is room for %d bytes", name, c.room)
		}
	}
}

func TestWhatIsWrongWithAnAccountIsToldWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"clouds: aws":                                          "it is a map of kinds: aws",
		"clouds: { asw: {} }":                                  "did you mean \"aws\"",
		"clouds: { aws: { room: 1MiB } }":                      "weir.yaml:2:24: room: 1MiB is not from 16MiB to",
		"clouds: { aws: { concurrency: 0 } }":                  "weir.yaml:2:31: concurrency: 0 is not from 1 to 100000",
		"clouds: { aws: { concurrency: { ireland: 5 } } }":     "no region",
		"clouds: { aws: { queue: -1 } }":                       "queue: -1 is not from 0",
		"clouds: { aws: { wait: 0s } }":                        "wait: 0s is not",
		"clouds: { aws: { regions: [a-b-1, a-b-1] } }":         "is no region",
		"clouds: { aws: { regions: [eu-west-1, eu-west-1] } }": "twice",
		"clouds: { aws: { regions: [eu-west-1, eu-west-2], endpoint: \"http://a.test\" } }":                                  "{region}",
		"clouds: { aws: { accounts: { shop: { id: \"12\" } } } }":                                                            "twelve digits",
		"clouds: { aws: { id: \"123456789012\", accounts: { shop: { id: \"123456789012\" } } } }":                            "the same number",
		"clouds: { aws: { accounts: { shop: { id: \"123456789012\", role: \"arn:aws:iam::999999999999:role/a\" } } } }":      "one of the account 999999999999",
		"clouds: { aws: { accounts: { shop: { id: \"123456789012\" } } } }\nfunctions: { a: { lambda: a, account: shopp } }": "did you mean shop?",
		"functions: { a: { lambda: a, account: shop } }":                                                                     "declare it under clouds.aws.accounts",
		"routes: { ANY /: \"lambda:orders\" }":                                                                               "nothing says where it is",
	} {
		if _, problems := load(t, text); !strings.Contains(problems, want) {
			t.Errorf("%s: %s", text, problems)
		}
	}
	if _, problems := load(t, "clouds: { aws: { regions: eu-west-1 } }\nroutes: { ANY /: \"lambda:orders\" }"); problems != "" {
		t.Error(problems)
	}
}

// A change of the bounds reaches the pool and the room that run, and no function is made anew.
func TestBoundsOfAnAccountChangeInPlace(t *testing.T) {
	environment(t)
	text := func(concurrency int, room string) *Config {
		all, problems := load(t, fmt.Sprintf("clouds: { aws: { concurrency: %d, room: %s } }\nfunctions: { orders: { lambda: orders, region: eu-west-1, endpoint: \"http://127.0.0.1:1\" } }", concurrency, room))
		if problems != "" {
			t.Fatal(problems)
		}
		return all["orders"]
	}
	p := newPlatform()
	before, after := text(5, "16MiB"), text(9, "32MiB")
	made, err := p.build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, "orders", before)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made.Close(t.Context()) }()
	b, ok := made.(*backend)
	if !ok || b.sites[0].calls.Status().Max != 5 || !same(before, after) {
		t.Fatalf("%T %+v", made, b.sites[0].calls.Status())
	}
	b.Tune(after)
	if got := b.sites[0].calls.Status(); got.Max != 9 || got.Limit != 9 {
		t.Errorf("the pool is %+v", got)
	}
	held, more := p.room.Part(), p.room.Part()
	if err := held.Grow(t.Context(), 32<<20, time.Minute); err != nil {
		t.Error(err)
	}
	if err := more.Grow(t.Context(), 1, time.Nanosecond); !errors.Is(err, room.ErrFull) {
		t.Errorf("the room is not what the config says: %v", err)
	}
	held.Shrink(0)
}

// What a group's function names of credentials must be allowed by name.
func TestAccountsAndProfilesOfGroupsAreGranted(t *testing.T) {
	const config = `
clouds: { aws: { accounts: { shop: { id: "123456789012", regions: eu-west-1 } } } }
groups:
  team:
    allow: [%s]
    functions:
      a: { lambda: a, account: shop }
      b: { lambda: b, region: eu-west-1, profile: mine }
`
	for allow, want := range map[string]string{
		`"lambda:*"`:                                      `"account:shop"`,
		`"lambda:*", "account:shop"`:                      `"profile:mine"`,
		`"lambda:*", "account:shop", "profile:m*"`:        "",
		`"lambda:a@eu-west-1", "account:*", "profile:m*"`: `"lambda:b@eu-west-1"`,
	} {
		if _, problems := load(t, fmt.Sprintf(config, allow)); (problems == "") != (want == "") || !strings.Contains(problems, want) {
			t.Errorf("%s: %s", allow, problems)
		}
	}
}

// However many functions an account has, their calls in one region are counted together, as AWS does.
func TestCallsOfAnAccountAreBoundedTogether(t *testing.T) {
	environment(t)
	arrived, leave := make(chan struct{}), make(chan struct{})
	answer := func(w http.ResponseWriter, a asked) {
		if strings.Contains(a.path, "/holds/") {
			arrived <- struct{}{}
			<-leave
		}
		say(200, `{}`)(w, a)
	}
	west, central := serveAWS(t, "eu-west-1", answer), serveAWS(t, "eu-central-1", answer)
	functions, problems := load(t, fmt.Sprintf(`
clouds: { aws: { accounts: { shop: { id: "123456789012", concurrency: 1, wait: 1ms } } } }
functions:
  holds: { lambda: holds, account: shop, region: eu-west-1, endpoint: %[1]q }
  waits: { lambda: waits, account: shop, region: eu-west-1, endpoint: %[1]q }
  there: { lambda: there, account: shop, region: eu-central-1, endpoint: %[2]q }
  other: { lambda: other, region: eu-west-1, endpoint: %[1]q }
`, west.URL, central.URL))
	if problems != "" {
		t.Fatal(problems)
	}
	p := newPlatform()
	call := func(name string) error {
		b, err := p.build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}, name, functions[name])
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = b.Close(t.Context()) })
		res, _, err := ask(t, b, "GET", "/", "", unchanged)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	held := make(chan error)
	go func() { held <- call("holds") }()
	<-arrived
	if err := call("waits"); err == nil || fault.From(err).Code != fault.FunctionQueueTime.Code {
		t.Errorf("beside a call of the same account and region: %v", err)
	}
	for _, name := range []string{"there", "other"} {
		if err := call(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(leave)
	if err := <-held; err != nil {
		t.Error(err)
	}
	if err := call("waits"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
