package telemetry

import (
	"cmp"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// StepCache counts the calls of one step of a composition that has a cache. It is safe for
// concurrent use; a nil *StepCache counts nothing.
type StepCache struct {
	composition, step string
	results           [cacheResults]atomic.Uint64
}

// CacheResult is what a cache had for a call.
type CacheResult int

// What it can have.
const (
	CacheHit     CacheResult = iota // what was kept
	CacheShared                     // what an equal call got that was under way
	CacheMiss                       // nothing
	CacheExpired                    // what was kept for too long
	CacheRenewed                    // nobody wanted to know
	cacheResults
)

func cacheResultNames() [cacheResults]string {
	return [cacheResults]string{CacheHit: "hit", CacheShared: "shared", CacheMiss: "miss", CacheExpired: "expired", CacheRenewed: "renewed"}
}

// stepSeparator stands in no name of the config.
const stepSeparator = "\x00"

// StepCache gives the meter of a step's cache.
func (m *Metrics) StepCache(composition, step string) (c *StepCache, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.steps.take(composition + stepSeparator + step)
}

func newStepCache(name string) *StepCache {
	composition, step, _ := strings.Cut(name, stepSeparator)
	return &StepCache{composition: composition, step: cmp.Or(step, composition)} // the others are not divided
}

// Asked counts a call.
func (c *StepCache) Asked(had CacheResult) {
	if c != nil {
		c.results[had].Add(1)
	}
}

func newStepCacheDesc() *prometheus.Desc {
	return describe("weir_step_cache_requests_total", "Calls of a step of a composition that has a cache, by what that had for them.", "composition", "step", "result")
}

func (c *StepCache) collect(d *prometheus.Desc, out chan<- prometheus.Metric) {
	for i, name := range cacheResultNames() {
		out <- counter(d, c.results[i].Load(), c.composition, c.step, name)
	}
}
