package app

import "github.com/weir-gateway/weir/internal/base/telemetry"

// count adds what has one value for the whole process.
func (a *App) count() {
	a.metrics.WatchConfig(a.standing)
	a.metrics.RegisterCounter("weir_access_log_lines_total", "Lines of access logs that were written.",
		func() float64 { return float64(a.lines.Written.Load()) })
	a.metrics.RegisterCounter("weir_access_log_dropped_total", "Lines of access logs that were lost: their output was too slow or failed.",
		func() float64 { return float64(a.lines.Dropped.Load()) })
}

// standing is how things stand with the config.
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
	return now
}
