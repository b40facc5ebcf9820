package conformance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	pb "sigs.k8s.io/gateway-api/conformance/echo-basic/grpcechoserver"
)

// pods are the echo servers that stand in for the pods of Deployments: each has
// a loopback address of its own and listens on its containers' ports there.
type pods struct {
	t       *testing.T
	serving sync.WaitGroup
	mu      sync.Mutex
	last    int
	running map[types.NamespacedName][]io.Closer
}

func newPods(t *testing.T) *pods {
	t.Helper()
	p := &pods{t: t, running: map[types.NamespacedName][]io.Closer{}}
	t.Cleanup(func() {
		for name := range p.running {
			p.stop(name.Namespace, name.Name)
		}
		p.serving.Wait()
	})
	return p
}

// The ports on which the suite's echo server listens.
const (
	portEcho = 3000 // HTTP/1.1, gRPC or TCP
	portH2C  = 3001
	portTLS  = 8443
)

// start runs the servers of one pod and returns its address.
func (p *pods) start(c *cluster, deployment *appsv1.Deployment, name string) (ip string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	ip = fmt.Sprintf("127.40.%d.%d", p.last/250, p.last%250+1)
	pod := types.NamespacedName{Namespace: deployment.Namespace, Name: name}
	env := environment(deployment)
	closing := func(c io.Closer) { p.running[pod] = append(p.running[pod], c) }
	serve := func(port int, run func(net.Listener)) {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			p.t.Errorf("pod %s: %v", pod, err)
			return
		}
		closing(l)
		p.serving.Go(func() { run(l) })
	}
	if env["GRPC_ECHO_SERVER"] != "" {
		s := grpc.NewServer()
		pb.RegisterGrpcEchoServer(s, &grpcEcho{pod: pod})
		closing(closer(s.Stop))
		serve(portEcho, func(l net.Listener) { _ = s.Serve(l) }) // ends with Stop
		return ip
	}
	if env["TCP_ECHO_SERVER"] != "" {
		return ip // the profiles that run here use no streams
	}
	plain := &http.Server{Handler: echoHandler(pod), ReadHeaderTimeout: 10 * time.Second}
	h2c := &http.Server{Handler: plain.Handler, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	h2c.Protocols.SetHTTP1(true)
	h2c.Protocols.SetUnencryptedHTTP2(true)
	closing(plain)
	closing(h2c)
	serve(portEcho, func(l net.Listener) { _ = plain.Serve(l) }) // these end with Close
	serve(portH2C, func(l net.Listener) { _ = h2c.Serve(l) })
	if secret := secretOf(deployment); secret != "" {
		certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.certificate(types.NamespacedName{Namespace: deployment.Namespace, Name: secret})
		}
		serve(portTLS, func(l net.Listener) {
			_ = plain.Serve(tls.NewListener(l, &tls.Config{GetCertificate: certificate, MinVersion: tls.VersionTLS12}))
		})
	}
	return ip
}

func (p *pods) stop(namespace, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	for _, c := range p.running[key] {
		_ = c.Close() // closing a listener twice does no harm
	}
	delete(p.running, key)
}

// closer is something that a call ends.
type closer func()

func (c closer) Close() error {
	c()
	return nil
}

func environment(deployment *appsv1.Deployment) map[string]string {
	env := map[string]string{}
	for _, container := range deployment.Spec.Template.Spec.Containers {
		for _, e := range container.Env {
			env[e.Name] = e.Value
		}
	}
	return env
}

// secretOf returns the Secret with which a Deployment serves TLS, or "".
func secretOf(deployment *appsv1.Deployment) string {
	for _, v := range deployment.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			return v.Secret.SecretName
		}
	}
	return ""
}

// certificate reads a key pair from a Secret. Pods start before the suite has made their Secrets.
func (c *cluster) certificate(name types.NamespacedName) (*tls.Certificate, error) {
	var secret corev1.Secret
	if err := c.direct.Get(context.Background(), name, &secret); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	return &pair, err
}

// echo is what the suite reads from an answer: the request as received, and the pod that received it.
type echo struct {
	Path      string      `json:"path"`
	Host      string      `json:"host"`
	Method    string      `json:"method"`
	Protocol  string      `json:"proto"`
	Headers   http.Header `json:"headers"`
	HTTPPort  string      `json:"httpPort"`
	Namespace string      `json:"namespace"`
	Pod       string      `json:"pod"`
	TLS       *echoTLS    `json:"tls,omitempty"`
}

type echoTLS struct {
	Version          string   `json:"version"`
	ServerName       string   `json:"serverName"`
	Protocol         string   `json:"negotiatedProtocol"`
	Cipher           string   `json:"cipherSuite"`
	PeerCertificates []string `json:"peerCertificates,omitempty"`
}

// echoHandler answers with the request. It first waits for the delay in the query. The header X-Echo-Set-Header says
// which header fields to set.
func echoHandler(pod types.NamespacedName) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) })) // until it closes
	failures := &failures{left: map[string]int{}}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/retry/") && failures.fail(w, r) {
			return
		}
		if delay, err := time.ParseDuration(r.URL.Query().Get("delay")); err == nil {
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
				return
			}
		}
		for _, list := range r.Header.Values("X-Echo-Set-Header") {
			for field := range strings.SplitSeq(list, ",") {
				if name, value, ok := strings.Cut(strings.TrimSpace(field), ":"); ok {
					w.Header()[name] = append(w.Header()[name], strings.TrimSpace(value))
				}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(echo{ // a client that left needs no answer
			Path: r.RequestURI, Host: r.Host, Method: r.Method, Protocol: r.Proto, Headers: r.Header,
			HTTPPort: strconv.Itoa(portEcho), Namespace: pod.Namespace, Pod: pod.Name, TLS: describeTLS(r.TLS),
		})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/") // the mux would redirect otherwise
		mux.ServeHTTP(w, r)
	})
}

// failures makes the first tries of a request fail, as the tests of retries demand in the query: `uuid` names the
// request, `succeedAfter` tries fail, each after `delayRetry`, with `responseCode` or else with a reset of the
// connection.
type failures struct {
	mu   sync.Mutex
	left map[string]int
}

func (f *failures) fail(w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	f.mu.Lock()
	left, known := f.left[q.Get("uuid")]
	if !known {
		left, _ = strconv.Atoi(q.Get("succeedAfter")) // 0 if it is missing
	}
	f.left[q.Get("uuid")] = max(0, left-1)
	f.mu.Unlock()
	if left == 0 {
		return false
	}
	if delay, err := time.ParseDuration(q.Get("delayRetry")); err == nil {
		<-time.After(delay)
	}
	if status, err := strconv.Atoi(q.Get("responseCode")); err == nil {
		w.WriteHeader(status)
		return true
	}
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset instead of a proper end
		}
		_ = conn.Close()
	}
	return true
}

func describeTLS(state *tls.ConnectionState) *echoTLS {
	if state == nil {
		return nil
	}
	d := &echoTLS{
		Version: tls.VersionName(state.Version), ServerName: state.ServerName,
		Protocol: state.NegotiatedProtocol, Cipher: tls.CipherSuiteName(state.CipherSuite),
	}
	for _, c := range state.PeerCertificates {
		d.PeerCertificates = append(d.PeerCertificates, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	}
	return d
}

// grpcEcho is the gRPC counterpart of echoHandler. EchoThree stays unimplemented, as the suite expects.
type grpcEcho struct {
	pb.UnimplementedGrpcEchoServer

	pod types.NamespacedName
}

func (g *grpcEcho) Echo(ctx context.Context, _ *pb.EchoRequest) (*pb.EchoResponse, error) {
	return g.answer(ctx, "Echo")
}

func (g *grpcEcho) EchoTwo(ctx context.Context, _ *pb.EchoRequest) (*pb.EchoResponse, error) {
	return g.answer(ctx, "EchoTwo")
}

func (g *grpcEcho) answer(ctx context.Context, method string) (*pb.EchoResponse, error) {
	fields, ok := metadata.FromIncomingContext(ctx)
	if !ok {
		return nil, errors.New("a call without metadata")
	}
	a := &pb.Assertions{
		FullyQualifiedMethod: "/" + pb.GrpcEcho_ServiceDesc.ServiceName + "/" + method,
		Context:              &pb.Context{Namespace: g.pod.Namespace, Pod: g.pod.Name},
	}
	for name, values := range fields {
		for _, value := range values {
			a.Headers = append(a.Headers, &pb.Header{Key: name, Value: value})
			if name == ":authority" {
				a.Authority = value
			}
		}
	}
	return &pb.EchoResponse{Assertions: a}, nil
}
