package filter_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/filter"
)

func TestDecisionsAreLoggedAndCounted(t *testing.T) {
	metrics := telemetry.New("test")
	meter, release := metrics.Route("GET /")
	defer release()
	asked := 0
	why := func() string { asked++; return "no" }
	for _, c := range []struct {
		heard, refused slog.Level
		decision       filter.Decision
		want           string
	}{
		{slog.LevelInfo, slog.LevelInfo, filter.Decision{Rule: "a", Refuses: true, Reason: why}, `level=INFO msg=allow decision=deny rule=a route="GET /" request_id=id reason=no`},
		{slog.LevelInfo, slog.LevelDebug, filter.Decision{Refuses: true, Reason: why}, ""},
		{slog.LevelDebug, slog.LevelDebug, filter.Decision{Refuses: true, Reason: why}, `level=DEBUG msg=allow decision=deny route="GET /" request_id=id reason=no`},
		{slog.LevelInfo, slog.LevelDebug, filter.Decision{Refuses: true, DryRun: true, Reason: why}, `level=INFO msg=allow decision=deny route="GET /" request_id=id dry_run=true reason=no`},
		{slog.LevelInfo, slog.LevelInfo, filter.Decision{Rule: "a"}, ""},
		{slog.LevelDebug, slog.LevelInfo, filter.Decision{Rule: "a", DryRun: true}, `level=DEBUG msg=allow decision=allow rule=a route="GET /" request_id=id dry_run=true`},
	} {
		var log bytes.Buffer
		env := filter.Env{Route: "GET /", Meter: meter, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			Level:       c.heard,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return map[bool]slog.Attr{false: a}[a.Key == slog.TimeKey] },
		}))}
		r := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{ID: "id"})
		env.Decisions("allow", c.refused).Record(r, c.decision)
		if got := strings.TrimSpace(log.String()); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.decision, got, c.want)
		}
	}
	if asked != 3 {
		t.Errorf("a reason was found %d times, and heard three times", asked)
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`weir_guard_refusals_total{dry_run="false",guard="allow",route="GET /"} 3`, `weir_guard_refusals_total{dry_run="true",guard="allow",route="GET /"} 1`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("not scraped: %s", want)
		}
	}
}
