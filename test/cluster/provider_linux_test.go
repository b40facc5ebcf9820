package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/weir-gateway/weir/test/cluster"
	"github.com/weir-gateway/weir/test/weirtest"
)

const weir = "weir"

func TestSlicesOfAnAPIServer(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	r := w.runs(cluster.Admin, "shop/users:http")
	r.looked("no Service users in the namespace shop")
	w.service("shop", "users")
	r.looked("")
	w.slice("shop", "users-1", 8080, "10.1.0.1", "10.1.0.2")
	r.becomes("10.1.0.1:8080, 10.1.0.2:8080")
	w.slice("shop", "users-2", 9000, "10.1.0.3")
	r.becomes("10.1.0.1:8080, 10.1.0.2:8080, 10.1.0.3:9000")
	w.slice("shop", "users-1", 8080, "10.1.0.1 draining", "10.1.0.2 notready")
	r.becomes("10.1.0.1:8080 draining, 10.1.0.2:8080 not ready, 10.1.0.3:9000")
	w.slice("shop", "users-2", 9000, "10.1.0.3", "10.1.0.2") // one endpoint moves between slices
	r.becomes("10.1.0.1:8080 draining, 10.1.0.2:9000, 10.1.0.3:9000")
	w.slice("shop", "users-1", 8080, "10.1.0.1 draining")
	w.noSlice("shop", "users-2")
	r.becomes("10.1.0.1:8080 draining")
	w.done(nil, w.Client().CoreV1().Services("shop").Delete(t.Context(), "users", metav1.DeleteOptions{}))
	r.becomes("")
	r.looked("no Service users in the namespace shop")
}

// TestSetsOutliveTheirServer lets everything fail, one thing after the other, that knowledge of endpoints depends on.
func TestSetsOutliveTheirServer(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	w.service("shop", "users")
	w.slice("shop", "users-1", 8080, "10.1.0.1")
	r := w.runs(cluster.Admin, "shop/users:http")
	r.becomes("10.1.0.1:8080")
	n := 1
	converges := func() {
		t.Helper()
		n++
		w.slice("shop", "users-1", 8080, fmt.Sprintf("10.1.0.%d", n))
		r.becomes(fmt.Sprintf("10.1.0.%d:8080", n))
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"the API server is restarted", func() {
			w.Server.End()
			w.Server.Start()
			w.Ready()
		}},
		{"the API server is killed, and away until that was seen", func() {
			w.Server.Kill()
			r.looked("of the namespace shop")
			w.Server.Start()
			w.Ready()
			r.looked("")
		}},
		{"etcd forgets what a watch stood on, while it is away", func() {
			for i := range 20 {
				w.slice("shop", "orders-1", 8080, fmt.Sprintf("10.2.0.%d", i+1))
			}
			w.Server.Kill()
			w.Compact()
			w.Server.Start()
			w.Ready()
		}},
		{"etcd is killed", func() {
			w.Etcd.Kill()
			w.Etcd.Start()
			w.Ready()
		}},
		{"etcd is paused", func() {
			w.Etcd.Pause()
			if err := w.soon("shop", "users-1", 8080, "10.1.0.99"); err == nil {
				t.Error("a paused etcd has taken something")
			}
			w.Etcd.Resume()
			w.Ready()
		}},
		{"all of it is killed", func() {
			w.Server.Kill()
			w.Etcd.Kill()
			w.Etcd.Start()
			w.Server.Start()
			w.Ready()
		}},
	} {
		t.Logf("%s", step.name)
		step.do()
		converges()
	}
}

// TestTheRoleOfTheManifestIsEnough has Weir use the service account of deploy/kubernetes.
func TestTheRoleOfTheManifestIsEnough(t *testing.T) {
	w := newWorld(t, weir)
	w.namespace("shop")
	w.service("shop", "users")
	w.slice("shop", "users-1", 8080, "10.1.0.1")
	r := w.runs(weir, "shop/users:http")
	r.looked("needs a Role with `list` and `watch` of services and endpointslices")
	if len(r.sets) > 0 {
		t.Errorf("what may not be seen is %s", <-r.sets)
	}
	w.done(w.Client().RbacV1().ClusterRoles().Create(t.Context(), roleOfTheManifest(t), metav1.CreateOptions{}))
	w.bind(weir, "weir-endpoints", "shop")
	r.becomes("10.1.0.1:8080")
	r.looked("")
}

func roleOfTheManifest(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(weirtest.Root(), "deploy", "kubernetes", "weir.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		role := &rbacv1.ClusterRole{}
		if err := yaml.Unmarshal([]byte(part), role); err == nil && role.Kind == "ClusterRole" {
			return role
		}
	}
	t.Fatal("the manifest has no role")
	return nil
}
