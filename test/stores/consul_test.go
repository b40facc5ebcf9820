package stores

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/discovery/consul"
)

// recorder answers as Consul does, with types of the official client, and records what it was asked.
type recorder struct {
	*httptest.Server

	mu      sync.Mutex
	asked   []string
	entries []*api.ServiceEntry
	index   uint64
	changed chan struct{}
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{index: 11, changed: make(chan struct{})}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *recorder) serve(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	r.mu.Lock()
	r.asked = append(r.asked, fmt.Sprintf("%s %s %s token=%q", req.Method, req.URL.EscapedPath(), query.Encode(), req.Header.Get("X-Consul-Token")))
	changed, waits := r.changed, query.Get("index") == fmt.Sprint(r.index)
	r.mu.Unlock()
	if waits {
		select {
		case <-changed:
		case <-req.Context().Done():
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("X-Consul-Index", fmt.Sprint(r.index))
	w.Header().Set("X-Consul-Knownleader", "true")
	w.Header().Set("X-Consul-Lastcontact", "0")
	_ = json.NewEncoder(w).Encode(r.entries)
}

func (r *recorder) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func (r *recorder) become(entries ...*api.ServiceEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.index = entries, r.index+1
	close(r.changed)
	r.changed = make(chan struct{})
}

func entry(id, address string, port int, status string) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node:    &api.Node{Node: "n1", Address: "10.9.9.9", Meta: map[string]string{"zone": "a"}},
		Service: &api.AgentService{ID: id, Service: "users", Address: address, Port: port, Tags: []string{"v2"}, Weights: api.AgentWeights{Passing: 3, Warning: 1}, CreateIndex: 4},
		Checks:  api.HealthChecks{{Node: "n1", CheckID: "serfHealth", Status: api.HealthPassing}, {Node: "n1", CheckID: "service:" + id, ServiceID: id, Status: status}},
	}
}

// The requests are those that Consul's own client sends, and an instance counts as healthy if it does for that
// client.
func TestQuestionsAreThoseOfTheOfficialClient(t *testing.T) {
	entries := []*api.ServiceEntry{
		entry("a", "10.0.0.1", 80, api.HealthPassing), entry("b", "", 81, api.HealthPassing), entry("c", "10.0.0.3", 80, api.HealthCritical),
		entry("d", "10.0.0.4", 80, api.HealthMaint), entry("e", "10.0.0.5", 80, api.HealthWarning),
	}
	theirs := startRecorder(t)
	theirs.become(entries...)
	client, err := api.NewClient(&api.Config{Address: theirs.URL, Token: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	options := &api.QueryOptions{AllowStale: true, Datacenter: "eu"}
	found, meta, err := client.Health().ServiceMultipleTags("users", []string{"v2", "blue"}, false, options)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range found {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		if status := e.Checks.AggregatedStatus(); status == api.HealthPassing || status == api.HealthWarning {
			want = append(want, fmt.Sprintf("%s:%d", address, e.Service.Port))
		}
	}
	options.WaitIndex, options.WaitTime = meta.LastIndex, time.Minute
	next := make(chan error)
	go func() {
		_, _, err := client.Health().ServiceMultipleTags("users", []string{"v2", "blue"}, false, options)
		next <- err
	}()
	await.That(t, "the official client's second question", func() bool { return len(theirs.questions()) == 2 })
	theirs.become()
	if err := await.From(t, "its answer", next); err != nil {
		t.Fatal(err)
	}

	t.Setenv("CONSUL_TOKEN", "s3cret")
	ours := startRecorder(t)
	ours.become(entries...)
	f := find(t, open(t, consul.Definition(), "address: "+ours.URL+"\ntoken: ${env:CONSUL_TOKEN}\n"), "consul", "users?tag=v2&tag=blue&dc=eu")
	slices.Sort(want)
	f.haveReady(t, want...)
	await.That(t, "our second question", func() bool { return len(ours.questions()) == 2 })
	if got, want := ours.questions(), theirs.questions(); !slices.Equal(got, want) {
		t.Errorf("asked\n%s\nthe official client asks\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	ours.become(entry("a", "10.0.0.1", 80, api.HealthCritical), entry("f", "10.0.0.6", 80, api.HealthPassing))
	f.haveReady(t, "10.0.0.6:80")
}
