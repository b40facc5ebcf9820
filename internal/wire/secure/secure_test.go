package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/secure"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

func newPolicy(t *testing.T, o secure.Options) *secure.Policy {
	t.Helper()
	o.Tickets = secure.NewTickets()
	p, err := secure.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shake makes a TLS connection to p and returns what the client sees.
func shake(t *testing.T, p *secure.Policy, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server := tls.Server(a, p.Config())
		if server.Handshake() == nil {
			_, _ = server.Write([]byte("x")) // after the ticket
		}
		_ = a.Close()
	}()
	conn := tls.Client(b, client)
	err := conn.Handshake()
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	state := conn.ConnectionState()
	_ = b.Close()
	<-done
	return state, err
}

func TestCertificatesAreChosenByName(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	certificates := []tls.Certificate{
		a.IssueRSA([]string{"shop.dev", "www.shop.dev"}), a.Issue([]string{"www.shop.dev", "shop.dev"}),
		a.Issue([]string{"*.shop.dev"}), a.Issue([]string{"api.shop.dev"}), a.Issue([]string{"192.0.2.1"}),
	}
	const refused = -1
	for _, test := range []struct {
		name   string
		strict bool
		suite  uint16 // of TLS 1.2; 0: any
		want   int    // which certificate
	}{
		{"shop.dev", false, 0, 0},
		{"shop.dev", false, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 1},
		{"shop.dev", false, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 0},
		{"SHOP.dev", false, 0, 0},
		{"cdn.shop.dev", false, 0, 2},
		{"api.shop.dev", false, 0, 3},
		{"a.b.shop.dev", false, 0, 0},
		{"elsewhere.dev", false, 0, 0},
		{"elsewhere.dev", false, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 1},
		{"", false, 0, 0},
		{"shop.dev", true, 0, 0},
		{"cdn.shop.dev", true, 0, 2},
		{"a.b.shop.dev", true, 0, refused},
		{"elsewhere.dev", true, 0, refused},
		{"", true, 0, refused},
	} {
		p := newPolicy(t, secure.Options{Certificates: certificates, StrictNames: test.strict})
		client := &tls.Config{ServerName: test.name, InsecureSkipVerify: true}
		if test.suite != 0 {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{test.suite}
		}
		state, err := shake(t, p, client)
		got := refused
		if err == nil {
			got = slices.IndexFunc(certificates, func(c tls.Certificate) bool { return c.Leaf.Equal(state.PeerCertificates[0]) })
		}
		if got != test.want {
			t.Errorf("%q, strict %v, suite %s: got certificate %d, %v, want %d", test.name, test.strict, tls.CipherSuiteName(test.suite), got, err, test.want)
		}
	}
}

func TestVersionCiphersAndCurvesAreThoseOfTheConfig(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	p := newPolicy(t, secure.Options{
		Certificates: []tls.Certificate{a.Issue([]string{"shop.dev"})},
		Ciphers:      []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}, Curves: []tls.CurveID{tls.CurveP384},
	})
	state, err := shake(t, p, &tls.Config{ServerName: "shop.dev", RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12})
	if err != nil || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 || state.CurveID != tls.CurveP384 {
		t.Errorf("got %s, %s, %v", tls.CipherSuiteName(state.CipherSuite), state.CurveID, err)
	}
	p = newPolicy(t, secure.Options{Certificates: []tls.Certificate{a.Issue([]string{"shop.dev"})}, MinVersion: tls.VersionTLS13})
	if _, err := shake(t, p, &tls.Config{ServerName: "shop.dev", RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken where 1.3 is the least")
	}
}

func TestTheChainOfAClientIsTold(t *testing.T) {
	servers, clients := securetest.NewAuthority(t, "servers"), securetest.NewAuthority(t, "clients")
	p := newPolicy(t, secure.Options{
		Certificates: []tls.Certificate{servers.Issue([]string{"shop.dev"})},
		Client:       config.RequireClientAuth, ClientCA: clients.PEM(),
	})
	alice := clients.Issue([]string{"spiffe://shop.dev/alice"})
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	shaken := make(chan error, 1)
	go func() {
		shaken <- tls.Client(b, &tls.Config{ServerName: "shop.dev", RootCAs: servers.Pool(), Certificates: []tls.Certificate{alice}}).Handshake()
	}()
	server := tls.Server(a, p.Config())
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	chains := server.ConnectionState().VerifiedChains
	if len(chains) != 1 || !chains[0][0].Equal(alice.Leaf) || chains[0][0].URIs[0].String() != "spiffe://shop.dev/alice" {
		t.Errorf("got %v", chains)
	}
	if err := <-shaken; err != nil {
		t.Error(err)
	}
}

func TestTermsNameWhatIsAskedOfClients(t *testing.T) {
	seen := map[string]bool{}
	for _, terms := range []string{
		secure.Terms(config.NoClientAuth, nil),
		secure.Terms(config.OptionalClientAuth, []byte("a")), secure.Terms(config.RequireClientAuth, []byte("a")),
		secure.Terms(config.RequireClientAuth, []byte("b")),
	} {
		if seen[terms] {
			t.Errorf("%q twice", terms)
		}
		seen[terms] = true
	}
	if !seen[""] || secure.Terms(config.NoClientAuth, []byte("a")) != "" {
		t.Error("where nothing is asked there are terms")
	}
}

// A ticket is accepted for the rest of its key's period and two more periods, which is 16 to 24 hours, and not a day
// longer.
func TestTicketKeysAreReplaced(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	certificate := a.Issue([]string{"shop.dev"}, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Time{}, time.Now().Add(1e6*time.Hour) })
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, secure.Options{Certificates: []tls.Certificate{certificate}})
		cache := tls.NewLRUClientSessionCache(1)
		resumes := func(cache tls.ClientSessionCache) bool {
			state, err := shake(t, p, &tls.Config{ServerName: "shop.dev", InsecureSkipVerify: true, ClientSessionCache: cache})
			if err != nil {
				t.Fatal(err)
			}
			return state.DidResume
		}
		if resumes(cache) {
			t.Error("the first connection resumes")
		}
		for range 4 { // each connection gives a new ticket
			<-time.After(15 * time.Hour)
			if !resumes(cache) {
				t.Error("a ticket of 15 hours is not taken")
			}
		}
		<-time.After(24 * time.Hour)
		if resumes(tls.NewLRUClientSessionCache(1)) || resumes(cache) {
			t.Error("a ticket of 24 hours is taken")
		}
	})
}
