package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/cluster"
	"github.com/weir-gateway/weir/test/weirtest"
)

var withPods = flag.Bool("pods", false, "run a whole cluster, with pods: needs root, containerd, runc, plugins of CNI and nftables") //nolint:gochecknoglobals // that is what flags are

// town is a cluster in which Weir runs as a Deployment from the manifest, in front of another Deployment.
type town struct {
	*cluster.Node

	t       *testing.T
	address string // of Weir's Service
}

// paths returns where the API server keeps the kinds of the manifest.
func paths() map[string]string {
	return map[string]string{
		"Namespace": "/api/v1/namespaces", "ServiceAccount": "/api/v1/namespaces/weir/serviceaccounts", "ConfigMap": "/api/v1/namespaces/weir/configmaps",
		"Service": "/api/v1/namespaces/weir/services", "Deployment": "/apis/apps/v1/namespaces/weir/deployments",
		"ClusterRole":         "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"RoleBinding":         "/apis/rbac.authorization.k8s.io/v1/namespaces/weir/rolebindings",
		"PodDisruptionBudget": "/apis/policy/v1/namespaces/weir/poddisruptionbudgets",
		"NetworkPolicy":       "/apis/networking.k8s.io/v1/namespaces/weir/networkpolicies",
	}
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{cluster.StartNode(t), t, ""}
	folder := t.TempDir()
	pod, weir := filepath.Join(folder, "pod"), filepath.Join(folder, "weir")
	w.build(cluster.Folder(), pod, "./pod")
	w.build(weirtest.Root(), weir, "./cmd/weir")
	w.Load("weir.test/pause:1", pod, "pause")
	w.Load("weir.test/users:1", pod)
	w.Load("registry.example/weir:v1.0.0", weir)
	w.apply("/api/v1/namespaces", &corev1.Namespace{TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	w.users()
	w.manifest()
	w.apply("/api/v1/namespaces/weir/secrets", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "weir-admin"}, StringData: map[string]string{"token": "secret"}})
	w.apply("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings", &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "weir"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "weir-endpoints"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "weir", Namespace: "weir"}},
	})
	w.available("shop", "users", 3)
	w.available("weir", "weir", 2)
	s, err := w.Client().CoreV1().Services("weir").Get(t.Context(), "weir", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.address = s.Spec.ClusterIP + ":80"
	for deadline := time.Now().Add(2 * await.Patience); ; <-time.After(20 * time.Millisecond) { // kube-proxy takes its time
		for _, path := range []string{"/users", "/named"} {
			if err = w.answers(path); err != nil {
				break
			}
		}
		if err == nil {
			return w
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// answers reports whether Weir answers through its Service.
func (w *town) answers(path string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), await.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return nil
}

func (w *town) build(folder, out, what string) {
	w.t.Helper()
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, what) //nolint:noctx // it ends
	c.Dir, c.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, text)
	}
}

// apply creates an object.
func (w *town) apply(path string, object any) {
	w.t.Helper()
	text, ok := object.([]byte)
	if !ok {
		var err error
		if text, err = yaml.Marshal(object); err != nil {
			w.t.Fatal(err)
		}
	}
	body, err := yaml.YAMLToJSON(text)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Client().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(w.t.Context()).Error(); err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
}

// manifest applies deploy/kubernetes unchanged, except for the routes.
func (w *town) manifest() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(weirtest.Root(), "deploy", "kubernetes", "weir.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	const route = "      GET /hello: respond:Hello\n"
	if !strings.Contains(string(text), route) {
		w.t.Fatal("the manifest has other routes than this test knows")
	}
	own := strings.Replace(string(text), route, "      ANY /users: k8s:shop/users:http\n      ANY /named: http://users.shop.svc\n", 1)
	for part := range strings.SplitSeq(own, "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(part), &head); err != nil {
			w.t.Fatal(err)
		}
		w.apply(paths()[head.Kind], []byte(part))
	}
}

// users makes the backend: three pods that go on for a while when they are told to end.
func (w *town) users() {
	w.t.Helper()
	w.apply("/apis/apps/v1/namespaces/shop/deployments", []byte(`
metadata: { name: users }
spec:
  replicas: 3
  selector: { matchLabels: { app: users } }
  strategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 2 } }
  template:
    metadata: { labels: { app: users } }
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 20
      containers:
        - name: users
          image: weir.test/users:1
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
`))
	w.apply("/api/v1/namespaces/shop/services", []byte(`
metadata: { name: users }
spec:
  selector: { app: users }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
`))
}

// available waits until a Deployment has rolled out, and has that many ready pods.
func (w *town) available(namespace, name string, pods int32) {
	w.t.Helper()
	var d *appsv1.Deployment
	for deadline := time.Now().Add(8 * await.Patience); ; <-time.After(100 * time.Millisecond) {
		var err error
		if d, err = w.Client().AppsV1().Deployments(namespace).Get(w.t.Context(), name, metav1.GetOptions{}); err != nil {
			w.t.Fatal(err)
		}
		if s := d.Status; s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == pods && s.AvailableReplicas == pods && s.Replicas == pods {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s is not rolled out: %+v", name, d.Status)
		}
	}
}

// settled waits until a Deployment has rolled out and none of its pods is ending.
func (w *town) settled(namespace, name string, pods int32) {
	w.t.Helper()
	w.available(namespace, name, pods)
	await.That(w.t, "no pod is ending", func() bool {
		list, err := w.Client().CoreV1().Pods(namespace).List(w.t.Context(), metav1.ListOptions{})
		return err == nil && len(list.Items) == int(pods)
	})
	w.available(namespace, name, pods)
}

// patch changes a Deployment.
func (w *town) patch(namespace, name, change string) {
	w.t.Helper()
	if _, err := w.Client().AppsV1().Deployments(namespace).Patch(w.t.Context(), name, types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// roll replaces all pods of a Deployment.
func (w *town) roll(namespace, name string, pods int32) {
	w.t.Helper()
	w.patch(namespace, name, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"rolled":"%d"}}}}}`, time.Now().UnixNano()))
	w.settled(namespace, name, pods)
}

func (w *town) scale(pods int32) {
	w.t.Helper()
	w.patch("shop", "users", fmt.Sprintf(`{"spec":{"replicas":%d}}`, pods))
	w.settled("shop", "users", pods)
}

// kill kills a pod at once, whatever it is doing.
func (w *town) kill() {
	w.t.Helper()
	pods, err := w.Client().CoreV1().Pods("shop").List(w.t.Context(), metav1.ListOptions{LabelSelector: "app=users"})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Client().CoreV1().Pods("shop").Delete(w.t.Context(), pods.Items[0].Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		w.t.Fatal(err)
	}
	w.settled("shop", "users", 3)
}

// load sends requests without a pause, from several clients.
type load struct {
	t        *testing.T
	answered atomic.Int64
	failed   map[string]*atomic.Int64 // by the method
	stop     chan struct{}
	clients  sync.WaitGroup
}

func (w *town) load() *load {
	l := &load{t: w.t, failed: map[string]*atomic.Int64{http.MethodGet: {}, http.MethodPost: {}}, stop: make(chan struct{})}
	for i := range 6 {
		method, path := http.MethodGet, "/users"
		if i%3 == 2 {
			method = http.MethodPost
		}
		if i%2 == 1 {
			path = "/named"
		}
		l.clients.Go(func() { l.send(method, "http://"+w.address+path) })
	}
	return l
}

func (l *load) send(method, url string) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(2 * time.Millisecond): // because the machine has other things to do
		}
		req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader("hello"))
		if err != nil {
			l.t.Error(err)
			return
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		if l.answered.Add(1); err != nil || res.StatusCode != http.StatusOK {
			l.failed[method].Add(1)
			l.t.Logf("%s %s: %v %v", method, url, res, err)
		}
	}
}

// TestPodsComeAndGo has Weir in front of pods that are rolled, scaled and killed while requests are sent.
func TestPodsComeAndGo(t *testing.T) {
	if !*withPods {
		t.Skip("a whole cluster is run by `make cluster`")
	}
	began := time.Now()
	w := newTown(t)
	t.Logf("the cluster, Weir and its backend are there after %s", time.Since(began).Round(time.Millisecond))
	l := w.load()
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"nothing happens", func() { <-time.After(time.Second) }},
		{"users is rolled", func() { w.roll("shop", "users", 3) }},
		{"users is scaled up", func() { w.scale(8) }},
		{"users is scaled down", func() { w.scale(3) }},
		{"a pod is killed", w.kill},
		{"and another one", w.kill},
		{"users is rolled again", func() { w.roll("shop", "users", 3) }},
	} {
		before, at := l.answered.Load(), time.Now()
		step.do()
		t.Logf("%s (%s): %d requests, %d of GET and %d of POST have failed so far", step.name, time.Since(at).Round(10*time.Millisecond),
			l.answered.Load()-before, l.failed[http.MethodGet].Load(), l.failed[http.MethodPost].Load())
	}
	close(l.stop)
	l.clients.Wait()
	if n := l.failed[http.MethodGet].Load(); n > 0 {
		t.Errorf("%d requests failed that may be repeated", n)
	}
	t.Logf("%d requests; of POST %d failed, which may only where a pod was killed that had it", l.answered.Load(), l.failed[http.MethodPost].Load())
}
