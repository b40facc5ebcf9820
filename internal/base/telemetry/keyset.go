package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// KeySet counts how often an issuer's keys are fetched. It is safe for concurrent use; a nil *KeySet counts nothing.
type KeySet struct {
	issuer          string
	fetched, failed atomic.Uint64
	watch           watchers[Heard]
}

// Fetched counts an attempt to fetch the keys.
func (k *KeySet) Fetched(well bool) {
	switch {
	case k == nil:
	case well:
		k.fetched.Add(1)
	default:
		k.failed.Add(1)
	}
}

// Watch calls look at each scrape until stop is called.
func (k *KeySet) Watch(look func() Heard) (stop func()) {
	if k == nil {
		return func() {}
	}
	return k.watch.add(look)
}

type keySetDescs struct{ fetches, well, keys, fetched, until *prometheus.Desc }

func newKeySetDescs() keySetDescs {
	return keySetDescs{
		fetches: describe("weir_keys_fetches_total", "Attempts to fetch the keys of an issuer, by what came of them.", "issuer", "result"),
		well:    describe("weir_keys_last_fetch_successful", "Whether the latest attempt to fetch the keys of an issuer came to something (1).", "issuer"),
		keys:    describe("weir_keys_known", "Keys that are known of an issuer.", "issuer"),
		fetched: describe("weir_keys_fetched_timestamp_seconds", "When the keys of an issuer were fetched last.", "issuer"),
		until:   describe("weir_keys_until_timestamp_seconds", "When the keys of an issuer count no longer unless they are fetched again.", "issuer"),
	}
}

func (k *KeySet) collect(d *keySetDescs, out chan<- prometheus.Metric) {
	out <- counter(d.fetches, k.fetched.Load(), k.issuer, "fetched")
	out <- counter(d.fetches, k.failed.Load(), k.issuer, "failed")
	looks := k.watch.ask()
	if len(looks) == 0 {
		return
	}
	worst, well := looks[0], 1.0 // of those that ask the same issuer in other ways
	for _, one := range looks {
		if one.Confirmed.Before(worst.Confirmed) {
			worst = one
		}
		if one.Err != nil {
			well = 0
		}
	}
	out <- gauge(d.well, well, k.issuer)
	out <- gauge(d.keys, float64(worst.Count), k.issuer)
	out <- when(d.fetched, worst.Confirmed, k.issuer)
	out <- when(d.until, worst.Until, k.issuer)
}
