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

// The results of a look-up in the cache.
const (
	CacheHit     CacheResult = iota // a stored response
	CacheShared                     // the response of an equal call that was under way
	CacheMiss                       // nothing
	CacheExpired                    // a response that was stored for too long
	CacheRenewed                    // the cache was not asked
	cacheResults
)

func cacheResultNames() [cacheResults]string {
	return [cacheResults]string{CacheHit: "hit", CacheShared: "shared", CacheMiss: "miss", CacheExpired: "expired", CacheRenewed: "renewed"}
}

// stepSeparator occurs in no name of the config.
const stepSeparator = "\x00"

// StepCache returns the meter of a step's cache.
func (m *Metrics) StepCache(composition, step string) (c *StepCache, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.steps.take(composition + stepSeparator + step)
}

func newStepCache(name string) *StepCache {
	composition, step, _ := strings.Cut(name, stepSeparator)
	return &StepCache{composition: composition, step: cmp.Or(step, composition)} // the meter Others has no step
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
