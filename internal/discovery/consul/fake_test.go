package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// fake is what of Consul's API the provider uses, as its documentation has it: instances, an index
// that grows with each change, and questions that wait for one.
type fake struct {
	*httptest.Server

	mu       sync.Mutex
	index    uint64
	changed  chan struct{}
	services map[string][]map[string]any
	asked    []string          // path, query and token of each question
	head     map[string]string // fields of each answer, beside the index
	waiting  int
	most     int // that waited at once
	// instead answers where it is set.
	instead http.HandlerFunc
}

func startFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{index: 7, changed: make(chan struct{}), services: map[string][]map[string]any{}, head: map[string]string{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// put registers instances of a service, all of them.
func (f *fake) put(service string, instances ...map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[service] = instances
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) do(change func(f *fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// questions gives what was asked so far.
func (f *fake) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.asked...)
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s %s?%s token=%s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("X-Consul-Token")))
	instead := f.instead
	f.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	index, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
	wait, err := time.ParseDuration(r.FormValue("wait"))
	if err != nil {
		wait = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	f.wait(ctx, index)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, value := range f.head {
		w.Header().Set(name, value)
	}
	if f.head["X-Consul-Index"] == "" {
		w.Header().Set("X-Consul-Index", strconv.FormatUint(f.index, 10))
	}
	list := f.services[r.URL.Path[len("/v1/health/service/"):]]
	if list == nil {
		list = []map[string]any{}
	}
	_ = json.NewEncoder(w).Encode(list)
}

// wait waits for a state that is newer than index.
func (f *fake) wait(ctx context.Context, index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting++
	f.most = max(f.most, f.waiting)
	defer func() { f.waiting-- }()
	for f.index <= index {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
}

// instance is one as Consul writes it, with its checks in these states.
func instance(id, address string, port int, statuses ...string) map[string]any {
	checks := []map[string]any{}
	for i, s := range statuses {
		checks = append(checks, map[string]any{"Node": "n1", "CheckID": fmt.Sprintf("check-%d", i), "Name": "a check", "Status": s, "Output": "", "Definition": map[string]any{}})
	}
	return map[string]any{
		"Node": map[string]any{"ID": "40e4a748", "Node": "n1", "Address": "10.9.9.9", "Datacenter": "dc1", "Meta": map[string]any{"zone": "a"}, "CreateIndex": 5, "ModifyIndex": 6},
		"Service": map[string]any{
			"ID": id, "Service": "users", "Tags": []string{"v1"}, "Address": address, "Port": port, "Meta": nil,
			"Weights": map[string]any{"Passing": 1, "Warning": 1}, "EnableTagOverride": false, "CreateIndex": 10, "ModifyIndex": 11,
		},
		"Checks": checks,
	}
}

// headOf is the head of an answer of that index.
func headOf(index string) exchange.Head {
	return exchange.MapHead(http.Header{"X-Consul-Index": []string{index}})
}
