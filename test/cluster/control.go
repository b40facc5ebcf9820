//go:build unix

package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-gateway/weir/internal/base/await"
)

// Admin may do everything.
const Admin = "admin"

// Control is a control plane.
type Control struct {
	Etcd   *Process
	Server *Process // kube-apiserver

	tb      testing.TB
	folder  string
	address string // of the API server
	etcd    string
	admin   *kubernetes.Clientset
}

// Start runs etcd and an API server and waits until that is ready. users are known in addition to Admin, each with
// its name as its token, and may do what a test permits them. All of it ends with the test.
func Start(tb testing.TB, users ...string) *Control {
	tb.Helper()
	program, err := Program(false)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		tb.Skip("Kubernetes is not built here; `make kube` does it")
	}
	c := newControl(tb, program, users, "127.0.0.1", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount")
	tb.Cleanup(c.end)
	c.start()
	return c
}

// newControl makes a control plane that does not run yet, whose API server has further flags and the additional name
// host. A user's name may be followed by an id and groups, as in `name,,system:nodes`.
func newControl(tb testing.TB, program string, users []string, host string, flags ...string) *Control {
	tb.Helper()
	c := &Control{tb: tb, folder: tb.TempDir(), address: free(tb), etcd: free(tb)}
	c.writePKI(users, host)
	peers := "http://" + free(tb)
	c.Etcd = &Process{tb: tb, name: "etcd", program: program, arguments: []string{
		"etcd", "--data-dir", filepath.Join(c.folder, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://" + c.etcd, "--advertise-client-urls", "http://" + c.etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default=" + peers,
	}}
	c.Server = &Process{tb: tb, name: "kube-apiserver", program: program, arguments: append([]string{
		"kube-apiserver", "--etcd-servers=http://" + c.etcd, "--secure-port=" + port(c.address), "--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + c.path("server.crt"), "--tls-private-key-file=" + c.path("server.key"), "--cert-dir=" + c.folder,
		"--token-auth-file=" + c.path("tokens.csv"), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("account.key"), "--service-account-signing-key-file=" + c.path("account.key"), "--profiling=false", "--v=0",
	}, flags...)}
	return c
}

func (c *Control) start() {
	c.tb.Helper()
	c.Etcd.Start()
	c.Server.Start()
	c.Ready()
}

func (c *Control) end() {
	c.Server.Kill()
	c.Etcd.Kill()
}

// Ready waits until the API server reports that it is ready.
func (c *Control) Ready() {
	c.tb.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // only whether it is ready is asked
	}}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		res, err := client.Get("https://" + c.address + "/readyz") //nolint:noctx // it has a time-out
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusUnauthorized {
				return
			}
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("the API server is not ready: %v", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// Kubeconfig writes a file with which user reaches the API server, and returns its path.
func (c *Control) Kubeconfig(user string) string {
	c.tb.Helper()
	path := c.path(user + ".kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"+
		"clusters: [{name: c, cluster: {server: 'https://%s', certificate-authority: '%s'}}]\nusers: [{name: u, user: {token: '%s'}}]\n", c.address, c.path("server.crt"), user)
	c.write(user+".kubeconfig", []byte(text))
	return path
}

// Client returns a client that may do everything.
func (c *Control) Client() *kubernetes.Clientset {
	c.tb.Helper()
	if c.admin == nil {
		config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig(Admin))
		if err != nil {
			c.tb.Fatal(err)
		}
		config.QPS, config.Burst, config.WarningHandler = 10000, 10000, rest.NoWarnings{}
		if c.admin, err = kubernetes.NewForConfig(config); err != nil {
			c.tb.Fatal(err)
		}
	}
	return c.admin
}

// Compact has etcd forget every version but the newest, and the API server what it remembers of older ones, as
// happens over time.
func (c *Control) Compact() {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	if err := compact(ctx, "http://"+c.etcd); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *Control) path(name string) string { return filepath.Join(c.folder, name) }

func (c *Control) write(name string, text []byte) {
	c.tb.Helper()
	if err := os.WriteFile(c.path(name), text, 0o600); err != nil {
		c.tb.Fatal(err)
	}
}

// writePKI writes the keys and credentials of all parts and users.
func (c *Control) writePKI(users []string, host string) {
	c.tb.Helper()
	tokens := []string{Admin + "," + Admin + "," + Admin + ",system:masters\n"}
	for _, u := range users {
		name, more, _ := strings.Cut(u, ",")
		_, groups, _ := strings.Cut(more, ",")
		tokens = append(tokens, fmt.Sprintf("%s,%s,%s,%s\n", name, name, name, groups))
	}
	c.write("tokens.csv", []byte(strings.Join(tokens, "")))
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.write("account.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(account)}))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.tb.Fatal(err)
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(host), net.IPv4(10, 96, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		c.tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.write("server.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	c.write("server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// free returns a loopback address on which nothing listens at present.
func free(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}
