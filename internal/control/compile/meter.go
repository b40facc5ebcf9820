package compile

import (
	"context"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/service"
)

// meter keeps a meter as a separate part, so that it continues to count from one snapshot to the next, and its series
// end with the last meter of its name.
func meter[M any](b *build, kind, name string, take func(name string) (*M, func())) *M {
	if !b.start {
		return nil
	}
	m, _ := keep(b, meterName(kind, name), always, func() (*M, func(context.Context), error) {
		taken, release := take(name)
		return taken, func(context.Context) { release() }, nil
	})
	return m
}

// meterName is the name of a meter's part.
func meterName(kind, name string) string { return "meter of " + kind + " " + name }

func (b *build) routeMeter(name string) *telemetry.Route {
	return meter(b, "route", name, b.compiler.options.Metrics.Route)
}

func (b *build) backendMeter(name string) *telemetry.Backend {
	return meter(b, "backend", name, b.compiler.options.Metrics.Backend)
}

func (b *build) functionMeter(name string) *telemetry.Function {
	return meter(b, "function", name, b.compiler.options.Metrics.Function)
}

// stepMeter returns the meter of a step with a cache.
func (b *build) stepMeter(composition, step string, notes *recorder) *telemetry.StepCache {
	const kind = "step cache"
	name := composition + " " + step // a step has no space in its name
	defer notes.uses(meterName(kind, name))
	return meter(b, kind, name, func(string) (*telemetry.StepCache, func()) {
		return b.compiler.options.Metrics.StepCache(composition, step)
	})
}

// inGroup returns a name that is unique across groups.
func inGroup(group, name string) string {
	if group == "" {
		return name
	}
	return group + "/" + name
}

// endpointsOf returns a function that reports the state of a service to a scrape.
func endpointsOf(s *runningService) func() telemetry.Endpoints {
	return func() telemetry.Endpoints {
		status := s.service.Status()
		now := telemetry.Endpoints{
			States: map[string]int{string(service.Healthy): 0}, Asked: status.Asked, Panic: status.Asks == service.AsksPanicked,
			Waiting: status.Waiting, Queued: status.Queued, Resting: status.Resting, Heard: s.heard(),
		}
		for _, e := range status.Endpoints {
			now.States[string(e.State)]++
			now.InFlight += e.InFlight
			now.Each = append(now.Each, telemetry.Endpoint{Address: e.Address, Asked: e.Asked, InFlight: e.InFlight})
		}
		return now
	}
}

// instancesOf returns a function that reports the state of a function to a scrape.
func instancesOf(f function.Backend) func() telemetry.Instances {
	return func() telemetry.Instances {
		s := f.Status()
		return telemetry.Instances{
			Idle: max(0, s.Instances-s.Busy-s.Starting-s.Draining), Busy: s.Busy, Starting: s.Starting, Draining: s.Draining,
			Wanted: s.Wanted, Queued: s.Queued, Version: s.Version, Stale: s.Newer != "",
		}
	}
}
