package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/discoverytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(text string) (Config, *doc.Problems) {
	var ps doc.Problems
	c := defaults()
	c.Ports = atContainer // whatever the system
	if n := doc.Parse("weir.yaml", []byte("docker: "+text), &ps); n != nil {
		doc.Decode(n.Get("docker"), &c, &ps)
	}
	return c, &ps
}

func opened(t testing.TB, text string) *source {
	t.Helper()
	c, ps := settings(text)
	return discoverytest.Open(t, open, c, ps).(*source)
}

func run(t testing.TB, s *source, rest string) *discoverytest.Running {
	t.Helper()
	return discoverytest.Run(t, s, config.Ref{Scheme: scheme, Rest: rest})
}

// The life of a container, from its start to its end, as the daemon tells of it.
func TestContainersComeAndGo(t *testing.T) {
	d := startDaemon(t)
	d.silently("a1", made("a1", "10.0.0.1", "weir.service", "users"))
	d.silently("z1", made("z1", "10.0.0.9", "weir.service", "orders"))
	d.silently("n1", made("n1", "10.0.0.8"))
	r := run(t, opened(t, "unix:"+d.path), "users")
	r.Have("10.0.0.1:8080")
	b := func() map[string]any {
		return made("b1", "10.0.0.2", "weir.service", "users", "weir.weight", "3", "weir.zone", "a")
	}
	d.change("b1", "start", with(b(), map[string]any{"Status": "starting"}, "State", "Health"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080(not ready)")
	d.change("b1", "exec_start: curl", with(b(), map[string]any{"Status": "starting"}, "State", "Health"))
	d.change("b1", "health_status: healthy", with(b(), map[string]any{"Status": "healthy"}, "State", "Health"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080")
	d.change("b1", "health_status: unhealthy", with(b(), map[string]any{"Status": "unhealthy"}, "State", "Health"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080(not ready)")
	d.change("b1", "health_status: healthy", with(b(), map[string]any{"Status": "healthy"}, "State", "Health"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080")
	d.change("b1", "pause", with(b(), "paused", "State", "Status"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080(not ready)")
	d.change("b1", "unpause", b())
	r.Have("10.0.0.1:8080 10.0.0.2:8080")
	d.change("b1", "kill", b(), "signal", "1") // it is to read its config anew
	d.change("b1", "kill", b(), "signal", "15")
	r.Have("10.0.0.1:8080 10.0.0.2:8080(draining)")
	d.change("b1", "die", with(b(), "exited", "State", "Status"))
	r.Have("10.0.0.1:8080")
	d.change("b1", "start", with(b(), "2026-01-01T00:00:05Z", "State", "StartedAt"))
	r.Have("10.0.0.1:8080 10.0.0.2:8080")
	d.change("a1", "destroy", nil)
	r.Have("10.0.0.2:8080")
	last := r.Last()[0]
	if last.ID != "b1@2026-01-01T00:00:05Z" || last.Weight != 3 || last.Zone != "a" {
		t.Errorf("%+v", last)
	}
	if n := d.asked["/v1.47/containers/n1/json"]; n != 0 {
		t.Errorf("a container of no service was looked at %d times", n)
	}
	if n := d.asked[`/v1.47/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D`]; n != 1 {
		t.Errorf("asked %v", d.asked)
	}
}

func TestServicesOfCompose(t *testing.T) {
	d := startDaemon(t)
	compose := func(id, ip, project, service string, more ...string) {
		d.silently(id, made(id, ip, append([]string{"com.docker.compose.project", project, "com.docker.compose.service", service}, more...)...))
	}
	compose("a", "10.0.0.1", "shop", "users")
	compose("b", "10.0.0.2", "other", "users")
	compose("c", "10.0.0.3", "shop", "users-v2", "weir.service", "users")
	compose("d", "10.0.0.4", "shop", "orders")
	compose("e", "10.0.0.5", "shop", "users", "weir.service", "canary")
	s := opened(t, "unix:"+d.path)
	for service, want := range map[string]string{
		"users": "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080", "shop/users": "10.0.0.1:8080", "orders": "10.0.0.4:8080", "canary": "10.0.0.5:8080",
	} {
		run(t, s, service).Have(want)
	}
}

func TestTheDaemonGoneAndThereAgain(t *testing.T) {
	d := startDaemon(t)
	d.silently("a", made("a", "10.0.0.1", "weir.service", "users"))
	d.silently("b", made("b", "10.0.0.2", "weir.service", "users"))
	s := opened(t, "unix:"+d.path)
	s.doubt = time.Hour
	r := run(t, s, "users")
	r.Have("10.0.0.1:8080 10.0.0.2:8080")
	d.end()
	r.Trouble("unix:")
	d.do(func(d *daemon) { delete(d.containers, "b") })
	d.start()
	r.Have("10.0.0.1:8080")
	d.end()
	d.do(func(d *daemon) { d.containers = map[string]map[string]any{} }) // they come back one after the other
	d.start()
	r.Trouble(discovery.ErrAbsent.Error())
	d.change("a", "start", made("a", "10.0.0.3", "weir.service", "users"))
	r.Have("10.0.0.3:8080")
	r.Only("10.0.0.1:8080 10.0.0.2:8080", "10.0.0.1:8080", "10.0.0.3:8080")
	s = opened(t, "unix:"+d.path)
	s.doubt = time.Millisecond
	r = run(t, s, "users")
	r.Have("10.0.0.3:8080")
	d.change("a", "die", nil)
	r.Have("")
}

// What no event tells of is found when everything is listed again.
func TestEverythingIsListedAgain(t *testing.T) {
	d := startDaemon(t)
	d.silently("a", made("a", "10.0.0.1", "weir.service", "users"))
	s := opened(t, "unix:"+d.path)
	s.again = 10 * time.Millisecond
	r := run(t, s, "users")
	r.Have("10.0.0.1:8080")
	d.silently("a", with(made("a", "10.0.0.1", "weir.service", "users"), map[string]any{"Status": "unhealthy"}, "State", "Health"))
	r.Have("10.0.0.1:8080(not ready)")
	d.silently("b", made("b", "10.0.0.2", "weir.service", "users"))
	r.Have("10.0.0.1:8080(not ready) 10.0.0.2:8080")
}

func TestANetworkThatIsConnectedIsSeen(t *testing.T) {
	d := startDaemon(t)
	alone := with(made("a", "", "weir.service", "users"), map[string]any{}, "NetworkSettings", "Networks")
	d.silently("a", alone)
	r := run(t, opened(t, "unix:"+d.path), "users")
	r.Trouble(discovery.ErrAbsent.Error())
	d.do(func(d *daemon) {
		d.containers["a"] = made("a", "10.0.0.1", "weir.service", "users")
		d.tell(`{"Type":"network","Action":"connect","Actor":{"ID":"net","Attributes":{"container":"a","name":"shop_default"}}}`)
	})
	r.Have("10.0.0.1:8080")
	if !strings.Contains(r.Logged(), "its port is not published") {
		t.Error(r.Logged())
	}
}

func TestAnOlderDaemonIsAskedByItsOwnVersion(t *testing.T) {
	for theirs, asked := range map[string]string{"1.24": "1.24", "1.56": "1.56"} {
		d := startDaemon(t)
		d.version = theirs
		d.silently("a", made("a", "10.0.0.1", "weir.service", "users"))
		run(t, opened(t, "unix:"+d.path), "users").Have("10.0.0.1:8080")
		if d.asked["/v"+asked+"/containers/json"] != 1 {
			t.Errorf("%s: %v", theirs, d.asked)
		}
	}
	d := startDaemon(t)
	d.do(func(d *daemon) {
		d.instead = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/_ping" {
				w.Header().Set("Api-Version", "1.99")
				return
			}
			http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
		}
	})
	run(t, opened(t, "unix:"+d.path), "users").Trouble("it answers 404")
	if d.asked[`/v1.56/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D`] == 0 {
		t.Errorf("asked %v", d.asked)
	}
}

func TestWhatIsNoDaemonChangesNothing(t *testing.T) {
	const ping = "/_ping"
	answer := func(texts map[string]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", "1.47")
			for part, text := range texts {
				if strings.Contains(r.URL.Path, part) {
					_, _ = io.WriteString(w, text)
					return
				}
			}
			if strings.HasSuffix(r.URL.Path, "/events") {
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}
	}
	for name, instead := range map[string]http.HandlerFunc{
		"a web server":        func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"an error":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"no list":             answer(map[string]string{ping: "OK", "/containers/json": "{}"}),
		"a list that is null": answer(map[string]string{ping: "OK", "/containers/json": "null"}),
		"half a list":         answer(map[string]string{ping: "OK", "/containers/json": `[{"Id":`}),
		"half a container":    answer(map[string]string{ping: "OK", "/containers/json": `[{"Id":"a","Labels":{"weir.service":"users"}}]`, "/containers/a/json": `{"Id":`}),
		"nobody's container":  answer(map[string]string{ping: "OK", "/containers/json": `[{"Id":"a","Labels":{"weir.service":"users"}}]`, "/containers/a/json": `{}`}),
		"no events":           answer(map[string]string{ping: "OK", "/events": "so it goes", "/containers/json": `[]`}),
		"a hang-up":           func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDaemon(t)
			d.do(func(d *daemon) { d.instead = instead })
			s := opened(t, "unix:"+d.path)
			s.doubt = time.Hour
			r := run(t, s, "users")
			r.Trouble("unix:")
			r.Only()
		})
	}
}

func TestAddresses(t *testing.T) {
	two := map[string]any{"shop_back": map[string]any{"IPAddress": "10.1.0.1"}, "shop_front": map[string]any{"IPAddress": "10.2.0.1"}}
	published := map[string]any{"8080/tcp": []any{map[string]any{"HostIp": "0.0.0.0", "HostPort": "32768"}, map[string]any{"HostIp": "::", "HostPort": "32768"}}}
	for name, c := range map[string]struct {
		container map[string]any
		ways      whereabouts
		want      string // an address, or what is wrong
	}{
		"its only network":                {made("a", "10.0.0.1"), whereabouts{}, "10.0.0.1:8080"},
		"IPv6":                            {with(made("a", ""), "fd00::5", "NetworkSettings", "Networks", "shop_default", "GlobalIPv6Address"), whereabouts{}, "[fd00::5]:8080"},
		"the port of its label":           {made("a", "10.0.0.1", "weir.port", "9000"), whereabouts{}, "10.0.0.1:9000"},
		"no port":                         {with(with(made("a", "10.0.0.1"), nil, "Config", "ExposedPorts"), nil, "NetworkSettings", "Ports"), whereabouts{}, "it exposes no port"},
		"several ports":                   {with(made("a", "10.0.0.1"), map[string]any{"80/tcp": nil, "8080/tcp": nil}, "Config", "ExposedPorts"), whereabouts{}, "it exposes the ports [80 8080]; say which one"},
		"one of UDP beside it":            {with(made("a", "10.0.0.1"), map[string]any{"53/udp": nil, "8080/tcp": nil}, "Config", "ExposedPorts"), whereabouts{}, "10.0.0.1:8080"},
		"a port that is none":             {made("a", "10.0.0.1", "weir.port", "http"), whereabouts{}, `its label weir.port is "http"`},
		"a weight that is none":           {made("a", "10.0.0.1", "weir.weight", "-1"), whereabouts{}, `its label weir.weight is "-1"`},
		"much weight":                     {made("a", "10.0.0.1", "weir.weight", "1000001"), whereabouts{}, "its weight is 1000001, and not from 0 to 1000000"},
		"a zone for a terminal":           {made("a", "10.0.0.1", "weir.zone", "a\x1b[2J"), whereabouts{}, "its zone holds what cannot be printed"},
		"two networks":                    {with(made("a", ""), two, "NetworkSettings", "Networks"), whereabouts{}, "it is in the networks [shop_back shop_front]; say which one"},
		"two networks, one of the label":  {with(made("a", "", "weir.network", "shop_front"), two, "NetworkSettings", "Networks"), whereabouts{}, "10.2.0.1:8080"},
		"one of the label, as in Compose": {with(made("a", "", "weir.network", "back", "com.docker.compose.project", "shop"), two, "NetworkSettings", "Networks"), whereabouts{}, "10.1.0.1:8080"},
		"one of the label, not there":     {with(made("a", "", "weir.network", "none"), two, "NetworkSettings", "Networks"), whereabouts{}, `it has no address in the network "none"`},
		"two networks, one of the config": {with(made("a", ""), two, "NetworkSettings", "Networks"), whereabouts{network: "shop_back"}, "10.1.0.1:8080"},
		"two networks, one of ours":       {with(made("a", ""), two, "NetworkSettings", "Networks"), whereabouts{own: map[string]bool{"shop_front": true, "bridge": true}}, "10.2.0.1:8080"},
		"none of ours":                    {with(made("a", ""), two, "NetworkSettings", "Networks"), whereabouts{own: map[string]bool{"bridge": true}}, "the gateway's container is in none of them"},
		"the machine's own network":       {with(with(made("a", ""), "host", "HostConfig", "NetworkMode"), map[string]any{}, "NetworkSettings", "Networks"), whereabouts{machine: "127.0.0.1"}, "127.0.0.1:8080"},
		"no address, published":           {with(made("a", ""), published, "NetworkSettings", "Ports"), whereabouts{machine: "docker.internal"}, "docker.internal:32768"},
		"published at one address":        {with(made("a", ""), map[string]any{"8080/tcp": []any{map[string]any{"HostIp": "192.168.1.5", "HostPort": "81"}}}, "NetworkSettings", "Ports"), whereabouts{machine: "x"}, "192.168.1.5:81"},
		"asked for by published ports":    {with(made("a", "10.0.0.1"), published, "NetworkSettings", "Ports"), whereabouts{machine: "127.0.0.1", ports: atHost}, "127.0.0.1:32768"},
		"and not published":               {made("a", "10.0.0.1"), whereabouts{machine: "127.0.0.1", ports: atHost}, "its port 8080 is not published"},
		"nothing at all":                  {made("a", ""), whereabouts{}, "it has no address in any network"},
	} {
		if c.ways.ports == "" {
			c.ways.ports = atContainer
		}
		text, err := json.Marshal(c.container)
		var one container
		if err == nil {
			err = json.Unmarshal(text, &one)
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := one.endpoint(c.ways)
		if err == nil && e.Address != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s, %v, want %s", name, e.Address, err, c.want)
		}
	}
}

// A gateway that is itself a container calls others by a network that it is in.
func TestTheGatewaysOwnContainer(t *testing.T) {
	d := startDaemon(t)
	self := strings.Repeat("ab12", 16)
	networks := map[string]any{"shop_back": map[string]any{"IPAddress": "10.1.0.1"}, "shop_front": map[string]any{"IPAddress": "10.2.0.1"}}
	d.silently("a", with(made("a", "", "weir.service", "users"), networks, "NetworkSettings", "Networks"))
	d.silently(self, with(made(self, ""), map[string]any{"shop_front": map[string]any{"IPAddress": "10.2.0.9"}}, "NetworkSettings", "Networks"))
	s := opened(t, "unix:"+d.path)
	s.hostname = self[:12]
	run(t, s, "users").Have("10.2.0.1:8080")
}

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		own, signal string
		stops       bool
	}{{"", "15", true}, {"", "1", false}, {"", "9", true}, {"SIGQUIT", "3", true}, {"SIGQUIT", "15", false}, {"SIGWINCH", "28", true}, {"37", "37", true}} {
		one := container{}
		one.Config.StopSignal = c.own
		if one.stops(c.signal) != c.stops {
			t.Errorf("%+v", c)
		}
	}
}

// TestManyServicesHaveFewConnections shows how long a change takes to be a set, too.
func TestManyServicesHaveFewConnections(t *testing.T) {
	const services = 1000
	d := startDaemon(t)
	for i := range services {
		id := fmt.Sprintf("c%d", i)
		d.silently(id, made(id, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), "weir.service", fmt.Sprintf("s%d", i)))
	}
	s := opened(t, "unix:"+d.path)
	began := time.Now()
	var all []*discoverytest.Running
	for i := range services {
		all = append(all, run(t, s, fmt.Sprintf("s%d", i)))
	}
	for i, r := range all {
		r.Have(fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250+1))
	}
	t.Logf("%d containers are known after %v", services, time.Since(began))
	var times []time.Duration
	for i := range 20 {
		id := fmt.Sprintf("c%d", i)
		began := time.Now()
		d.change(id, "start", made(id, "10.9.9.9", "weir.service", fmt.Sprintf("s%d", i)))
		all[i].Have("10.9.9.9:8080")
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	t.Logf("from the event to the set: p50 %v, most %v (looked at every 2 ms)", times[10], times[19])
	if n := d.opened.Load(); n > 20 { // one that rests is closed, so that a slow machine opens a few more
		t.Errorf("there were %d connections", n)
	}
}

func TestNamesAndSettings(t *testing.T) {
	for name, ok := range map[string]bool{"users": true, "shop/users": true, "": false, "/users": false, "shop/": false, "a/b/c": false, "//x": false, "a?b": false, "a b": false, "a\x1b": false} {
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
	for text, want := range map[string]string{
		"unix:///run/user/1000/docker.sock": "unix:/run/user/1000/docker.sock", "tcp://10.0.0.5": "http://10.0.0.5:2375", "https://d.internal": "https://d.internal:2376",
		"{ ports: host, network: shop_default }": "unix:/var/run/docker.sock", "{ host: 'https://a:1', ca: /ca, cert: /c, key: /k }": "https://a:1",
	} {
		c, ps := settings(text)
		if ps.Failed() || c.Host.String() != want {
			t.Errorf("%s: %v, %v", text, c.Host, ps.Sorted())
			continue
		}
		var again doc.Problems
		written := defaults()
		if n := doc.Parse("weir.yaml", doc.Encode(&c), &again); n != nil {
			doc.Decode(n, &written, &again)
		}
		if again.Failed() || !config.Same(c, written) {
			t.Errorf("%s is written as %s: %v", text, doc.Encode(&c), again.Sorted())
		}
	}
	for text, want := range map[string]string{
		"10.0.0.5:2375": "and no unix:/path", "http://u:p@a": "a user in a URL", "http://a/v1": "it has a path", "{ ports: somewhere }": "is no place of ports", "{ ca: /ca }": "is asked without TLS",
		"{ socket: x }": `unknown key "socket"`, "http://a:0": "is not a number",
	} {
		_, ps := settings(text)
		if list := ps.Sorted(); len(list) == 0 || !strings.Contains(list[0].String(), want) {
			t.Errorf("%s: %v", text, list)
		}
	}
}

func TestAnEventWithoutEnd(t *testing.T) {
	r := &perEvent{r: strings.NewReader("{}\n" + strings.Repeat("x", 2*largestEvent)), left: largestEvent}
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "an event has more than") {
		t.Error(err)
	}
	r = &perEvent{r: strings.NewReader(strings.Repeat(strings.Repeat("x", 1000)+"\n", 3000)), left: largestEvent}
	if text, err := io.ReadAll(r); err != nil || len(text) != 3_003_000 {
		t.Error(len(text), err)
	}
}

func FuzzContainer(f *testing.F) {
	text, _ := json.Marshal(made("a", "10.0.0.1", "weir.service", "users"))
	f.Add(string(text))
	f.Add(`{"NetworkSettings":{"Networks":{"a":null},"Ports":{"8080/tcp":null,"x":[{}]}},"State":{"Health":{}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c container
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		for _, ports := range []string{atContainer, atHost} {
			e, err := c.endpoint(whereabouts{machine: "127.0.0.1", ports: ports})
			if err != nil {
				continue
			}
			if _, _, err := discovery.SplitAddress(e.Address); err != nil || e.Weight < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

// What is doubted of one source is no matter of another.
func TestAbsenceIsToldAsSuch(t *testing.T) {
	d := startDaemon(t)
	s := opened(t, "unix:"+d.path)
	r := run(t, s, "users")
	if err := r.Trouble(""); !errors.Is(err, discovery.ErrAbsent) {
		t.Errorf("told of %v", err)
	}
	r.Only()
}
