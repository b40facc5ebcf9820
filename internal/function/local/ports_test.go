package local

import (
	"net"
	"path/filepath"
	"testing"
)

// Of a thousand ports that nobody listens on the system gives some twice.
func TestNoTwoInstancesAreGivenOnePort(t *testing.T) {
	m := newMachine(nil)
	contract := &web{concurrency: 1, ports: &m.ports, tells: []string{portVariable}}
	seen := map[string]bool{}
	var links []link
	for range 1000 {
		l, err := contract.link()
		must(t, err)
		port := l.variables()[portVariable]
		if seen[port] {
			t.Fatalf("port %s was given twice", port)
		}
		seen[port] = true
		links = append(links, l)
	}
	for _, l := range links {
		l.close(nil)
	}
	if len(m.ports.given) > 0 {
		t.Errorf("%d ports are still given to instances that have ended", len(m.ports.given))
	}
}

// A port that somebody else has taken before the instance listens is no mistake of the
// function's: nobody gets a 503 for it.
func TestAnInstanceThatLosesItsPortIsStartedOnAnother(t *testing.T) {
	log := &records{}
	g := startWeb(t, log, func(c *Config) { c.Env = env(t, "INIT", "taken", "MARK", filepath.Join(t.TempDir(), "mark")) })
	if got := g.post(t, "/", "hello"); got.status != 200 || got.body != "hello" {
		t.Errorf("got %+v", got)
	}
	if told := log.find("somebody else has taken the port that an instance was given; another one is started"); len(told) != 1 {
		t.Errorf("the log says\n%s", log)
	}
	if s := g.Status(); s.Problem != "" {
		t.Errorf("the status says %q", s.Problem)
	}
}

func TestAPortIsTakenWhileSomebodyListens(t *testing.T) {
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	if link := (&webLink{address: stranger.Addr().String()}); !link.taken() {
		t.Error("the port of a listener is free")
	}
	must(t, stranger.Close())
}
