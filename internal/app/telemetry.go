package app

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// count registers the metrics that have one value for the whole process.
func (a *App) count() {
	a.metrics.WatchConfig(a.standing)
	a.metrics.WatchQueue(a.queued)
	a.metrics.WatchRegistry(a.registered)
	for _, c := range []struct {
		name, help string
		count      *atomic.Uint64
	}{
		{"weir_access_log_lines_total", "Lines of access logs that were written.", &a.lines.Written},
		{"weir_access_log_dropped_total", "Lines of access logs that were lost: their output was too slow or failed.", &a.lines.Dropped},
		{"weir_trace_spans_recorded_total", "Spans that were recorded.", &a.spans.Recorded},
		{"weir_trace_spans_sent_total", "Spans that a collector took.", &a.spans.Sent},
		{"weir_trace_spans_lost_total", "Spans that a collector did not take.", &a.spans.Lost},
	} {
		a.metrics.RegisterCounter(c.name, c.help, func() float64 { return float64(c.count.Load()) })
	}
}

// standing returns the state of the config.
func (a *App) standing() telemetry.Config {
	s := a.follower.Status()
	now := telemetry.Config{
		Applied: s.Applied, Partly: s.Partly, Refused: s.Refused, LastApplied: s.LastApplied, LastRefused: s.LastRefused,
		Bad: len(s.Bad), Digest: a.reconciler.Serves().Digest,
	}
	if cfg := a.reconciler.Config(); cfg != nil {
		now.Elements = map[string]int{
			"listeners": len(cfg.Listeners), "routes": len(cfg.Routes), "services": len(cfg.Services), "functions": len(cfg.Functions),
		}
	}
	if current := a.gateway.Current(); current != nil {
		now.CertificatesEnd = certificatesEnd(current)
	}
	return now
}

// queued returns the state of the queue of jobs.
func (a *App) queued() telemetry.Queue {
	lanes, totals := a.options.Queue.Status()
	now := telemetry.Queue{Jobs: totals.Jobs, MostJobs: totals.MostJobs, Bytes: totals.Bytes, MostBytes: totals.MostBytes, File: totals.File, Unreadable: totals.Unreadable}
	for _, l := range lanes {
		one := telemetry.Lane{Kind: l.Kind, Name: l.Lane, Served: l.Served, Paused: l.Paused, Oldest: l.Oldest, States: map[string]int{}, Ended: map[string]uint64{}, Attempts: map[string]uint64{}}
		for _, state := range queue.States() {
			one.States[string(state)] = l.States[state]
			if state.Ended() {
				one.Ended[string(state)] = l.Tally.Ended[state]
			}
		}
		for verdict, n := range l.Tally.Attempts {
			one.Attempts[queue.Verdict(verdict).String()] = n
		}
		now.Lanes = append(now.Lanes, one)
	}
	return now
}

// registered returns the state of the registry.
func (a *App) registered() (telemetry.Registry, bool) {
	s, ok := a.registryStatus()
	return telemetry.Registry{
		Services: s.Services, Live: s.Instances - s.Suspects, Suspect: s.Suspects, Watchers: s.Watchers,
		Registered: s.Tally.Registered, Deregistered: s.Tally.Deregistered, Expired: s.Tally.Expired, Suspected: s.Tally.Suspected,
		Refused: s.Tally.Refused, Unknown: s.Tally.Unknown, Frozen: s.Tally.Frozen,
		FileFailed: s.Trouble != nil,
	}, ok
}

// registryStatus returns the status of this process's registry; ok is false if the config has none.
func (a *App) registryStatus() (s registry.Status, ok bool) {
	if cfg := a.reconciler.Config(); cfg == nil || cfg.Registry == nil {
		return registry.Status{}, false
	}
	return a.options.Registry.Status(), true
}

func certificatesEnd(s *snapshot.Snapshot) map[string]time.Time {
	first := map[string]time.Time{}
	for _, l := range s.Listeners {
		if l.Policy == nil {
			continue
		}
		for _, c := range l.Policy.Certificates() {
			if end, told := first[l.Name]; !told || c.NotAfter.Before(end) {
				first[l.Name] = c.NotAfter
			}
		}
	}
	return first
}
