package reconcile_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

// shop is a gateway with several TLS listeners on one socket: one for everybody,
// one for staff, who must show a certificate, and one for partners, who may.
type shop struct {
	*world

	servers, clients *securetest.Authority
	address          string
}

const shopConfig = `listen:
  everybody: { address: ADDRESS, tls: [{ cert: FOLDER/shop.crt, key: FOLDER/shop.key }, { cert: FOLDER/wild.crt, key: FOLDER/wild.key }] }
  staff: { address: ADDRESS, hostname: staff.shop.dev, tls: { cert: FOLDER/wild.crt, key: FOLDER/wild.key, client_ca: FOLDER/clients.crt } }
  partners: { address: ADDRESS, hostname: partners.shop.dev, tls: { cert: FOLDER/wild.crt, key: FOLDER/wild.key, client_ca: FOLDER/clients.crt, client: optional } }
routes:
  ANY /**: { listeners: everybody, to: respond:everybody }
  GET /: { listeners: staff, to: respond:staff }
  GET /p: { listeners: partners, to: respond:partners }
`

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{world: newWorld(t), servers: securetest.NewAuthority(t, "servers"), clients: securetest.NewAuthority(t, "clients"), address: freeport.Address(t)}
	securetest.Write(t, s.folder, "shop", s.servers.Issue([]string{"shop.dev", "127.0.0.1", "::1"}))
	securetest.Write(t, s.folder, "wild", s.servers.Issue([]string{"*.shop.dev"}))
	securetest.WriteFile(t, filepath.Join(s.folder, "clients.crt"), s.clients.PEM())
	s.apply(s.config(shopConfig))
	return s
}

func (s *shop) config(text string) string {
	return strings.NewReplacer("FOLDER", s.folder, "ADDRESS", s.address).Replace(text)
}

// dial makes a connection for a server name, with further wishes.
func (s *shop) dial(serverName string, wishes ...func(*tls.Config)) (*tls.Conn, error) {
	config := &tls.Config{RootCAs: s.servers.Pool(), ServerName: serverName, NextProtos: []string{"http/1.1"}}
	for _, wish := range wishes {
		wish(config)
	}
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	s.t.Cleanup(func() { _ = raw.Close() })
	return conn, nil
}

func withCertificate(c tls.Certificate) func(*tls.Config) {
	return func(config *tls.Config) {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
}

func trusting(config *tls.Config) { config.InsecureSkipVerify = true }

// ask sends a request on a connection and gives status and body.
func ask(conn net.Conn, host, path string) string {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		return err.Error()
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	if res.StatusCode != http.StatusOK {
		code := "" // of the problem
		if _, rest, ok := strings.Cut(string(body), `"code":"`); ok {
			code, _, _ = strings.Cut(rest, `"`)
		}
		return fmt.Sprint(res.StatusCode, " ", code)
	}
	return string(body)
}

const misdirected = "421 misdirected-request"

func TestAConnectionServesTheListenerThatItWasMadeFor(t *testing.T) {
	s := newShop(t)
	member := withCertificate(s.clients.Issue([]string{"alice"}))
	for _, test := range []struct {
		name, serverName, host, path string
		wishes                       []func(*tls.Config)
		want                         string
	}{
		{"its own host", "shop.dev", "shop.dev", "/", nil, "everybody"},
		{"its own host with a port and in capitals", "shop.dev", "SHOP.dev:443", "/", nil, "everybody"},
		{"another host of the same listener", "shop.dev", "www.shop.dev", "/", nil, "everybody"},
		{"another certificate of the same listener", "www.shop.dev", "shop.dev", "/", nil, "everybody"},
		{"the host of staff, without their certificate", "shop.dev", "staff.shop.dev", "/", nil, misdirected},
		{"the same in capitals", "shop.dev", "STAFF.shop.dev", "/", nil, misdirected},
		{"the same with a dot at its end", "shop.dev", "staff.shop.dev.", "/", nil, misdirected},
		{"the same in absolute form", "shop.dev", "staff.shop.dev", "https://staff.shop.dev/", nil, misdirected},
		{"the same with their certificate", "shop.dev", "staff.shop.dev", "/", []func(*tls.Config){member}, misdirected},
		{"the host of staff, on a connection without a name", "", "staff.shop.dev", "/", []func(*tls.Config){trusting}, misdirected},
		{"an address on a connection without a name", "", "127.0.0.1", "/", []func(*tls.Config){trusting}, "everybody"},
		{"an IPv6 address", "", "[::1]:443", "/", []func(*tls.Config){trusting}, "everybody"},
		{"staff", "staff.shop.dev", "staff.shop.dev", "/", []func(*tls.Config){member}, "staff"},
		{"staff with a dot at its end", "staff.shop.dev", "staff.shop.dev.", "/", []func(*tls.Config){member}, "staff"},
		{"staff in capitals", "STAFF.shop.dev", "staff.SHOP.dev", "/", []func(*tls.Config){member}, "staff"},
		{"everybody's host on the connection of staff", "staff.shop.dev", "shop.dev", "/", []func(*tls.Config){member}, misdirected},
		{"a partner with a certificate", "partners.shop.dev", "partners.shop.dev", "/p", []func(*tls.Config){member}, "partners"},
		{"a partner without", "partners.shop.dev", "partners.shop.dev", "/p", nil, "partners"},
		{"staff on the connection of a partner with a certificate", "partners.shop.dev", "staff.shop.dev", "/", []func(*tls.Config){member}, misdirected},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := s.dial(test.serverName, test.wishes...)
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(conn, test.host, test.path); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestHandshakesThatAreRefused(t *testing.T) {
	s := newShop(t)
	stranger := securetest.NewAuthority(t, "clients") // of the same name
	for _, test := range []struct {
		name, serverName string
		wishes           []func(*tls.Config)
	}{
		{"staff without a certificate", "staff.shop.dev", nil},
		{"staff with one of another authority", "staff.shop.dev", []func(*tls.Config){withCertificate(stranger.Issue([]string{"alice"}))}},
		{"staff with an expired one", "staff.shop.dev", []func(*tls.Config){withCertificate(s.clients.Issue([]string{"alice"}, securetest.Expired))}},
		{"a partner with one of another authority", "partners.shop.dev", []func(*tls.Config){withCertificate(stranger.Issue([]string{"alice"}))}},
		{"TLS 1.1", "shop.dev", []func(*tls.Config){func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }}},
		{"a protocol that is not spoken", "shop.dev", []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"spdy/3"} }}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			older := func(c *tls.Config) {
				if c.MaxVersion == 0 {
					c.MaxVersion = version
				}
			}
			conn, err := s.dial(test.serverName, append(test.wishes, older)...)
			if err == nil { // of TLS 1.3 the client has finished before the server judges its certificate
				_, err = conn.Read(make([]byte, 1))
			}
			if err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: got %v, want a refusal", test.name, tls.VersionName(version), err)
			}
		}
	}
}

func TestANameThatNoListenerHasIsRefusedByItsAlert(t *testing.T) {
	s := newShop(t)
	s.apply(s.config("listen:\n  staff: { address: ADDRESS, hostname: staff.shop.dev, tls: { cert: FOLDER/wild.crt, key: FOLDER/wild.key } }\nroutes:\n  GET /: respond:staff\n"))
	for _, name := range []string{"shop.dev", ""} {
		if _, err := s.dial(name, trusting); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: got %v, want unrecognized_name", name, err)
		}
	}
}

// slicer cuts what is written into records of one byte each, so that a
// ClientHello comes in pieces.
type slicer struct {
	net.Conn
	left int // writes to cut
}

func (s *slicer) Write(p []byte) (int, error) {
	if s.left == 0 || len(p) < 5 || p[0] != 22 {
		return s.Conn.Write(p)
	}
	s.left--
	for _, b := range p[5:] {
		if _, err := s.Conn.Write([]byte{p[0], p[1], p[2], 0, 1, b}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestAClientHelloInPiecesChoosesTheSameListener(t *testing.T) {
	s := newShop(t)
	for _, certificates := range [][]tls.Certificate{{s.clients.Issue([]string{"alice"})}, nil} {
		raw, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(&slicer{raw, 1}, &tls.Config{RootCAs: s.servers.Pool(), ServerName: "staff.shop.dev", Certificates: certificates})
		got := ask(conn, "staff.shop.dev", "/")
		if want := len(certificates) > 0; (got == "staff") != want {
			t.Errorf("with %d certificates: got %s", len(certificates), got)
		}
		_ = raw.Close()
	}
}

// A browser uses one HTTP/2 connection for all hosts of a certificate (RFC 9113
// section 9.1.1). It may, where one listener has them, and is told where not.
func TestHTTP2ConnectionsAreSharedWithinAListener(t *testing.T) {
	s := newShop(t)
	var dials int
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.servers.Pool(), ServerName: "www.shop.dev"}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials++
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		},
	}
	defer transport.CloseIdleConnections()
	for host, want := range map[string]int{"www.shop.dev": 200, "cdn.shop.dev": 200, "staff.shop.dev": 421} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www.shop.dev/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want || res.ProtoMajor != 2 {
			t.Errorf("%s: got %d over %s, want %d over HTTP/2", host, res.StatusCode, res.Proto, want)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections, want one", dials)
	}
}

func TestConnectionsFromBeforeAStricterPolicyAreToldToLeave(t *testing.T) {
	s := newShop(t)
	plain, err := s.dial("shop.dev")
	if err != nil {
		t.Fatal(err)
	}
	member, err := s.dial("staff.shop.dev", withCertificate(s.clients.Issue([]string{"alice"})))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := ask(plain, "shop.dev", "/"), ask(member, "staff.shop.dev", "/"); a != "everybody" || b != "staff" {
		t.Fatalf("got %s and %s", a, b)
	}
	// Now everybody must show a certificate, of the authority that staff had.
	s.apply(s.config("listen: { everybody: { address: ADDRESS, tls: { cert: FOLDER/shop.crt, key: FOLDER/shop.key, client_ca: FOLDER/clients.crt } } }\nroutes:\n  GET /: respond:members\n"))
	if got := ask(plain, "shop.dev", "/"); got != misdirected {
		t.Errorf("a connection without a certificate: got %s", got)
	}
	if _, err := plain.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if got := ask(member, "staff.shop.dev", "/"); got != "members" {
		t.Errorf("a connection with one: got %s", got)
	}
	// The authority is replaced: what it vouched for does not count any more.
	securetest.WriteFile(t, filepath.Join(s.folder, "clients.crt"), securetest.NewAuthority(t, "clients").PEM())
	s.apply(s.config("listen: { everybody: { address: ADDRESS, tls: { cert: FOLDER/shop.crt, key: FOLDER/shop.key, client_ca: FOLDER/clients.crt } } }\nroutes:\n  GET /: respond:members\n"))
	if got := ask(member, "staff.shop.dev", "/"); got != misdirected {
		t.Errorf("a connection under the authority before: got %s", got)
	}
}

func TestAPlainConnectionIsNoWayIntoASocketThatSpeaksTLSNow(t *testing.T) {
	s := newShop(t)
	s.apply("listen: " + s.address + "\n" + route + "respond:open\n")
	plain, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if got := ask(plain, "staff.shop.dev", "/"); got != "open" {
		t.Fatal(got)
	}
	s.apply(s.config(shopConfig))
	if got := ask(plain, "staff.shop.dev", "/"); got != misdirected {
		t.Errorf("got %s", got)
	}
	if _, err := plain.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// An HTTP/2 connection is bound as any other.
func TestStaffMaySpeakHTTP2(t *testing.T) {
	s := newShop(t)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.servers.Pool(), Certificates: []tls.Certificate{s.clients.Issue([]string{"alice"})}}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		},
	}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, "https://staff.shop.dev/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != "staff" || res.ProtoMajor != 2 || err != nil {
		t.Errorf("got %s %d %q, %v", res.Proto, res.StatusCode, body, err)
	}
}

func TestARenewedCertificateIsShownWithoutANewListener(t *testing.T) {
	s := newShop(t)
	kept, err := s.dial("shop.dev")
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(kept, "shop.dev", "/"); got != "everybody" {
		t.Fatal(got)
	}
	renewed := s.servers.Issue([]string{"shop.dev"})
	securetest.Write(t, s.folder, "shop", renewed)
	s.apply(s.config(shopConfig))
	fresh, err := s.dial("shop.dev")
	if err != nil {
		t.Fatal(err)
	}
	if got := fresh.ConnectionState().PeerCertificates[0]; got.SerialNumber.Cmp(renewed.Leaf.SerialNumber) != 0 {
		t.Error("a new connection is shown the old certificate")
	}
	if got := ask(kept, "shop.dev", "/"); got != "everybody" {
		t.Errorf("a connection that was there: got %s", got)
	}
	// One that cannot be used leaves the one before.
	securetest.WriteFile(t, filepath.Join(s.folder, "shop.crt"), []byte("-----BEGIN CERTIFICATE-----\n"))
	if _, err := s.reconciler.Apply(s.load(s.config(shopConfig)), "broken"); !errors.Is(err, reconcile.ErrRefused) {
		t.Errorf("a broken certificate: got %v", err)
	}
	if conn, err := s.dial("shop.dev"); err != nil || ask(conn, "shop.dev", "/") != "everybody" {
		t.Errorf("after a broken one: %v", err)
	}
}

func TestAnAuthorityOfClientsThatCannotBeReadRefusesTheConfig(t *testing.T) {
	s := newShop(t)
	for name, content := range map[string]string{
		"empty": " ", "no PEM": "certificates, please", "half": string(s.clients.PEM()[:100]),
		"one of two": string(s.clients.PEM()) + "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
		"a key":      "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n",
	} {
		securetest.WriteFile(t, filepath.Join(s.folder, "clients.crt"), []byte(content))
		report, err := s.reconciler.Apply(s.load(s.config(shopConfig)), name)
		if !errors.Is(err, reconcile.ErrRefused) || !strings.Contains(fmt.Sprint(report.Problems), "client_ca") {
			t.Errorf("%s: got %v, %v", name, err, report.Problems)
		}
		if _, err := s.dial("staff.shop.dev"); err == nil {
			conn, _ := s.dial("staff.shop.dev")
			if got := ask(conn, "staff.shop.dev", "/"); got == "staff" {
				t.Errorf("%s: staff is open", name)
			}
		}
	}
}

// oneSession is a client's cache that offers its one session to every server.
type oneSession struct{ session *tls.ClientSessionState }

func (c *oneSession) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }
func (c *oneSession) Put(_ string, s *tls.ClientSessionState)    { c.session = s }

// A session ticket is good where it was given, also after a reload, and nowhere else.
func TestSessionTicketsStayWithTheirListener(t *testing.T) {
	s := newShop(t)
	member := withCertificate(s.clients.Issue([]string{"alice"}))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &oneSession{}
		resumes := func(serverName, path string) bool {
			t.Helper()
			conn, err := s.dial(serverName, member, func(c *tls.Config) { c.ClientSessionCache, c.MaxVersion = cache, version })
			if err != nil {
				t.Fatal(err)
			}
			_ = ask(conn, serverName, path) // and with it read the ticket
			return conn.ConnectionState().DidResume
		}
		if resumes("partners.shop.dev", "/p") {
			t.Errorf("%s: the first connection resumes", tls.VersionName(version))
		}
		s.apply(s.config(shopConfig))
		if !resumes("partners.shop.dev", "/p") {
			t.Errorf("%s: the second one, after a reload, does not", tls.VersionName(version))
		}
		if resumes("staff.shop.dev", "/") {
			t.Errorf("%s: another listener takes the ticket", tls.VersionName(version))
		}
	}
}
