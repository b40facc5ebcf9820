package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/kubernetes"
	"github.com/weir-gateway/weir/test/cluster"
	"github.com/weir-gateway/weir/test/weirtest"
)

// world is a control plane with the objects of a test.
type world struct {
	*cluster.Control

	t *testing.T
}

func newWorld(t *testing.T, users ...string) *world {
	t.Helper()
	return &world{cluster.Start(t, users...), t}
}

// done ends the test if there was an error. Its first parameter is the object that the API server has made.
func (w *world) done(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) namespace(name string) {
	w.t.Helper()
	w.done(w.Client().CoreV1().Namespaces().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
}

// service makes a Service without a selector, whose port http is 80.
func (w *world) service(namespace, name string) {
	w.t.Helper()
	w.done(nil, w.create(namespace, name))
}

// create is service for callers that expect an error.
func (w *world) create(namespace, name string) error {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}}}
	_, err := w.Client().CoreV1().Services(namespace).Create(context.Background(), s, metav1.CreateOptions{})
	return err
}

// slice writes a slice, whose name begins with that of its Service, as in users-1. Endpoints are addresses, which may
// be followed by words: draining, notready, or the node that they are meant for.
func (w *world) slice(namespace, name string, port int32, endpoints ...string) {
	w.t.Helper()
	w.done(nil, w.write(namespace, name, port, endpoints...))
}

// write is slice for callers that expect an error.
func (w *world) write(namespace, name string, port int32, endpoints ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	return w.writeWithin(ctx, namespace, name, port, endpoints...)
}

func (w *world) writeWithin(ctx context.Context, namespace, name string, port int32, endpoints ...string) error {
	service := name[:strings.LastIndexByte(name, '-')]
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: &port}},
	}
	for _, text := range endpoints {
		address, state, _ := strings.Cut(text, " ")
		ready, serving, terminating := state != "notready" && state != "draining", state != "notready", state == "draining"
		e := discoveryv1.Endpoint{
			Addresses: []string{address}, NodeName: new("node-" + address[len(address)-1:]), Zone: new("zone-" + address[len(address)-1:]),
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		}
		if strings.HasPrefix(state, "node-") {
			e.Hints = &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: state}}, ForZones: []discoveryv1.ForZone{{Name: *e.Zone}}}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	at := w.Client().DiscoveryV1().EndpointSlices(namespace)
	_, err := at.Update(ctx, s, metav1.UpdateOptions{})
	if errors.IsNotFound(err) {
		_, err = at.Create(ctx, s, metav1.CreateOptions{})
	}
	return err
}

func (w *world) noSlice(namespace, name string) {
	w.t.Helper()
	w.done(nil, w.Client().DiscoveryV1().EndpointSlices(namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}))
}

// bind gives a user a role in a namespace.
func (w *world) bind(user, role, namespace string) {
	w.t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	w.done(w.Client().RbacV1().RoleBindings(namespace).Create(w.t.Context(), binding, metav1.CreateOptions{}))
}

// run is a running provider.
type run struct {
	t     *testing.T
	sets  chan string
	looks chan error
}

// runs starts the provider of a reference, as the user.
func (w *world) runs(user, rest string) *run {
	w.t.Helper()
	d := kubernetes.Definition()
	settings, ok := d.Settings().(*kubernetes.Config)
	if !ok {
		w.t.Fatalf("the settings are %T", d.Settings())
	}
	settings.Kubeconfig = w.Kubeconfig(user)
	source, err := d.Open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler)}, settings)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &run{w.t, make(chan string, 1000), make(chan error, 1000)}
	env := discovery.Env{Log: slog.New(slog.DiscardHandler), Looked: func(err error) { r.looks <- err }}
	p, err := source.Provider(env, config.Service{Source: config.Ref{Scheme: "k8s", Rest: rest}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, func(list []discovery.Endpoint) { r.sets <- show(list) }) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		source.Close()
	})
	return r
}

func show(list []discovery.Endpoint) string {
	all := make([]string, 0, len(list))
	for _, e := range list {
		text := e.Address
		if e.Condition != discovery.Ready {
			text += " " + e.Condition.String()
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// becomes waits for a set, which others may precede: Services and slices are reported by separate watches.
func (r *run) becomes(want string) {
	r.t.Helper()
	last := "nothing"
	deadline := time.After(4 * await.Patience) // an API server that comes back is contacted after up to 10 s
	for last != want {
		select {
		case last = <-r.sets:
		case <-deadline:
			r.t.Fatalf("the set is %s, want %s", last, want)
		}
	}
}

// looked waits for a look with that error; "" stands for success.
func (r *run) looked(want string) {
	r.t.Helper()
	var last error
	deadline := time.After(4 * await.Patience)
	for {
		select {
		case last = <-r.looks:
			if last == nil && want == "" || last != nil && want != "" && strings.Contains(last.Error(), want) {
				return
			}
		case <-deadline:
			r.t.Fatalf("no look told of %q; the last was %v", want, last)
		}
	}
}

// pods answer at all addresses of the network, with the address that was called.
func pods(t *testing.T) (port int32) {
	t.Helper()
	l, err := net.Listen("tcp", ":0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _ = io.WriteString(w, at.(*net.TCPAddr).IP.String())
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	_, text, _ := net.SplitHostPort(l.Addr().String())
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

// gateway runs Weir as the user, with further lines of config.
func (w *world) gateway(user string, lines ...string) *weirtest.Gateway {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "weir.yaml")
	text := "listen: :8080\ndiscovery:\n  kubernetes: { kubeconfig: " + w.Kubeconfig(user) + " }\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	g := weirtest.Start(w.t, file)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("weir says:\n%s", g.Log())
		}
	})
	return g
}

// client sends requests to the gateway over one connection.
type client struct {
	t    *testing.T
	http *http.Client
	url  string
}

func newClient(t *testing.T, g *weirtest.Gateway) *client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t, &http.Client{Transport: transport, Timeout: time.Minute}, "http://" + g.Address}
}

// get returns status and body.
func (c *client) get(path string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// answered waits until only those pods answer, and all of them have. A pod whose last answer was late is passed over
// for a while, so that a few requests may all go to the others.
func (c *client) answered(path string, by ...string) {
	c.t.Helper()
	seen := map[string]bool{} // since another pod answered
	await.That(c.t, fmt.Sprint("answers by ", by), func() bool {
		for range 8 * len(by) {
			status, body := c.get(path)
			if status != http.StatusOK || !slices.Contains(by, body) {
				clear(seen)
				return false
			}
			seen[body] = true
		}
		return len(seen) == len(by)
	})
}

// unanswered waits until no pod answers: 503, with a Retry-After.
func (c *client) unanswered(path string) {
	c.t.Helper()
	await.That(c.t, "no pod answers", func() bool {
		status, _ := c.get(path)
		return status == http.StatusServiceUnavailable
	})
}

// try is get for code outside the test's own goroutine.
func (c *client) try(path string) (int, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode, err
}

// tick waits for a moment.
func tick() <-chan time.Time { return time.After(time.Millisecond) }

// soon writes a slice within a moment, or fails.
func (w *world) soon(namespace, name string, port int32, endpoints ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return w.writeWithin(ctx, namespace, name, port, endpoints...)
}
