package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Registry is the state of the services that have registered themselves.
type Registry struct {
	Services, Live, Suspect, Watchers                              int
	Registered, Deregistered, Expired, Suspected, Refused, Unknown uint64
	Frozen                                                         uint64
	FileFailed                                                     bool // registered instances are kept in memory only, but should be on disk
}

// WatchRegistry calls look at each scrape; ok is false if there is no registry.
func (m *Metrics) WatchRegistry(look func() (r Registry, ok bool)) { m.leases.look.Store(&look) }

type registries struct {
	look atomic.Pointer[func() (Registry, bool)]
}

type registryDescs struct {
	services, instances, watchers, registered, deregistered, expired, suspected, refused, unknown, frozen, failed *prometheus.Desc
}

func newRegistryDescs() registryDescs {
	return registryDescs{
		services:     describe("weir_registry_services", "Services that have a registered instance."),
		instances:    describe("weir_registry_instances", "Registered instances, by the state of their lease.", "state"),
		watchers:     describe("weir_registry_watchers", "Who follows the changes of the registry."),
		registered:   describe("weir_registry_registered_total", "Instances that were new."),
		deregistered: describe("weir_registry_deregistered_total", "Instances that were taken out by somebody."),
		expired:      describe("weir_registry_expired_total", "Instances that were removed because they were silent."),
		suspected:    describe("weir_registry_suspected_total", "Instances that were kept although they were silent, for most of their service was."),
		refused:      describe("weir_registry_refused_total", "Instances and watches that there was no room for."),
		unknown:      describe("weir_registry_unknown_total", "Heartbeats of instances that are not registered."),
		failed:       describe("weir_registry_file_failed", "Whether what is registered is in memory only although there is a state folder: its file cannot be written, or is damaged."),
		frozen:       describe("weir_registry_frozen_total", "Times that this process was away, so that all leases began anew."),
	}
}

func (r *registries) collect(d *registryDescs, out chan<- prometheus.Metric) {
	look := r.look.Load()
	if look == nil {
		return
	}
	now, ok := (*look)()
	if !ok {
		return
	}
	out <- gauge(d.services, float64(now.Services))
	out <- gauge(d.instances, float64(now.Live), "live")
	out <- gauge(d.instances, float64(now.Suspect), "suspect")
	out <- gauge(d.watchers, float64(now.Watchers))
	failed := 0.0
	if now.FileFailed {
		failed = 1
	}
	out <- gauge(d.failed, failed)
	for _, c := range []struct {
		desc  *prometheus.Desc
		value uint64
	}{
		{d.registered, now.Registered}, {d.deregistered, now.Deregistered}, {d.expired, now.Expired}, {d.suspected, now.Suspected},
		{d.refused, now.Refused}, {d.unknown, now.Unknown}, {d.frozen, now.Frozen},
	} {
		out <- counter(c.desc, c.value)
	}
}
