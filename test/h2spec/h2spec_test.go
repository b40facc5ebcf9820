// Package h2spec_test runs h2spec, which sends valid and invalid HTTP/2 frames, against the gateway and against Go's
// own server in the same run. What one of them gets right, the other must get right too.
//
// It is a module of its own, because the gateway needs none of this.
package h2spec_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// tries is how often a case may fail before it counts as failed: some cases are races between what the server sends
// and what the client does next, and some wait for a fixed time.
const tries = 3

// both is the same handler behind the gateway and behind Go's own server.
type both struct{ gateway, plain *config.Config }

func start(t *testing.T, secure bool) both {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may break off on purpose
		_, _ = io.WriteString(w, strings.Repeat("hello ", 10))
	})
	origin := httptest.NewServer(handler)
	t.Cleanup(origin.Close)
	folder := t.TempDir()
	certificate := securetest.NewAuthority(t, "h2spec").Issue([]string{"localhost", "127.0.0.1"})
	securetest.Write(t, folder, "tls", certificate)
	listener := "{ address: \":8080\" }"
	if secure {
		listener = "{ address: \":8080\", tls: { cert: tls.crt, key: tls.key } }"
	}
	file := filepath.Join(folder, "weir.yaml")
	if err := os.WriteFile(file, []byte("listen: { public: "+listener+" }\nroutes:\n  ANY /**: "+origin.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := weirtest.Start(t, file)

	plain := httptest.NewUnstartedServer(handler)
	plain.Config.ErrorLog = log.New(io.Discard, "", 0) // the cases send it invalid frames on purpose
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP2(secure)
	plain.Config.Protocols.SetUnencryptedHTTP2(!secure)
	if secure {
		plain.EnableHTTP2 = true
		plain.StartTLS()
	} else {
		plain.Start()
	}
	t.Cleanup(plain.Close)
	return both{target(t, gateway.Address, secure), target(t, plain.Listener.Addr().String(), secure)}
}

func target(t *testing.T, address string, secure bool) *config.Config {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &config.Config{Host: host, Port: number, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true, TLS: secure, Insecure: true}
}

// cases collects all cases of a group and its subgroups, by a name that includes their section.
func cases(g *spec.TestGroup, found map[string]*spec.TestCase) {
	for _, list := range [][]*spec.TestCase{g.Tests, g.StrictTests} {
		for _, c := range list {
			found[g.ID()+": "+c.Desc] = c
		}
	}
	for _, sub := range g.Groups {
		cases(sub, found)
	}
}

// passes reports whether the server passes the case, and if not, why.
func passes(c *spec.TestCase, server *config.Config) (ok bool, why error) {
	for range tries {
		conn, err := spec.Dial(server)
		if err == nil {
			err = c.Run(server, conn)
			_ = conn.Close() // it is most likely broken by now
		}
		if err == nil || errors.Is(err, spec.ErrSkipped) {
			return true, nil
		}
		why = err
	}
	return false, why
}

func TestTheGatewayIsNoWorseThanGo(t *testing.T) {
	for name, secure := range map[string]bool{"h2c": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			servers := start(t, secure)
			all := map[string]*spec.TestCase{}
			for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				cases(g, all)
			}
			if len(all) < 140 {
				t.Fatalf("there are only %d cases", len(all))
			}
			gateway, plain := 0, 0
			for name, c := range all {
				ours, why := passes(c, servers.gateway)
				theirs, _ := passes(c, servers.plain)
				if ours {
					gateway++
				}
				if theirs {
					plain++
				}
				switch {
				case theirs && !ours:
					t.Errorf("%s: %v", name, why)
				case !ours:
					t.Logf("neither passes: %s: %v", name, why)
				case !theirs:
					t.Logf("the gateway alone passes: %s", name)
				}
			}
			t.Logf("of %d cases the gateway passes %d, Go's own server %d", len(all), gateway, plain)
		})
	}
}
