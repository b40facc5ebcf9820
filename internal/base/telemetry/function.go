package telemetry

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Function counts events in the life of one function's instances. It is safe for concurrent use; a nil *Function counts
// nothing.
type Function struct {
	name            string
	started, waited histogram
	failed, crashed atomic.Uint64
	cold, warm      atomic.Uint64
	busy            atomic.Int64  // nanoseconds
	memory          atomic.Uint64 // mebibytes times microseconds of busy instances: enough for centuries
	changed         atomic.Uint64 // new versions of the code that serve
	notChanged      atomic.Uint64 // versions that could not be started
	refused         [functionReasons]atomic.Uint64
	watch           watchers[Instances]
}

// Instances is how many instances a function has, how many of them recent requests needed at once, and how many
// requests wait for one.
type Instances struct {
	Idle, Busy, Starting, Draining, Wanted, Queued int

	Version string // of the code that serves, "" while unknown
	Stale   bool   // there is a newer version, which cannot be started
}

// Lent counts a request that was given to an instance; cold means that it is the instance's first one.
func (f *Function) Lent(cold bool) {
	switch {
	case f == nil:
	case cold:
		f.cold.Add(1)
	default:
		f.warm.Add(1)
	}
}

// Waited records how long a request waited for an instance, even if it got none.
func (f *Function) Waited(d time.Duration) {
	if f != nil {
		f.waited.observe(d)
	}
}

// Started counts a cold start and how long it took.
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

// Changed counts a new version of the function's code, by whether it serves or could not be started.
func (f *Function) Changed(serves bool) {
	switch {
	case f == nil:
	case serves:
		f.changed.Add(1)
	default:
		f.notChanged.Add(1)
	}
}

// Watch calls look at each scrape until stop is called.
func (f *Function) Watch(look func() Instances) (stop func()) {
	if f == nil {
		return func() {}
	}
	return f.watch.add(look)
}

// Worked records that an instance with this many bytes of memory was busy for d.
func (f *Function) Worked(d time.Duration, memory int64) {
	if f == nil {
		return
	}
	const mebibyte = 1 << 20
	f.busy.Add(int64(d))
	f.memory.Add(uint64(max(0, d.Microseconds())) * uint64(max(1, memory/mebibyte)))
}

// Refused counts a request that was answered with an error.
func (f *Function) Refused(err error) {
	if f == nil {
		return
	}
	problem, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return // the client had left
	}
	for i, kind := range reasons() {
		if kind.Code == problem.Code {
			f.refused[i].Add(1)
		}
	}
}

const functionReasons = 12

// reasons are the problems of functions. Each has a page in docs/problems.
func reasons() [functionReasons]fault.Kind {
	return [functionReasons]fault.Kind{
		fault.FunctionInit, fault.FunctionBusy, fault.FunctionQueueTime, fault.FunctionError,
		fault.FunctionCrashed, fault.FunctionTimeout, fault.FunctionBadResponse, fault.FunctionTooLarge,
		fault.FunctionThrottled, fault.FunctionUnavailable, fault.FunctionRefused, fault.CredentialsMissing,
	}
}

type functionDescs struct {
	instances, wanted, queued, started, failed, crashed, invocations, waited, busy, memory, refused, changes, newest, info *prometheus.Desc
}

func newFunctionDescs() functionDescs {
	return functionDescs{
		instances:   describe("weir_function_instances", "Instances of a function, by state.", "function", "state"),
		wanted:      describe("weir_function_instances_wanted", "Instances that are kept or made ready, because recent requests needed so many at once.", "function"),
		queued:      describe("weir_function_queue_length", "Requests that wait for an instance.", "function"),
		started:     describe("weir_function_cold_start_duration_seconds", "Time from the start of an instance until it took requests.", "function"),
		failed:      describe("weir_function_start_failures_total", "Instances that could not be started.", "function"),
		crashed:     describe("weir_function_crashes_total", "Instances that ended by themselves.", "function"),
		invocations: describe("weir_function_invocations_total", "Requests that were given to an instance; cold is an instance's first one.", "function", "start"),
		waited:      describe("weir_function_queue_duration_seconds", "Time that requests waited for an instance, of those that had to.", "function"),
		busy:        describe("weir_function_busy_seconds_total", "Time in which instances had at least one request.", "function"),
		memory:      describe("weir_function_gigabyte_seconds_total", "The same, times the configured memory in units of 2^30 bytes.", "function"),
		changes:     describe("weir_function_changes_total", "New versions of the function's code, by whether they serve.", "function", "result"),
		newest:      describe("weir_function_newest_serves", "Whether the newest version of the function's code serves (1).", "function"),
		info:        describe("weir_function_info", "The version of the function's code that serves.", "function", "version"),
		refused:     describe("weir_function_errors_total", "Requests that got a problem for an answer, by its code.", "function", "reason"),
	}
}

func (f *Function) collect(d *functionDescs, out chan<- prometheus.Metric) {
	out <- f.started.metric(d.started, f.name)
	out <- f.waited.metric(d.waited, f.name)
	out <- counter(d.failed, f.failed.Load(), f.name)
	out <- counter(d.crashed, f.crashed.Load(), f.name)
	out <- counter(d.invocations, f.cold.Load(), f.name, "cold")
	out <- counter(d.invocations, f.warm.Load(), f.name, "warm")
	for i, kind := range reasons() {
		out <- counter(d.refused, f.refused[i].Load(), f.name, strings.TrimPrefix(kind.Code, "function-"))
	}
	out <- counter(d.changes, f.changed.Load(), f.name, "taken")
	out <- counter(d.changes, f.notChanged.Load(), f.name, "failed")
	const perGigabyteSecond = 1 << 10 * 1e6 // mebibytes times microseconds
	out <- prometheus.MustNewConstMetric(d.busy, prometheus.CounterValue, time.Duration(f.busy.Load()).Seconds(), f.name)
	out <- prometheus.MustNewConstMetric(d.memory, prometheus.CounterValue, float64(f.memory.Load())/perGigabyteSecond, f.name)
	f.collectInstances(d, out)
}

func (f *Function) collectInstances(d *functionDescs, out chan<- prometheus.Metric) {
	var all Instances
	for _, one := range f.watch.ask() { // a function, and the one before it that still drains
		all.Idle, all.Busy, all.Draining = all.Idle+one.Idle, all.Busy+one.Busy, all.Draining+one.Draining
		all.Starting, all.Queued, all.Wanted = all.Starting+one.Starting, all.Queued+one.Queued, all.Wanted+one.Wanted
		all.Stale, all.Version = all.Stale || one.Stale, one.Version
	}
	out <- gauge(d.instances, float64(all.Idle), f.name, "idle")
	out <- gauge(d.instances, float64(all.Busy), f.name, "busy")
	out <- gauge(d.instances, float64(all.Starting), f.name, "starting")
	out <- gauge(d.instances, float64(all.Draining), f.name, "draining")
	if all.Version != "" {
		out <- gauge(d.info, 1, f.name, all.Version)
	}
	newest := 1.0
	if all.Stale {
		newest = 0
	}
	out <- gauge(d.newest, newest, f.name)
	out <- gauge(d.wanted, float64(all.Wanted), f.name)
	out <- gauge(d.queued, float64(all.Queued), f.name)
}
