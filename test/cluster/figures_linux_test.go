package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/cluster"
	"github.com/weir-gateway/weir/test/weirtest"
)

// The size of the figures, as issue 7 has it.
const (
	services = 1000
	each     = 20 // endpoints
	rounds   = 200
)

// TestFiguresOfAThousandServices prints what 1,000 Services with 20,000 endpoints take, and how long after its event a
// change is followed by the first request. It judges no time.
func TestFiguresOfAThousandServices(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	port := pods(t)
	routes := []string{"telemetry: { access_log: off }", "routes:"}
	began := time.Now()
	var writers sync.WaitGroup
	turn, failed := make(chan struct{}, 16), make(chan error, services)
	w.Client() // which is made once
	for i := range services {
		routes = append(routes, fmt.Sprintf("  ANY /s%d: k8s:shop/s%d:http", i, i))
		turn <- struct{}{}
		writers.Go(func() {
			failed <- errors.Join(w.create("shop", fmt.Sprintf("s%d", i)), w.write("shop", fmt.Sprintf("s%d-1", i), port, addresses(i, 0)...))
			<-turn
		})
	}
	writers.Wait()
	for range services {
		w.done(nil, <-failed)
	}
	t.Logf("%d Services with %d endpoints were written in %s", services, services*each, time.Since(began).Round(time.Millisecond))
	empty := w.gateway(cluster.Admin, "routes:", "  ANY /: respond:none")
	without := memory(t, empty)
	empty.Stop(t)
	began = time.Now()
	g := w.gateway(cluster.Admin, routes...)
	c := newClient(t, g)
	for _, i := range []int{0, services / 2, services - 1} {
		await.That(t, "the first pods answer", func() bool { _, body := c.get(fmt.Sprintf("/s%d", i)); return slices.Contains(addresses(i, 0), body) })
	}
	t.Logf("the gateway served %s after its start", time.Since(began).Round(time.Millisecond))
	w.figuresOfChanges(c, port)
	before, at := processor(t, g), time.Now()
	<-time.After(5 * time.Second) // in which nothing is to happen
	t.Logf("steady: %.2f %% of a processor; memory %s, without any route %s",
		100*(processor(t, g)-before).Seconds()/time.Since(at).Seconds(), memory(t, g), without)
}

// addresses are the endpoints of a Service, at the start and later.
func addresses(service, generation int) []string {
	list := make([]string, each)
	for i := range list {
		n := (service*2+generation)*each + i
		list[i] = fmt.Sprintf("10.250.%d.%d", n/250%250, n%250+1)
	}
	return list
}

// figuresOfChanges replaces all pods of one Service after the other and measures when the first new one is asked.
func (w *world) figuresOfChanges(c *client, port int32) {
	w.t.Helper()
	events, stop := w.events()
	defer stop()
	var fromWrite, fromEvent []time.Duration
	for round := range rounds {
		i := round * (services / rounds)
		path, next := fmt.Sprintf("/s%d", i), addresses(i, 1)
		c.get(path)
		began := time.Now()
		written := make(chan error, 1)
		go func() { written <- w.write("shop", fmt.Sprintf("s%d-1", i), port, next...) }()
		for {
			if _, body := c.get(path); slices.Contains(next, body) {
				break
			}
			if time.Since(began) > await.Patience {
				w.t.Fatalf("no new pod of %s answers", path)
			}
		}
		first := time.Now()
		fromWrite = append(fromWrite, first.Sub(began))
		fromEvent = append(fromEvent, max(0, first.Sub(await.From(w.t, "the event", events))))
		w.done(nil, <-written)
	}
	w.t.Logf("from the event at another watch to the first answer of a new pod: %s", quantiles(fromEvent))
	w.t.Logf("from the begin of the write to the first answer of a new pod: %s", quantiles(fromWrite))
}

// events gives the moment at which each change of a slice is heard of by a watch beside the gateway's.
func (w *world) events() (<-chan time.Time, func()) {
	w.t.Helper()
	list, err := w.Client().DiscoveryV1().EndpointSlices("shop").List(context.Background(), metav1.ListOptions{Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	watch, err := w.Client().DiscoveryV1().EndpointSlices("shop").Watch(context.Background(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		w.t.Fatal(err)
	}
	heard := make(chan time.Time, 10*rounds)
	go func() {
		for e := range watch.ResultChan() {
			if _, ok := e.Object.(*discoveryv1.EndpointSlice); ok {
				heard <- time.Now()
			}
		}
	}()
	return heard, watch.Stop
}

func quantiles(list []time.Duration) string {
	slices.Sort(list)
	at := func(q float64) time.Duration { return list[int(q*float64(len(list)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, most %s, of %d", at(0.5), at(0.9), at(0.99), at(1), len(list))
}

// memory is what the kernel says of the gateway's.
func memory(t *testing.T, g *weirtest.Gateway) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == "VmRSS" || name == "RssAnon" {
			told = append(told, name+" "+strings.TrimSpace(value))
		}
	}
	return strings.Join(told, ", ")
}

// processor is the time that the gateway has had of one.
func processor(t *testing.T, g *weirtest.Gateway) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // behind the name, which may hold anything
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
