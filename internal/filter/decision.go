package filter

import (
	"log/slog"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

// Decision is what one rule of a guard decides about one request, for the log.
type Decision struct {
	Rule    string // its name or place, never its source, which may contain a secret
	Refuses bool
	DryRun  bool // the rule is only tried out, so the request passes
	// Reason returns why the rule refuses, without secrets; it is only called if the result is logged. nil if there is
	// nothing to say.
	Reason func() string
}

// Decisions are the log of a guard, and its counter. Each decision is one line: at level debug if the request passes,
// at the guard's own level if it is refused. It is safe for concurrent use.
type Decisions struct {
	log     *slog.Logger
	kind    string
	route   string
	refused slog.Level
	// counters of requests that were refused, and of those that would have been
	refusals, rehearsed *telemetry.Counter
}

// Decisions returns the log of a guard of that kind. Refusals are logged at level refused; refusals that a dry run
// would have made, at info.
func (e Env) Decisions(kind string, refused slog.Level) Decisions {
	count := func(dryRun string) *telemetry.Counter {
		return e.Meter.Counter("weir_guard_refusals_total", "Rules of guards that refused a request, or would have (dry_run), by the guard.", "guard", kind, "dry_run", dryRun)
	}
	return Decisions{log: e.Log, kind: kind, route: e.Route, refused: refused, refusals: count("false"), rehearsed: count("true")}
}

func (d Decisions) level(refuses, dryRun bool) slog.Level {
	switch {
	case refuses && dryRun:
		return slog.LevelInfo
	case refuses:
		return d.refused
	default:
		return slog.LevelDebug
	}
}

// Record logs and counts a decision about r, which belongs to an exchange.
func (d Decisions) Record(r *http.Request, one Decision) {
	switch {
	case one.Refuses && one.DryRun:
		d.rehearsed.Inc()
	case one.Refuses:
		d.refusals.Inc()
	}
	level := d.level(one.Refuses, one.DryRun)
	if !d.log.Enabled(r.Context(), level) {
		return
	}
	decision := "allow"
	if one.Refuses {
		decision = "deny"
	}
	attributes := []slog.Attr{slog.String("decision", decision)}
	if one.Rule != "" {
		attributes = append(attributes, slog.String("rule", one.Rule))
	}
	attributes = append(attributes, slog.String("route", d.route), slog.String("request_id", exchange.Of(r).RequestID()))
	if one.DryRun {
		attributes = append(attributes, slog.Bool("dry_run", true))
	}
	if one.Reason != nil {
		attributes = append(attributes, slog.String("reason", one.Reason()))
	}
	d.log.LogAttrs(r.Context(), level, d.kind, attributes...)
}
