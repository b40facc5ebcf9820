package telemetry

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Queue is the state of the jobs, which are sent later.
type Queue struct {
	Lanes            []Lane
	Jobs, MostJobs   int
	Bytes, MostBytes int64
	File             int64 // bytes of the file on disk
	Unreadable       int   // records that cannot be read
}

// Lane is the state of one sender's jobs.
type Lane struct {
	Kind, Name string
	Served     bool
	States     map[string]int
	Oldest     time.Time         // when the oldest unfinished job was accepted; zero: there is none
	Paused     time.Time         // nothing is tried before this time
	Attempts   map[string]uint64 // by outcome
	Ended      map[string]uint64 // by state
}

// WatchQueue calls look at each scrape.
func (m *Metrics) WatchQueue(look func() Queue) { m.queue.look.Store(&look) }

type queues struct{ look atomic.Pointer[func() Queue] }

type queueDescs struct {
	jobs, oldest, paused, unserved, attempts, ended *prometheus.Desc
	all, most, bytes, mostBytes, file, unreadable   *prometheus.Desc
}

func newQueueDescs() queueDescs {
	return queueDescs{
		jobs:       describe("weir_jobs", "Jobs of a lane, by state.", "kind", "lane", "state"),
		oldest:     describe("weir_jobs_oldest_age_seconds", "Age of the oldest job of a lane that waits or is under way; 0 where there is none.", "kind", "lane"),
		paused:     describe("weir_jobs_paused", "1 while a lane waits because its backend had no time.", "kind", "lane"),
		unserved:   describe("weir_jobs_unserved", "1 where nobody sends the jobs of a lane: its route is gone.", "kind", "lane"),
		attempts:   describe("weir_job_attempts_total", "Attempts of a lane's jobs, by what became of them.", "kind", "lane", "outcome"),
		ended:      describe("weir_jobs_ended_total", "Jobs of a lane that have ended, by state.", "kind", "lane", "state"),
		all:        describe("weir_queue_jobs", "Jobs that are kept, ended ones included."),
		most:       describe("weir_queue_jobs_limit", "How many may be kept."),
		bytes:      describe("weir_queue_bytes", "Bytes of what is kept."),
		mostBytes:  describe("weir_queue_bytes_limit", "How many may be kept."),
		file:       describe("weir_queue_file_bytes", "Bytes of the queue's file, which does not shrink."),
		unreadable: describe("weir_queue_unreadable", "Records of the queue that could not be read at the start."),
	}
}

func (q *queues) collect(d *queueDescs, out chan<- prometheus.Metric) {
	look := q.look.Load()
	if look == nil {
		return
	}
	now := (*look)()
	if now.MostJobs == 0 { // there is no queue
		return
	}
	for _, g := range []struct {
		desc  *prometheus.Desc
		value int64
	}{
		{d.all, int64(now.Jobs)}, {d.most, int64(now.MostJobs)}, {d.bytes, now.Bytes}, {d.mostBytes, now.MostBytes},
		{d.file, now.File}, {d.unreadable, int64(now.Unreadable)},
	} {
		out <- gauge(g.desc, float64(g.value))
	}
	for i := range now.Lanes {
		now.Lanes[i].collect(d, out)
	}
}

func (l *Lane) collect(d *queueDescs, out chan<- prometheus.Metric) {
	for _, state := range slices.Sorted(maps.Keys(l.States)) {
		out <- gauge(d.jobs, float64(l.States[state]), l.Kind, l.Name, state)
	}
	age := 0.0
	if !l.Oldest.IsZero() {
		age = max(0, time.Since(l.Oldest).Seconds())
	}
	out <- gauge(d.oldest, age, l.Kind, l.Name)
	out <- gauge(d.paused, truth(time.Now().Before(l.Paused)), l.Kind, l.Name)
	out <- gauge(d.unserved, truth(!l.Served), l.Kind, l.Name)
	for _, outcome := range slices.Sorted(maps.Keys(l.Attempts)) {
		out <- counter(d.attempts, l.Attempts[outcome], l.Kind, l.Name, outcome)
	}
	for _, state := range slices.Sorted(maps.Keys(l.Ended)) {
		out <- counter(d.ended, l.Ended[state], l.Kind, l.Name, state)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
