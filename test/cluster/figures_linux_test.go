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

// The sizes for the figures, as in issue 7.
const (
	services = 1000
	each     = 20 // endpoints
	rounds   = 200
)

// TestFiguresOfAThousandServices prints what 1,000 Services with 20,000 endpoints cost. It also prints how soon
// requests follow a change after its event, as the gateway measures it, and how soon the first new endpoint answers,
// as a client measures it. The latter includes the time of the test, an API server and etcd on the same processors.
// The test judges no time.
func TestFiguresOfAThousandServices(t *testing.T) {
	w := newWorld(t)
	w.namespace("shop")
	port := pods(t)
	routes := []string{"telemetry: { access_log: off }", "routes:"}
	began := time.Now()
	var writers sync.WaitGroup
	turn, failed := make(chan struct{}, 16), make(chan error, services)
	w.Client() // made only once
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
	admin := newClient(t, g)
	admin.url = "http://" + g.Admin
	w.figuresOfChanges(admin, c, port)
	w.figuresOfUnrest(admin, port)
	before, at := processor(t, g), time.Now()
	<-time.After(5 * time.Second) // nothing should happen meanwhile
	t.Logf("steady: %.2f %% of a processor; memory %s, without any route %s",
		100*(processor(t, g)-before).Seconds()/time.Since(at).Seconds(), memory(t, g), without)
}

// addresses returns the endpoints of a Service, at the start and later.
func addresses(service, generation int) []string {
	list := make([]string, each)
	for i := range list {
		n := (service*2+generation)*each + i
		list[i] = fmt.Sprintf("10.250.%d.%d", n/250%250, n%250+1)
	}
	return list
}

// figuresOfChanges replaces all pods of one Service after the other and measures when the first new pod gets a
// request.
func (w *world) figuresOfChanges(admin, c *client, port int32) {
	w.t.Helper()
	before := changesOf(w.t, admin)
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
	w.t.Logf("from the event at the gateway until requests go by it: %s", changesOf(w.t, admin).since(before))
	w.t.Logf("from the event at another watch to the first answer of a new pod: %s", quantiles(fromEvent))
	w.t.Logf("from the begin of the write to the first answer of a new pod: %s", quantiles(fromWrite))
}

// unrest is how many programs replace pods at once, and for how long.
const (
	unrest     = 4
	unrestTime = 10 * time.Second
)

// figuresOfUnrest replaces the pods of all Services, as fast as the API server accepts it.
func (w *world) figuresOfUnrest(admin *client, port int32) {
	w.t.Helper()
	before, end := changesOf(w.t, admin), time.Now().Add(unrestTime)
	var writers sync.WaitGroup
	failed := make(chan error, unrest)
	for n := range unrest {
		writers.Go(func() {
			for round := 0; time.Now().Before(end); round++ {
				i := (n + round*unrest) % services
				if err := w.write("shop", fmt.Sprintf("s%d-1", i), port, addresses(i, 1-round/(services/unrest)%2)...); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	writers.Wait()
	select {
	case err := <-failed:
		w.t.Fatal(err)
	default:
	}
	w.t.Logf("the same while %d programs replace pods for %s: %s", unrest, unrestTime, changesOf(w.t, admin).since(before))
}

// changes is the gateway's own measure of how soon requests follow what its watch reports.
type changes struct {
	within map[string]int64 // by upper bound in seconds; each includes all shorter ones
	count  int64
	sum    float64
}

// changesOf reads the measure from the gateway.
func changesOf(t *testing.T, admin *client) changes {
	t.Helper()
	const name = "weir_discovery_change_duration_seconds"
	_, scrape := admin.get("/metrics")
	c := changes{within: map[string]int64{}}
	for line := range strings.Lines(scrape) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseFloat(value, 64)
		switch bound, isBucket := strings.CutPrefix(series, name+`_bucket{le="`); {
		case err != nil:
		case isBucket:
			c.within[strings.TrimSuffix(bound, `"}`)] = int64(n)
		case series == name+"_count":
			c.count = int64(n)
		case series == name+"_sum":
			c.sum = n
		}
	}
	return c
}

// since describes what was measured after before.
func (c changes) since(before changes) string {
	n := c.count - before.count
	if n == 0 {
		return "nothing was measured"
	}
	mean := time.Duration((c.sum - before.sum) / float64(n) * float64(time.Second))
	text := fmt.Sprintf("mean %s of %d", mean.Round(time.Microsecond), n)
	for _, bound := range []string{"0.001", "0.0025", "0.005", "0.01", "0.025"} {
		text += fmt.Sprintf(", %.2f %% within %s s", 100*float64(c.within[bound]-before.within[bound])/float64(n), bound)
	}
	return text
}

// events returns a channel of the times at which a watch of the test's own hears of each change of a slice.
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

// memory returns what the kernel reports about the gateway's memory.
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

// processor returns the processor time that the gateway has used.
func processor(t *testing.T, g *weirtest.Gateway) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // after the name, which may contain anything
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
