package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Function counts the life of one function's instances. It is safe for concurrent
// use; a nil *Function counts nothing.
type Function struct {
	name            string
	started         histogram
	failed, crashed atomic.Uint64
	watch           watchers[Instances]
}

// Instances is how many instances a function has, and how many requests wait for one.
type Instances struct{ Idle, Busy, Starting, Queued int }

// Started counts a cold start that took so long.
func (f *Function) Started(took time.Duration) {
	if f != nil {
		f.started.observe(took)
	}
}

// Failed counts an instance that could not be started.
func (f *Function) Failed() {
	if f != nil {
		f.failed.Add(1)
	}
}

// Crashed counts an instance that ended by itself.
func (f *Function) Crashed() {
	if f != nil {
		f.crashed.Add(1)
	}
}

// Watch has look asked at each scrape until stop is called.
func (f *Function) Watch(look func() Instances) (stop func()) {
	if f == nil {
		return func() {}
	}
	return f.watch.add(look)
}

type functionDescs struct{ instances, queued, started, failed, crashed *prometheus.Desc }

func newFunctionDescs() functionDescs {
	return functionDescs{
		instances: describe("weir_function_instances", "Instances of a function, by state.", "function", "state"),
		queued:    describe("weir_function_queue_length", "Requests that wait for an instance.", "function"),
		started:   describe("weir_function_cold_start_duration_seconds", "Time from the start of an instance until it took requests.", "function"),
		failed:    describe("weir_function_start_failures_total", "Instances that could not be started.", "function"),
		crashed:   describe("weir_function_crashes_total", "Instances that ended by themselves.", "function"),
	}
}

func (f *Function) collect(d *functionDescs, out chan<- prometheus.Metric) {
	out <- f.started.metric(d.started, f.name)
	out <- counter(d.failed, f.failed.Load(), f.name)
	out <- counter(d.crashed, f.crashed.Load(), f.name)
	var all Instances
	for _, one := range f.watch.ask() { // a function and its successor, beside which it drains
		all.Idle, all.Busy = all.Idle+one.Idle, all.Busy+one.Busy
		all.Starting, all.Queued = all.Starting+one.Starting, all.Queued+one.Queued
	}
	out <- gauge(d.instances, float64(all.Idle), f.name, "idle")
	out <- gauge(d.instances, float64(all.Busy), f.name, "busy")
	out <- gauge(d.instances, float64(all.Starting), f.name, "starting")
	out <- gauge(d.queued, float64(all.Queued), f.name)
}
