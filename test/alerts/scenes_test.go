package alerts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// scene is a state that gateways are brought into.
type scene struct {
	play  func(t *testing.T) []instance
	rings []string // the alerts that must fire then, and no others
}

// unknown is the scene in which nothing has labels.
const unknown = "it is not known any more"

// scenes has at least one scene for each alert.
var scenes = map[string]scene{
	"all is well": {play: func(t *testing.T) []instance {
		t.Helper()
		backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		t.Cleanup(backend.Close)
		g := start(t, "routes:\n  GET /: "+backend.URL+"\n  GET /hello: respond:Hello\n")
		return []instance{g.goingOn(func() { g.get("/", 60); g.get("/hello", 10); g.get("/nothing", 10) })}
	}},
	"it cannot be scraped": {
		play:  func(*testing.T) []instance { return []instance{nil} },
		rings: []string{"WeirDown"},
	},
	unknown: {
		play:  func(*testing.T) []instance { return nil },
		rings: []string{"WeirDown"},
	},
	"it starts again and again": {
		play: func(t *testing.T) []instance {
			t.Helper()
			var scrapes instance
			for range 4 {
				g := start(t, "routes: {}\n")
				scrapes = append(scrapes, g.scrape())
				g.Stop(t)
			}
			return []instance{scrapes}
		},
		rings: []string{"WeirRestarting"},
	},
	"a config is refused": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes: {}\n")
			g.write("nonsense: 1\n")
			g.await(`weir_config_reloads_total{result="refused"}`)
			return []instance{{g.scrape()}}
		},
		rings: []string{"WeirConfigRefused"},
	},
	"replicas differ": {
		play: func(t *testing.T) []instance {
			t.Helper()
			one, other := start(t, "routes:\n  GET /a: respond:204\n"), start(t, "routes:\n  GET /b: respond:204\n")
			return []instance{{one.scrape()}, {other.scrape()}}
		},
		rings: []string{"WeirConfigsDiffer"},
	},
	"a certificate ends soon": {
		play: func(t *testing.T) []instance {
			t.Helper()
			cert, key := certificate(t, 6*24*time.Hour)
			g := start(t, fmt.Sprintf("listen: { public: { address: ':8443', tls: { cert: %s, key: %s } } }\nroutes: {}\n", cert, key))
			return []instance{{g.scrape()}}
		},
		rings: []string{"WeirCertificateEnds"},
	},
	"a backend cannot be reached": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes:\n  GET /: { to: users, retry: none }\nservices:\n  users: http://127.0.0.1:1\n")
			return []instance{g.goingOn(func() { g.get("/", 10) })}
		},
		rings: []string{"WeirErrorRate", "WeirBackendFailing"},
	},
	"a backend fails by itself": {
		play: func(t *testing.T) []instance {
			t.Helper()
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
			t.Cleanup(backend.Close)
			g := start(t, "routes:\n  GET /: "+backend.URL+"\n")
			return []instance{g.goingOn(func() { g.get("/", 10) })}
		},
		rings: []string{"WeirErrorRate"},
	},
	"a backend is slow": {
		play: func(t *testing.T) []instance {
			t.Helper()
			backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(1200 * time.Millisecond): // longer than the alert tolerates; a slow machine makes it longer still
				case <-r.Context().Done():
				}
			}))
			t.Cleanup(backend.Close)
			g := start(t, "routes:\n  GET /: "+backend.URL+"\n")
			return []instance{g.goingOn(func() { g.get("/", 2) })}
		},
		rings: []string{"WeirBackendSlow"},
	},
	"nobody can be asked where a backend is": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "resolver: { servers: 127.0.0.1:1, timeout: 100ms }\nroutes:\n  GET /: http://users.internal:8080\n")
			return []instance{g.goingOn(func() {
				g.grows(`weir_discovery_lookups_total{backend="http://users.internal:8080",result="failed"}`, func() { g.get("/", 1) })
			})}
		},
		rings: []string{"WeirDiscoveryFailing", "WeirBackendEmpty"},
	},
	"one endpoint of three is unhealthy": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, checked(t, 200, 200, 503))
			g.await(`weir_backend_endpoints{backend="users",state="unhealthy"}`)
			return []instance{g.goingOn(func() { g.get("/", 3) })}
		},
		rings: []string{"WeirEndpointUnhealthy"},
	},
	"no endpoint is healthy": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, checked(t, 503, 404))
			g.await(`weir_backend_panic{backend="users"}`)
			return []instance{g.goingOn(func() { g.get("/", 3) })}
		},
		rings: []string{"WeirBackendPanics", "WeirEndpointUnhealthy"},
	},
	"a breaker is open": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes:\n  GET /: users\nservices:\n  users: { endpoints: 127.0.0.1:1, retry: none, breaker: { failures: 50%, least: 5, pause: 1m } }\n")
			return []instance{g.goingOn(func() {
				g.get("/", 10)
				g.await(`weir_backend_breaker_open{backend="users"}`)
			})}
		},
		rings: []string{"WeirErrorRate", "WeirBackendFailing", "WeirBreakerOpen"},
	},
	"instances fall silent together": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "registry: 127.0.0.1:0\n")
			for _, id := range []string{"a", "b", "c"} {
				g.register(http.MethodPut, id, "")
			}
			g.await(`weir_registry_instances{state="suspect"}`)
			return []instance{{g.scrape()}}
		},
		rings: []string{"WeirRegistrySilent"},
	},
	"instances do not register again": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "registry: 127.0.0.1:0\n")
			return []instance{g.goingOn(func() { g.register(http.MethodPost, "a", "/heartbeat") })}
		},
		rings: []string{"WeirRegistryUnknown"},
	},
	"there is no room for instances": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "registry: { address: 127.0.0.1:0, limits: { instances: 1 } }\n")
			return []instance{g.goingOn(func() { g.register(http.MethodPut, "a", ""); g.register(http.MethodPut, "b", "") })}
		},
		rings: []string{"WeirRegistryFull"},
	},
	"the registry's file is damaged": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := startKeeping(t, "registry: 127.0.0.1:0\n")
			g.register(http.MethodPut, "a", "")
			var file string
			await.That(t, "it is written", func() bool { // otherwise the file could be rewritten as a whole after it was cut off
				found, _ := filepath.Glob(filepath.Join(g.state, "*", "registry", "registry.db"))
				if len(found) != 1 {
					return false
				}
				file = found[0]
				text, _ := os.ReadFile(file)
				return strings.Contains(string(text), "users")
			})
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
			g.register(http.MethodPut, "b", "")
			g.await("weir_registry_file_failed")
			return []instance{{g.scrape()}}
		},
		rings: []string{"WeirRegistryInMemory"},
	},
	"a function does not start": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes:\n  GET /: fn:orders\nfunctions:\n  orders: { run: "+script(t, "exit 1")+", contract: http }\n")
			return []instance{g.goingOn(func() {
				g.get("/", 2)
				g.await(`weir_backend_attempts_total{backend="fn:orders",outcome="refused"}`)
			})}
		},
		rings: []string{"WeirFunctionFailing"},
	},
	"a new version of a function does not start": {
		play: func(t *testing.T) []instance {
			t.Helper()
			path := script(t, "exec sleep 60")
			g := start(t, "routes:\n  GET /: fn:orders\nfunctions:\n  orders: { run: "+path+", contract: http }\n")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			g.await(fmt.Sprintf(`weir_function_info{function="orders",version="%.6x"}`, sha256.Sum256(text)))
			if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			return []instance{g.goingOn(func() { g.await(`weir_function_changes_total{function="orders",result="failed"}`) })}
		},
		rings: []string{"WeirFunctionChangeFailed"},
	},
	"a function has no instance free": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes:\n  GET /: fn:orders\nfunctions:\n  orders: { run: "+script(t, "exec sleep 60")+", contract: http, queue: { wait: 10ms } }\n")
			return []instance{g.goingOn(func() { g.get("/", 2) })}
		},
		rings: []string{"WeirFunctionSaturated"},
	},
	"jobs are given up": {
		play: func(t *testing.T) []instance {
			t.Helper()
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
			t.Cleanup(backend.Close)
			g := startLater(t, "{ retry: none }", backend.URL)
			return []instance{g.goingOn(func() {
				g.grows(`weir_jobs_ended_total{kind="route",lane="GET /",state="dead"}`, func() { g.get("/", 2) })
			})}
		},
		rings: []string{"WeirJobsDead"},
	},
	"a backend has no time for jobs": {
		play: func(t *testing.T) []instance {
			t.Helper()
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			t.Cleanup(backend.Close)
			g := startLater(t, "true", backend.URL)
			g.get("/", 1)
			g.await(`weir_jobs_paused{kind="route",lane="GET /"}`)
			return []instance{g.goingOn(func() {})}
		},
		rings: []string{"WeirJobsWait"},
	},
	"there is no room for jobs": {
		play: func(t *testing.T) []instance {
			t.Helper()
			leave := make(chan struct{})
			backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-leave }))
			t.Cleanup(backend.Close)
			g := startLater(t, "{ queue: 1 }", backend.URL)
			t.Cleanup(func() { close(leave) }) // before the gateway waits for the request
			g.get("/", 1)
			return []instance{g.goingOn(func() { g.get("/", 3) })}
		},
		rings: []string{"WeirJobsRefused"},
	},
	"there are more requests than allowed": {
		play: func(t *testing.T) []instance {
			t.Helper()
			entered, leave := make(chan struct{}), make(chan struct{})
			backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-leave }))
			t.Cleanup(backend.Close)
			g := start(t, "limits: { requests: 1 }\nroutes:\n  GET /slow: "+backend.URL+"\n  GET /: respond:204\n")
			answered := make(chan struct{})
			go func() { defer close(answered); g.get("/slow", 1) }()
			<-entered
			scrapes := g.goingOn(func() { g.get("/", 2) })
			close(leave)
			<-answered
			return []instance{scrapes}
		},
		rings: []string{"WeirOverloaded"},
	},
	"there are more connections than allowed": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "limits: { connections: 1, first_request: 1m }\nroutes:\n  GET /: respond:204\n")
			held, err := net.Dial("tcp", g.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			g.await(`weir_connections_open{socket=":8080"}`)
			return []instance{g.goingOn(func() { g.get("/", 3) })}
		},
		rings: []string{"WeirConnectionsFull"},
	},
	"callers cannot be checked": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "auth:\n  customer: { jwt: http://127.0.0.1:1/, audience: shop }\nroutes:\n  GET /: { auth: customer, to: respond:204 }\n")
			return []instance{g.goingOn(func() { g.get("/", 2, "Authorization: Bearer "+strangersToken) })}
		},
		rings: []string{"WeirAuthUnavailable", "WeirKeysNotFetched"},
	},
	"a route is broken, and was asked once": {
		play: func(t *testing.T) []instance {
			t.Helper()
			g := start(t, "routes:\n  GET /:\n    to:\n      - { when: \"=int(query.a) == 1\", use: http://127.0.0.1:1 }\n      - http://127.0.0.1:1\n")
			return []instance{append(g.goingOn(func() { g.get("/", 1) }), g.scrape())}
		},
		rings: []string{"WeirRouteBroken"},
	},
	"the access log cannot be written": {
		play: func(t *testing.T) []instance {
			t.Helper()
			if runtime.GOOS != "linux" {
				t.Skip("there is no /dev/full")
			}
			g := start(t, "telemetry: { access_log: /dev/full }\nroutes:\n  GET /: respond:204\n")
			return []instance{g.goingOn(func() { g.get("/", 1); g.await("weir_access_log_dropped_total") })}
		},
		rings: []string{"WeirAccessLogLosesLines"},
	},
	"the collector takes no traces": {
		play: func(t *testing.T) []instance {
			t.Helper()
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
			collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
			t.Cleanup(collector.Close)
			g := start(t, "telemetry: { traces: "+collector.URL+" }\nroutes:\n  GET /: respond:204\n")
			return []instance{g.goingOn(func() { g.get("/", 1); g.await("weir_trace_spans_lost_total") })}
		},
		rings: []string{"WeirTracesLost"},
	},
}

// checked is a config with a service whose endpoints answer their checks with these statuses, and requests with
// success.
func checked(t *testing.T, statuses ...int) string {
	t.Helper()
	config := "routes:\n  GET /: users\nservices:\n  users:\n    health: { path: /healthz, every: 100ms }\n    endpoints:\n"
	for _, status := range statuses {
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				w.WriteHeader(status)
			}
		}))
		t.Cleanup(backend.Close)
		config += "      - " + backend.Listener.Addr().String() + "\n"
	}
	return config
}

// strangersToken is a JWT that names the issuer and the audience shop, expires in the year 2286, and has an invalid
// signature.
const strangersToken = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjEvIiwiYXVkIjoic2hvcCIsImV4cCI6OTk5OTk5OTk5OX0.AAAA"

// startLater serves a route whose requests are sent later.
func startLater(t *testing.T, async, backend string) *gateway {
	t.Helper()
	return startKeeping(t, "routes:\n  GET /: { async: "+async+", to: "+backend+" }\n")
}

// startKeeping starts a gateway with a state folder.
func startKeeping(t *testing.T, config string) *gateway {
	t.Helper()
	g := &gateway{t: t, path: filepath.Join(t.TempDir(), "weir.yaml"), state: t.TempDir()}
	g.write(config)
	g.Gateway = weirtest.Start(t, g.path, "--state", g.state)
	return g
}

// register sends the registry a request about an instance of users, whose TTL is three seconds. The answer does not
// matter.
func (g *gateway) register(method, id, what string) {
	g.t.Helper()
	at := "http://" + g.Registry + "/v1/registry/services/users/instances/" + id + what
	request, err := http.NewRequestWithContext(g.t.Context(), method, at, strings.NewReader(`{"port": 9000, "ttl": 3}`))
	if err != nil {
		g.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = res.Body.Close()
}

// goingOn scrapes before and after happens, which goes on happening in each step from then on.
func (g *gateway) goingOn(happens func()) instance {
	g.t.Helper()
	before := g.scrape()
	happens()
	return instance{before, g.scrape()}
}

// script writes a program that consists of one line.
func script(t *testing.T, line string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	path := filepath.Join(t.TempDir(), "function")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+line+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes a certificate that is valid for that long, with its key.
func certificate(t *testing.T, lives time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lives)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	written, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "shop.crt"), filepath.Join(folder, "shop.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: written}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
