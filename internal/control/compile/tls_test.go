package compile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

// certificate writes name.crt and name.key, self-signed for hosts, into folder.
func certificate(t *testing.T, folder, name string, hosts ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(folder, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// offered is the common name of the certificate that a client of that server
// name gets, or the error of the handshake.
func offered(t *testing.T, server *tls.Config, name string) string {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(a, server).Handshake() // the client tells how it went
		_ = a.Close()
	}()
	client := tls.Client(b, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	err := client.Handshake()
	_ = b.Close()
	<-done
	if err != nil {
		return "refused"
	}
	return client.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestServerNameChoosesTheCertificateOfItsListener(t *testing.T) {
	w := newWorld(t)
	certificate(t, w.folder, "exact", "shop.dev")
	certificate(t, w.folder, "wildcard", "*.shop.dev")
	cfg := w.load(strings.ReplaceAll(`listen:
  - name: exact
    address: :8443
    hostname: shop.dev
    tls: { cert: FOLDER/exact.crt, key: FOLDER/exact.key }
  - name: wildcard
    address: :8443
    hostname: "*.shop.dev"
    tls: { cert: FOLDER/wildcard.crt, key: FOLDER/wildcard.key }
routes:
  GET /:
    to: respond:204
`, "FOLDER", w.folder))
	pending := w.compile(cfg)
	defer pending.Abort(t.Context())
	for name, want := range map[string]string{
		"shop.dev": "exact", "www.shop.dev": "wildcard", "a.b.shop.dev": "wildcard",
		"evil.dev": "refused", "": "refused",
	} {
		got := "refused"
		if policy := pending.Snapshot.Policy(cfg.Sockets[0].Name, name); policy != nil {
			got = offered(t, policy.Config(), name)
		}
		if got != want {
			t.Errorf("server name %q: got %s, want %s", name, got, want)
		}
	}
}

// secureBackend answers over TLS.
func secureBackend(t *testing.T, c tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secure")) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestBackendMustShowACertificateOfItsAuthorityAndName(t *testing.T) {
	w := newWorld(t)
	good := secureBackend(t, certificate(t, w.folder, "good", "users.internal"))
	certificate(t, w.folder, "other", "users.internal")
	for name, c := range map[string]struct {
		tls  string
		want int
	}{
		"its authority and name":       {"{ ca: FOLDER/good.crt, name: users.internal }", 200},
		"another name":                 {"{ ca: FOLDER/good.crt, name: orders.internal }", 502},
		"another authority":            {"{ ca: FOLDER/other.crt, name: users.internal }", 502},
		"one of several names":         {"{ ca: FOLDER/good.crt, sans: [a.internal, users.internal] }", 200},
		"none of several names":        {"{ ca: FOLDER/good.crt, sans: [a.internal, b.internal] }", 502},
		"a name, of another authority": {"{ ca: FOLDER/other.crt, sans: [users.internal] }", 502},
	} {
		t.Run(name, func(t *testing.T) {
			w.serve(w.load("routes:\n  GET /:\n    to: users\nservices:\n  users:\n    endpoints: [" + good + "]\n    tls: " + strings.ReplaceAll(c.tls, "FOLDER", w.folder) + "\n"))
			if got := w.get("/"); got.Code != c.want {
				t.Errorf("got %d %s, want %d", got.Code, got.Body, c.want)
			}
		})
	}
}

// demandingBackend answers with the common name of the client's certificate,
// which must be of the authority clients. It never names that to its clients, as
// some servers do.
func demandingBackend(t *testing.T, own tls.Certificate, clients *securetest.Authority) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert, VerifyConnection: func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: clients.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestBackendIsShownTheCertificateOfItsService(t *testing.T) {
	w := newWorld(t)
	servers, clients := securetest.NewAuthority(t, "servers"), securetest.NewAuthority(t, "clients")
	securetest.WriteFile(t, filepath.Join(w.folder, "ca.crt"), servers.PEM())
	address := demandingBackend(t, servers.Issue([]string{"users.internal"}), clients)
	text := func(pair string) string {
		return "routes:\n  GET /:\n    to: users\nservices:\n  users:\n    endpoints: [" + address + "]\n    tls: { name: users.internal, ca: " + w.folder + "/ca.crt" + pair + " }\n"
	}
	pair := ", cert: " + w.folder + "/client.crt, key: " + w.folder + "/client.key"

	w.serve(w.load(text("")))
	if got := w.get("/"); got.Code != http.StatusBadGateway {
		t.Errorf("without a certificate: got %d %s", got.Code, got.Body)
	}
	for _, name := range []string{"first", "renewed"} { // under the same file names
		securetest.Write(t, w.folder, "client", clients.Issue([]string{name}))
		w.serve(w.load(text(pair)))
		for range 2 { // the second time on a kept connection
			if got := w.get("/"); got.Code != http.StatusOK || got.Body.String() != name {
				t.Errorf("got %d %s, want to be known as %s", got.Code, got.Body, name)
			}
		}
	}
	securetest.Write(t, w.folder, "client", securetest.NewAuthority(t, "clients").Issue([]string{"stranger"}))
	w.serve(w.load(text(pair)))
	if got := w.get("/"); got.Code != http.StatusBadGateway {
		t.Errorf("with one of another authority: got %d %s", got.Code, got.Body)
	}
	securetest.WriteFile(t, filepath.Join(w.folder, "client.key"), []byte("no key"))
	if pending, problems := w.compiler.Compile(w.load(text(pair)), ""); pending != nil || !strings.Contains(strings.Join(lines(problems), ""), "tls.cert") {
		t.Errorf("with a key that is none: got %v, %v", pending, problems)
	}
}

func TestARenewedAuthorityIsTakenOverUnderItsOldName(t *testing.T) {
	w := newWorld(t)
	address := secureBackend(t, certificate(t, w.folder, "good", "users.internal"))
	certificate(t, w.folder, "ca", "users.internal")
	text := "routes:\n  GET /:\n    to: users\nservices:\n  users:\n    endpoints: [" + address + "]\n    tls: { name: users.internal, ca: " + w.folder + "/ca.crt }\n"
	w.serve(w.load(text))
	if got := w.get("/"); got.Code != http.StatusBadGateway {
		t.Fatalf("under the wrong authority: got %d", got.Code)
	}
	renewed, err := os.ReadFile(filepath.Join(w.folder, "good.crt"))
	if err != nil || os.WriteFile(filepath.Join(w.folder, "ca.crt"), renewed, 0o600) != nil {
		t.Fatal(err)
	}
	w.serve(w.load(text))
	if got := w.get("/"); got.Code != http.StatusOK {
		t.Errorf("under the right one: got %d %s", got.Code, got.Body)
	}
}

func TestEmptyAuthorityIsNotTheSystems(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.folder, "empty.crt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{nil, []byte("no PEM")} {
		if err := os.WriteFile(filepath.Join(w.folder, "empty.crt"), bytes.Clone(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := w.load("services:\n  users:\n    endpoints: [127.0.0.1:1]\n    tls: { ca: " + w.folder + "/empty.crt }\n")
		if pending, problems := w.compiler.Compile(cfg, ""); pending != nil || !strings.Contains(strings.Join(lines(problems), ""), "tls.ca") {
			t.Errorf("%q: got %v, %v", content, pending, problems)
		}
	}
}
