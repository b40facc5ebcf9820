package clients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// acmeKey is an API key, and keyed a config that knows it.
const acmeKey = "acme-0123456789abcdef"

func keyed() string {
	sum := sha256.Sum256([]byte(acmeKey))
	return "auth: { partner: { keys: { acme: 'sha256:" + hex.EncodeToString(sum[:]) + "' }, forward: { headers: { X-User: =auth.sub } } } }\n"
}

// counted is a backend that counts the requests that reach it.
func counted(t *testing.T, handler http.Handler) (address string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	return startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		handler.ServeHTTP(w, r)
	})), reached
}

// TestNobodyPassesByAnotherProtocol sends requests without a key in every protocol.
func TestNobodyPassesByAnotherProtocol(t *testing.T) {
	c := &chat{ended: make(chan error, 16)}
	origin, reached := counted(t, c)
	gateway := startWeirWith(t, keyed(), "ANY /**: { auth: partner, to: 'http://"+origin+"' }")
	base := "http://" + gateway.Address
	for name, client := range map[string]*http.Client{"HTTP/1.1": h1Client(t), "HTTP/2": h2Client(t)} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"} {
			r := newRequest(t, method, base+"/orders?x-api-key="+acmeKey, nil)
			r.Header.Set("X-Http-Method-Override", "GET")
			r.Header.Set("X-Original-Url", "/open")
			r.Header["X_Api_Key"] = []string{acmeKey}
			r.Header.Set("Cookie", "X-Api-Key="+acmeKey)
			if res, _ := send(t, client, r); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s by %s: %d", method, name, res.StatusCode)
			}
		}
	}
	_, res, err := websocket.Dial(t.Context(), "ws://"+gateway.Address+"/chat", nil)
	if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a WebSocket: %v, %v", res, err)
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the backend was reached %d times", n)
	}
	conn := dial(t, "ws://"+gateway.Address+"/chat", &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {acmeKey}}})
	if err := wantEcho(t.Context(), conn, websocket.MessageText, []byte("hello")); err != nil {
		t.Error(err)
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	await.From(t, "the end of the chat", c.ended)
}

// TestAnUpgradeToHTTP2SmugglesNobodyIn asks for an upgrade to h2c with a key, to send requests without a key behind
// it.
func TestAnUpgradeToHTTP2SmugglesNobodyIn(t *testing.T) {
	got := make(chan http.Header, 1)
	origin, reached := counted(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	gateway := startWeirWith(t, keyed(), "ANY /**: { auth: partner, to: 'http://"+origin+"' }")
	conn, err := net.Dial("tcp", gateway.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: %s\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", acmeKey)
	fmt.Fprint(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	h := await.From(t, "the request", got)
	if h.Get("Upgrade") != "" || h.Get("Http2-Settings") != "" || h.Get("X-Api-Key") != "" || h.Get("X-User") != "acme" {
		t.Errorf("the backend got %v", h)
	}
	if reached.Load() != 1 {
		t.Errorf("the backend was reached %d times", reached.Load())
	}
}

// TestGRPCIsToldThatItIsUnauthenticated checks the status code that gRPC clients act upon.
func TestGRPCIsToldThatItIsUnauthenticated(t *testing.T) {
	gateway := startWeirWith(t, keyed(), "POST /shop.Orders/List: { auth: partner, respond: 204 }")
	conn, err := grpc.NewClient(gateway.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), await.Patience)
	defer cancel()
	var in, out raw
	if err := conn.Invoke(ctx, "/shop.Orders/List", &in, &out, grpc.ForceCodec(rawCodec{})); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", acmeKey)
	if err := conn.Invoke(ctx, "/shop.Orders/List", &in, &out, grpc.ForceCodec(rawCodec{})); status.Code(err) == codes.Unauthenticated {
		t.Errorf("with a key: %v", err)
	}
}

// raw is a message that is not decoded.
type raw []byte

type rawCodec struct{}

func (rawCodec) Marshal(any) ([]byte, error) { return nil, nil }
func (rawCodec) Unmarshal([]byte, any) error { return nil }
func (rawCodec) Name() string                { return "raw" }

// authority issues certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, template, template, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes a certificate for a workload, or for a server if name is not a URI.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if u, err := url.Parse(name); err == nil && u.Scheme != "" {
		template.URIs = []*url.URL{u}
	} else {
		template.DNSNames, template.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	c := a.sign(t, template, a.cert, key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// TestWorkloadsAreKnownByTheirCertificates sends requests over HTTP/1.1 and HTTP/2 with the right certificate, one
// for another name, one from another authority, and none.
func TestWorkloadsAreKnownByTheirCertificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	folder := t.TempDir()
	server := ours.issue(t, "shop.dev")
	keyDER, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: server.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: keyDER}, "ca.crt": {Type: "CERTIFICATE", Bytes: ours.cert.Raw},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	origin := startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Header.Get("X-Workload"))) }))
	config := "listen: { mesh: { address: ':8443', tls: { cert: tls.crt, key: tls.key, client_ca: ca.crt, client: optional } } }\n" +
		"auth: { mesh: { mtls: spiffe://shop.dev/*, forward: { headers: { X-Workload: =auth.sub } } } }\n" +
		"routes:\n  GET /open: respond:open\n  GET /: { auth: mesh, to: 'http://" + origin + "' }\n"
	file := filepath.Join(folder, "weir.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := startFile(t, file)
	none := tls.Certificate{}
	for name, c := range map[string]struct {
		certificate tls.Certificate
		status      int
		body        string
	}{
		"ours":                          {ours.issue(t, "spiffe://shop.dev/orders"), 200, "spiffe://shop.dev/orders"},
		"of another name":               {ours.issue(t, "spiffe://shop.dev.evil/orders"), 401, ""},
		"a server's":                    {ours.issue(t, "orders.shop.dev"), 0, ""},
		"of another authority":          {theirs.issue(t, "spiffe://shop.dev/orders"), 0, ""},
		"none, but a field that claims": {none, 401, ""},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			res, body, err := callTLS(t, gateway, ours, c.certificate, protocol)
			switch {
			case c.status == 0:
				if err == nil {
					t.Errorf("%s over %s: %d", name, protocol, res.StatusCode)
				}
			case err != nil:
				t.Errorf("%s over %s: %v", name, protocol, err)
			case res.StatusCode != c.status || c.body != "" && body != c.body || res.Proto != protocol:
				t.Errorf("%s over %s: %s %d %q", name, protocol, res.Proto, res.StatusCode, body)
			}
		}
	}
}

func callTLS(t *testing.T, gateway *weirtest.Gateway, a *authority, certificate tls.Certificate, protocol string) (*http.Response, string, error) {
	t.Helper()
	config := &tls.Config{RootCAs: a.pool(), ServerName: "shop.dev", MinVersion: tls.VersionTLS12}
	if certificate.Certificate != nil {
		// Sent whatever authorities the server names, as an attacker would.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol == "HTTP/1.1")
	transport.Protocols.SetHTTP2(protocol == "HTTP/2.0")
	defer transport.CloseIdleConnections()
	r := newRequest(t, http.MethodGet, "https://"+gateway.Address+"/", nil)
	r.Host = "shop.dev"
	r.Header.Set("X-Workload", "spiffe://shop.dev/admin")
	r.Header.Set("X-Forwarded-Client-Cert", `URI=spiffe://shop.dev/admin`)
	res, err := (&http.Client{Transport: transport, Timeout: await.Patience}).Do(r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	var body [256]byte
	n, err := res.Body.Read(body[:])
	if err != nil && n == 0 && !errors.Is(err, http.ErrBodyReadAfterClose) {
		return res, "", nil
	}
	return res, string(body[:n]), nil
}
