package clients_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// reloads is how many changes the soak makes; `make soak` makes 500.
var reloads = flag.Int("reloads", 100, "how many times the soak changes the config")

// How much more may be in use at the end than after the warm-up. If something of each change were kept, it would be
// more than that; what the last requests leave behind is less.
const (
	moreGoroutines = 5
	moreFiles      = 5
	moreHeap       = 2 << 20 // bytes
)

// perSecond is how many changes a second the soak aims at; a busy machine makes fewer.
const perSecond = 20

// The kinds of changes, made in turn.
const (
	aRoute = iota
	aFilter
	aCertificate
	anEndpoint
	aListener
	kinds
)

// whole is after how many changes each kind was made both ways: by then the listener that came has gone again.
const whole = 2 * kinds

var kindNames = [kinds]string{"route", "filter", "certificate", "endpoint", "listener"}

// plan is the part of a config that the soak changes.
type plan struct {
	change   int // number of the change, so that no two configs are the same
	route    int // there is GET /route/N
	filter   int // responses have X-Filter: N
	serial   *big.Int
	endpoint int    // the server behind the route
	more     string // the address of another listener, "" if there is none
}

// soak changes the config of a gateway while clients of all kinds use it.
type soak struct {
	t        *testing.T
	gateway  *weirtest.Gateway
	origins  [2]*origin
	issuer   *securetest.Authority
	folder   string
	places   [4]string // addresses of listeners that come and go
	busy     string    // an address that another program listens on
	now      plan
	applied  int // configs that served
	refused  int
	visitors map[string]*visitors // by the addresses of listeners that are there, or were
	probes   [3]*http.Client
	urls     [3]string
	calls    *grpc.ClientConn
}

// TestSoak changes everything that reloads can affect, one thing after the other, through the admin API and through
// files, and checks that each change takes effect. Meanwhile no request over HTTP/1.1, HTTP/2, gRPC or WebSocket may
// be lost, with or without TLS. Streams that began before the first change go on until after the last one. At the end
// the gateway holds what it held at the beginning.
func TestSoak(t *testing.T) {
	s := startSoak(t)
	elders := s.startStreams()
	defer elders.end()
	warm, end := (*reloads+9)/10/whole*whole+whole, (*reloads+whole-1)/whole*whole
	var before measure
	var rates []string
	for i, until := range []int{warm, (warm + end) / 2 / whole * whole, end} {
		rates = append(rates, s.period(until))
		m := s.measure()
		if i == 0 {
			m = s.measure() // measuring allocates something too, the first time
		}
		t.Logf("after %d changes: %s", s.now.change, m)
		if i == 0 {
			before = m
		} else if m.goroutines > before.goroutines+moreGoroutines || m.files > before.files+moreFiles || m.heap > before.heap+moreHeap {
			t.Errorf("after %d changes more is held than after the first %d: %s, then %s", s.now.change, warm, before, m)
			s.dump()
		}
	}
	elders.end()
	s.countReloads()
	t.Logf("changes a second: %s", strings.Join(rates, ", "))
}

func startSoak(t *testing.T) *soak {
	t.Helper()
	t.Setenv("WEIR_TEST_OPERATOR", "operator")
	s := &soak{t: t, issuer: securetest.NewAuthority(t, "shop"), folder: t.TempDir(), visitors: map[string]*visitors{}}
	for i := range s.origins {
		s.origins[i] = startSoakOrigin(t, strconv.Itoa(i))
	}
	taken := onOurLoopback(t)
	t.Cleanup(func() { _ = taken.Close() })
	s.busy = taken.Addr().String()
	s.places = freePlaces(t)
	s.now.serial = s.renew()
	s.write(s.config(s.now))
	s.gateway = weirtest.Start(t, filepath.Join(s.folder, "weir.yaml"), "--listen", "public=127.0.0.1:0", "--listen", "secure=127.0.0.1:0", "--log", "warn")
	s.applied = 1
	s.probes = [3]*http.Client{h1Client(t), h2Client(t), s.secureClient()}
	s.urls = [3]string{"http://" + s.plain(), "http://" + s.plain(), "https://shop.dev"}
	s.calls = dialGRPC(t, s.gateway)
	t.Cleanup(func() {
		if t.Failed() {
			log := s.gateway.Log()
			t.Logf("weir says:\n%s", log[max(0, len(log)-20_000):])
		}
	})
	return s
}

// freePlaces returns addresses that nothing listens on.
func freePlaces(t *testing.T) (places [4]string) {
	t.Helper()
	for i := range places { // all before one is free again, or the next could be the same
		l := onOurLoopback(t)
		defer l.Close() //nolint:gocritic // as it says above
		places[i] = l.Addr().String()
	}
	return places
}

// onOurLoopback listens on a part of loopback where nothing else uses ports.
func onOurLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.7.7.7:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *soak) plain() string  { return s.gateway.Sockets[0] }
func (s *soak) secure() string { return s.gateway.Sockets[1] }

func (s *soak) config(p plan) string {
	more := ""
	if p.more != "" {
		more = "\n  seasonal: " + p.more
	}
	o := s.origins[p.endpoint]
	return fmt.Sprintf(`# change %d
admin: { token: "${env:WEIR_TEST_OPERATOR}" }
shutdown: { drain: 10s }
telemetry: { access_log: off }
listen:
  public: ":8080"
  secure: { address: ":8443", tls: { cert: %[2]s, key: %[2]s } }%[3]s
routes:
  ANY /**:
    headers: { response: { set: { X-Filter: "%[4]d" } } }
    to: shop
  GET /route/%[5]d: respond:route %[5]d
  POST /grpc.testing.TestService/**: calls
services:
  shop: { endpoints: [%[6]s] }
  calls: { endpoints: [%[7]s], protocol: grpc }
`, p.change, filepath.Join(s.folder, "shop.pem"), more, p.filter, p.route, o.address, o.calls)
}

// period changes the config until there were until changes, while clients send requests.
func (s *soak) period(until int) string {
	s.t.Helper()
	crowd, end := s.startClients()
	defer end()
	crowd.goOn(3)
	younger := s.startStreams()
	defer func() { younger.end() }()
	begun, first, slowest := time.Now(), s.now.change, time.Duration(0)
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for s.now.change < until && !s.t.Failed() {
		<-tick.C
		at := time.Now()
		s.change()
		slowest = max(slowest, time.Since(at))
		if s.now.change%(5*kinds) == kinds-1 { // at each kind of change in turn, with and without the other listener
			younger.end()
			younger = s.startStreams()
		}
		if s.now.change%50 == 7 {
			s.refuse()
		}
	}
	took := time.Since(begun)
	crowd.goOn(3)
	younger.end()
	return fmt.Sprintf("%.1f (the slowest took %s)", float64(s.now.change-first)/took.Seconds(), slowest.Round(time.Millisecond))
}

// change makes one change and checks that it takes effect.
func (s *soak) change() {
	s.t.Helper()
	kind := s.now.change % kinds
	next := s.now
	next.change++
	var removed func()
	switch kind {
	case aRoute:
		next.route = next.change
	case aFilter:
		next.filter = next.change
	case aCertificate:
		next.serial = s.renew()
	case anEndpoint:
		next.endpoint = 1 - next.endpoint
	case aListener:
		if s.now.more != "" {
			next.more = ""
			removed = s.visitors[s.now.more].beforeRemoval()
			break
		}
		next.more = s.places[next.change/whole%len(s.places)]
		if before := s.visitors[next.more]; before != nil {
			before.wait() // they leave while nothing listens there; now something will again
		}
	}
	was := s.now
	how, atOnce := s.apply(next)
	s.now = next
	s.applied++
	s.sees(kindNames[kind]+" by "+how, atOnce, func() error { return s.seen(kind, was) })
	switch {
	case removed != nil:
		removed()
	case kind == aListener:
		s.visitors[next.more] = s.startVisitors(next.more)
	}
}

// apply makes a config serve, in one of the possible ways. atOnce says that it serves already.
func (s *soak) apply(p plan) (how string, atOnce bool) {
	s.t.Helper()
	text := s.config(p)
	switch {
	case p.change%29 == 0: // combined with every kind, because 29 is prime
		s.write(text)
		return "a watched file", false
	case p.change%4 == 1:
		s.write(text)
		if err := syscall.Kill(s.gateway.Pid(), syscall.SIGHUP); err != nil {
			s.t.Fatal(err)
		}
		return "SIGHUP", false
	case p.change%4 == 3:
		s.write(text)
		s.ask(http.StatusOK, http.MethodPost, "/v1/reload", "")
		return "reload", true
	default:
		s.ask(http.StatusOK, http.MethodPut, "/v1/config", text)
		return "PUT", true
	}
}

// refuse tries a config that cannot serve because its new address is taken. It must have no effect.
func (s *soak) refuse() {
	s.t.Helper()
	bad := s.now
	bad.change, bad.route, bad.filter, bad.endpoint, bad.more = -1, -1, -1, 1-bad.endpoint, s.busy
	text := s.config(bad)
	if told := s.ask(http.StatusUnprocessableEntity, http.MethodPut, "/v1/config", text); !strings.Contains(told, s.busy) {
		s.t.Errorf("a taken address: %s", told)
	}
	s.refused++
	for kind := range kinds {
		if err := s.seen(kind, s.now); err != nil {
			s.t.Errorf("after a config that was refused: %s: %v", kindNames[kind], err)
		}
	}
}

// sees checks that a change takes effect, at once or after a time.
func (s *soak) sees(what string, atOnce bool, seen func() error) {
	s.t.Helper()
	err := seen()
	for deadline := time.Now().Add(3 * await.Patience); err != nil && !atOnce && time.Now().Before(deadline); err = seen() {
		<-time.After(time.Millisecond)
	}
	if err != nil {
		s.t.Fatalf("change %d, a %s, is not seen: %v", s.now.change, what, err)
	}
}

// seen checks, as a client would, that the present plan serves and the previous one does not.
func (s *soak) seen(kind int, before plan) error {
	by := s.now.change / kinds % len(s.probes)
	switch kind {
	case aRoute:
		_, got, err := s.probe(by, fmt.Sprint("/route/", s.now.route))
		return differs(err, got, fmt.Sprint("route ", s.now.route))
	case aFilter:
		h, _, err := s.probe(by, "/who")
		return differs(err, h.Get("X-Filter"), strconv.Itoa(s.now.filter))
	case aCertificate:
		conn, err := tls.Dial("tcp", s.secure(), &tls.Config{RootCAs: s.issuer.Pool(), ServerName: "shop.dev"})
		if err != nil {
			return err
		}
		defer conn.Close()
		return differs(nil, conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), s.now.serial.String())
	case anEndpoint:
		want := strconv.Itoa(s.now.endpoint)
		if _, got, err := s.probe(by, "/who"); err != nil || got != want {
			return differs(err, got, want)
		}
		var head metadata.MD
		_, err := testgrpc.NewTestServiceClient(s.calls).EmptyCall(s.t.Context(), &testgrpc.Empty{}, grpc.Header(&head))
		return differs(err, strings.Join(head.Get("x-server"), ""), want)
	default:
		return s.seenListener(before)
	}
}

func (s *soak) seenListener(before plan) error {
	if s.now.more == "" {
		if before.more == "" {
			return nil
		}
		// A client that connects while the address is being given up gets no answer at first.
		conn, err := net.DialTimeout("tcp", before.more, 30*time.Millisecond)
		if err == nil {
			_ = conn.Close()
			return errors.New("it still takes connections")
		}
		return nil
	}
	client := h1Client(s.t)
	defer client.CloseIdleConnections()
	res, err := client.Get("http://" + s.now.more + "/who")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return differs(nil, res.Status, "200 OK")
}

// probe sends a request over one of the protocols, on a kept connection.
func (s *soak) probe(by int, path string) (http.Header, string, error) {
	res, err := s.probes[by].Get(s.urls[by] + path)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, "", err
	}
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s: %s %s", path, res.Status, text)
	}
	return res.Header, string(text), nil
}

func differs(err error, got, want string) error {
	if err == nil && got != want {
		err = fmt.Errorf("got %q, want %q", got, want)
	}
	return err
}

// renew has another certificate issued, and returns its serial number. Certificate and key are in one file, which is
// replaced in one step.
func (s *soak) renew() *big.Int {
	s.t.Helper()
	pair := s.issuer.Issue([]string{"shop.dev"})
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	text := slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	securetest.WriteFile(s.t, filepath.Join(s.folder, "shop.pem"), text)
	return pair.Leaf.SerialNumber
}

func (s *soak) write(text string) {
	s.t.Helper()
	securetest.WriteFile(s.t, filepath.Join(s.folder, "weir.yaml"), []byte(text))
}

// ask sends a request to the admin API, as an operator would.
func (s *soak) ask(want int, method, path, body string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.gateway.Admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer operator")
	request.Header.Set("If-Match", "*")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * await.Patience}
	res, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		s.t.Fatalf("%s %s: %s %s, %v, want %d", method, path, res.Status, text, err, want)
	}
	return string(text)
}

// countReloads checks that only the intended configs were refused, and that each change was applied. A watched file
// may be read twice, if it is found before the notification of its change arrives.
func (s *soak) countReloads() {
	s.t.Helper()
	metrics := s.ask(http.StatusOK, http.MethodGet, "/metrics", "")
	count := func(result string) int {
		return s.number(metrics, `(?m)^weir_config_reloads_total\{result="`+result+`"\} (\d+)`)
	}
	if applied := count("applied"); applied < s.applied || count("refused") != s.refused || count("partly") != 0 {
		s.t.Errorf("%d configs were applied, %d refused and %d served partly; want at least %d, %d and none",
			applied, count("refused"), count("partly"), s.applied, s.refused)
	}
}

// measure is what the gateway holds.
type measure struct {
	goroutines, files int
	heap              int // bytes in use after a garbage collection
	resident          int // bytes; not judged, because the runtime returns memory late
}

func (m measure) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %.2f MB of heap, %.1f MB resident", m.goroutines, m.files, float64(m.heap)/1e6, float64(m.resident)/1e6)
}

// measure waits until nothing of earlier configs is draining any more, and then measures.
func (s *soak) measure() measure {
	s.t.Helper()
	for _, v := range s.visitors {
		v.wait()
	}
	for _, p := range s.probes {
		p.CloseIdleConnections()
	}
	deadline := time.Now().Add(3 * await.Patience)
	for strings.Contains(s.ask(http.StatusOK, http.MethodGet, "/debug/pprof/goroutine?debug=1", ""), "(*Reconciler).drain") && time.Now().Before(deadline) {
		<-time.After(100 * time.Millisecond)
	}
	for _, o := range s.origins {
		o.http.Config.SetKeepAlivesEnabled(false) // closes idle connections
		o.http.Config.SetKeepAlivesEnabled(true)
	}
	return s.settled()
}

// settled returns the least of several measurements, because the last clients leave in between.
func (s *soak) settled() (m measure) {
	s.t.Helper()
	for range 5 {
		<-time.After(200 * time.Millisecond)
		next := s.look()
		if m.heap > 0 {
			next.goroutines, next.files, next.heap = min(next.goroutines, m.goroutines), min(next.files, m.files), min(next.heap, m.heap)
		}
		m = next
	}
	return m
}

func (s *soak) look() measure {
	s.t.Helper()
	profile := s.ask(http.StatusOK, http.MethodGet, "/debug/pprof/heap?gc=1&debug=1", "")
	metrics := s.ask(http.StatusOK, http.MethodGet, "/metrics", "")
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.gateway.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	return measure{
		goroutines: s.number(metrics, `(?m)^go_goroutines (\S+)`), files: len(files),
		heap: s.number(profile, `# HeapAlloc = (\d+)`), resident: s.number(metrics, `(?m)^process_resident_memory_bytes (\S+)`),
	}
}

func (s *soak) number(text, pattern string) int {
	s.t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		s.t.Fatalf("no %s in\n%s", pattern, text)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

// dump logs what may show where memory is held.
func (s *soak) dump() {
	s.t.Helper()
	for _, profile := range []string{"goroutine", "heap"} {
		text := s.ask(http.StatusOK, http.MethodGet, "/debug/pprof/"+profile+"?debug=1&gc=1", "")
		s.t.Logf("%s:\n%s", profile, text[:min(len(text), 20_000)])
	}
}
