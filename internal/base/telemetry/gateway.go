package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is the state of the config.
type Config struct {
	// Applied counts the configs that came to serve, Partly those of them in which a file was bad, and Refused the
	// configs that did not come to serve.
	Applied, Partly, Refused int64
	LastApplied, LastRefused time.Time
	Bad                      int    // files whose current text does not serve
	Digest                   string // of the config that serves; "" while there is none
	// Elements are the numbers of elements that serve ("routes", "services", ...).
	Elements map[string]int
	// CertificatesEnd is when the first of a listener's certificates expires, by listener.
	CertificatesEnd map[string]time.Time
}

// configs gets the state of the config by calling look.
type configs struct{ look atomic.Pointer[func() Config] }

// WatchConfig calls look for the state of the config at each scrape.
func (m *Metrics) WatchConfig(look func() Config) { m.configs.look.Store(&look) }

type configDescs struct{ reloads, ok, bad, when, info, elements, ends *prometheus.Desc }

func newConfigDescs() configDescs {
	return configDescs{
		reloads:  describe("weir_config_reloads_total", "Configs that were to serve, the first one included, by what became of them.", "result"),
		ok:       describe("weir_config_last_reload_successful", "Whether the latest config serves whole (1) or was refused, or some file of it (0)."),
		bad:      describe("weir_config_bad_files", "Files whose present text does not serve."),
		when:     describe("weir_config_last_reload_success_timestamp_seconds", "When a config was applied last."),
		info:     describe("weir_config_info", "The digest of the config that serves.", "digest"),
		elements: describe("weir_config_elements", "What the config that serves holds, by kind.", "kind"),
		ends:     describe("weir_tls_certificate_not_after_timestamp_seconds", "When the first of the certificates ends that a listener shows to clients.", "listener"),
	}
}

func (c *configs) collect(d *configDescs, out chan<- prometheus.Metric) {
	look := c.look.Load()
	if look == nil {
		return
	}
	now := (*look)()
	out <- counter(d.reloads, uint64(now.Applied-now.Partly), "applied")
	out <- counter(d.reloads, uint64(now.Partly), "partly")
	out <- counter(d.reloads, uint64(now.Refused), "refused")
	successful := 0.0
	if now.Applied > 0 && now.Bad == 0 && !now.LastRefused.After(now.LastApplied) {
		successful = 1
	}
	out <- gauge(d.ok, successful)
	out <- gauge(d.bad, float64(now.Bad))
	if now.Digest == "" {
		return
	}
	out <- when(d.when, now.LastApplied)
	out <- gauge(d.info, 1, now.Digest)
	for kind, n := range now.Elements {
		out <- gauge(d.elements, float64(n), kind)
	}
	for listener, end := range now.CertificatesEnd {
		out <- when(d.ends, end, listener)
	}
}
