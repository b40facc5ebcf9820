package filter

import (
	"log/slog"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

// Decision is what one rule of a guard decides about one request, for the log.
type Decision struct {
	Rule    string // its name or place, never its source, which may hold a secret
	Refuses bool
	DryRun  bool // it is only tried out, so the request passes
	// Reason tells why it refuses, never with a secret; it is asked where somebody hears it. nil
	// where there is nothing to tell.
	Reason func() string
}

// Decisions are the log of a guard, and its counter: one line a decision, at level debug for what passes, and
// for what is refused at the guard's own. It is safe for concurrent use.
type Decisions struct {
	log     *slog.Logger
	kind    string
	route   string
	refused slog.Level
	// counts are those of what was refused, and of what would have been.
	refusals, rehearsed *telemetry.Counter
}

// Decisions makes the log of a guard of that kind. What it refuses is logged at level
// refused; what it would have refused, in a dry run, at info.
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
	attributes = append(attributes, slog.String("route", d.route), slog.String("request_id", exchange.Of(r).ID))
	if one.DryRun {
		attributes = append(attributes, slog.Bool("dry_run", true))
	}
	if one.Reason != nil {
		attributes = append(attributes, slog.String("reason", one.Reason()))
	}
	d.log.LogAttrs(r.Context(), level, d.kind, attributes...)
}
