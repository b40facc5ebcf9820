package kubernetes

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// TestFiguresOfTheCatalog prints what is kept of 1,000 Services with 20,000 endpoints, and how long it takes from an
// event to the set that follows from it, with a provider for each of the Services. It judges no time.
func TestFiguresOfTheCatalog(t *testing.T) {
	const services, each, rounds = 1000, 20, 2000
	s := &source{config: &Config{Watch: wholly}, watches: map[string]*watch{}}
	w := newWatch(nil, "", nil)
	w.users = 1 // the test itself, so that it never ends, for it was never begun
	s.watches[""] = w
	slicesOf := func(i, generation int) *discoveryv1.EndpointSlice {
		endpoints := make([]string, each)
		for e := range endpoints {
			endpoints[e] = fmt.Sprintf("10.%d.%d.%d @%08d-0000-0000-0000-%012d zone=eu-1%c node=node-%d", i%250, i/250*2+generation%2, e+1, i, e, 'a'+e%3, e)
		}
		slice := aSlice(fmt.Sprintf("s%d-abcde", i), generation+1, "http:8080", endpoints...)
		slice.Labels[discoveryv1.LabelServiceName] = fmt.Sprintf("s%d", i)
		return slice
	}
	before := heap()
	var of [2][]any
	for i := range services {
		service := aService("http:80>8080")
		service.Name = fmt.Sprintf("s%d", i)
		of[ofServices], of[ofSlices] = append(of[ofServices], service), append(of[ofSlices], slicesOf(i, 0))
	}
	for kind, list := range of {
		if err := (&mirror{watch: w, of: kind, asked: selection{all: true}}).Replace(list, ""); err != nil {
			t.Fatal(err)
		}
		of[kind] = nil
	}
	t.Logf("the catalog of %d Services with %d endpoints: %d KB", services, services*each, (heap()-before)/1024)
	told := make([]chan time.Time, services)
	for i := range services {
		told[i] = make(chan time.Time, 10)
		p, err := s.Provider(discovery.Env{}, config.Service{Source: config.Ref{Scheme: scheme, Rest: fmt.Sprintf("shop/s%d:http", i)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, func([]discovery.Endpoint) { told[i] <- time.Now() }) }()
		t.Cleanup(func() { cancel(); <-done })
		await.From(t, "the first set", told[i])
	}
	t.Logf("with its providers and their sets: %d KB", (heap()-before)/1024)
	var took []time.Duration
	events := &mirror{watch: w, of: ofSlices, asked: selection{all: true}}
	for round := range rounds {
		i := round * 7 % services
		changed := slicesOf(i, 1+round/services)
		began := time.Now()
		if err := events.Update(changed); err != nil {
			t.Fatal(err)
		}
		took = append(took, await.From(t, "a set", told[i]).Sub(began))
	}
	slices.Sort(took)
	t.Logf("from the event to the set: p50 %s, p99 %s, most %s, of %d", took[rounds/2], took[rounds*99/100], took[rounds-1], rounds)
}

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
