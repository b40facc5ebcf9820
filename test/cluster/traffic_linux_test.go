package cluster_test

import (
	"flag"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/cluster"
)

// TestANameOfAServiceIsItsPods shows that the name of a Service in a URL stands for its pods if they may be read, and
// is looked up with DNS if not.
func TestANameOfAServiceIsItsPods(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	w.service("shop", "users")
	port := pods(t)
	w.slice("shop", "users-1", port, "10.250.0.1", "10.250.0.2")
	g := w.gateway(cluster.Admin, "routes:", "  ANY /a: http://users.shop.svc", "  ANY /b: http://users.shop.svc.cluster.local:80", "  ANY /c: k8s:shop/users:http", "  ANY /d: http://users.shop.svc:81")
	c := newClient(t, g)
	for _, path := range []string{"/a", "/b", "/c"} {
		c.answered(path, "10.250.0.1", "10.250.0.2")
	}
	if status, _ := c.get("/d"); status != http.StatusServiceUnavailable { // no such port, and no such name in DNS
		t.Errorf("a port that the Service does not have: %d", status)
	}
	w.slice("shop", "users-1", port, "10.250.0.2", "10.250.0.3 draining", "10.250.0.4 notready")
	c.answered("/a", "10.250.0.2")
	w.slice("shop", "users-1", port, "10.250.0.3 draining", "10.250.0.4 notready")
	c.answered("/a", "10.250.0.3")
	w.slice("shop", "users-1", port, "10.250.0.4 notready")
	c.unanswered("/a")
}

// TestWhoIsMeantForTheNodeIsAsked has slices like those of a Service with `trafficDistribution: PreferSameNode`.
func TestWhoIsMeantForTheNodeIsAsked(t *testing.T) {
	t.Setenv("WEIR_NODE", "node-2")
	w := newWorld(t)
	w.namespace("shop")
	w.service("shop", "users")
	port := pods(t)
	g := w.gateway(cluster.Admin, "routes:", "  ANY /: k8s:shop/users:http")
	c := newClient(t, g)
	w.slice("shop", "users-1", port, "10.250.0.1 node-1", "10.250.0.2 node-2")
	c.answered("/", "10.250.0.2")
	w.slice("shop", "users-1", port, "10.250.0.1 node-1", "10.250.0.3") // one endpoint has no hint
	c.answered("/", "10.250.0.1", "10.250.0.3")
	w.slice("shop", "users-1", port, "10.250.0.1 node-1", "10.250.0.3 node-3") // no endpoint is meant for this node
	c.answered("/", "10.250.0.1", "10.250.0.3")
}

// pause is how long each failure lasts; it lasts for some hundred requests at least.
var pause = flag.Duration("pause", 0, "how long the control plane fails in each way, beside some hundred requests") //nolint:gochecknoglobals // that is what flags are

// TestTrafficNeverStops sends requests all the time while the control plane fails in every way.
func TestTrafficNeverStops(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	w.service("shop", "users")
	port := pods(t)
	w.slice("shop", "users-1", port, "10.250.0.1", "10.250.0.2", "10.250.0.3")
	g := w.gateway(cluster.Admin, "routes:", "  ANY /**: k8s:shop/users:http")
	c := newClient(t, g)
	c.answered("/", "10.250.0.1", "10.250.0.2", "10.250.0.3")
	var answered, failed atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for own := newClient(t, g); ; {
			select {
			case <-stop:
				return
			default:
			}
			if status, err := own.try("/"); err != nil || status != http.StatusOK {
				failed.Add(1)
				t.Logf("a request: %d, %v", status, err)
			}
			answered.Add(1)
		}
	}()
	meanwhile := func(name string, do func()) {
		t.Helper()
		do()
		until := time.Now().Add(*pause)
		for after := answered.Load() + 200; (answered.Load() < after || time.Now().Before(until)) && failed.Load() == 0; {
			<-tick()
		}
		t.Logf("%s: %d answered by then, %d failed", name, answered.Load(), failed.Load())
	}
	meanwhile("etcd is paused", w.Etcd.Pause)
	meanwhile("and the API server too", w.Server.Pause)
	meanwhile("both go on", func() {
		w.Server.Resume()
		w.Etcd.Resume()
		w.Ready()
	})
	meanwhile("etcd is killed", w.Etcd.Kill)
	meanwhile("the API server too", w.Server.Kill)
	meanwhile("both come back", func() {
		w.Etcd.Start()
		w.Server.Start()
		w.Ready()
	})
	for i := range 30 {
		w.slice("shop", "users-1", port, fmt.Sprintf("10.250.1.%d", i+1), fmt.Sprintf("10.250.1.%d", i+2), fmt.Sprintf("10.250.1.%d draining", i))
	}
	meanwhile("pods come and go", func() { c.answered("/", "10.250.1.30", "10.250.1.31") })
	close(stop)
	<-stopped
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), answered.Load())
	}
}
