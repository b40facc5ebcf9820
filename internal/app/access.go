package app

import (
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// accessLog writes one line for each request that was answered.
func accessLog(log *slog.Logger) func(*http.Request, *exchange.Exchange, exchange.Outcome) {
	return func(r *http.Request, x *exchange.Exchange, o exchange.Outcome) {
		ctx := r.Context()
		level := slog.LevelInfo
		if o.Status >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		if !log.Enabled(ctx, level) {
			return
		}
		attrs := []slog.Attr{
			slog.String("method", r.Method), slog.String("host", x.Host), slog.String("path", x.Path),
			slog.Int("status", o.Status), slog.Duration("took", o.Took), slog.Int64("bytes", o.Written),
			slog.String("client", address(x.Client.IP)), slog.String("request_id", x.ID),
		}
		if x.Route != "" {
			attrs = append(attrs, slog.String("route", x.Route), slog.String("backend", x.Backend))
		}
		if n := len(x.Attempts); n > 0 {
			attrs = append(attrs, slog.String("endpoint", x.Attempts[n-1].Endpoint), slog.Int("attempts", n))
		}
		if x.Fault != nil {
			attrs = append(attrs, slog.String("problem", x.Fault.Code))
			attrs = withText(attrs, "detail", x.Fault.Detail)
			attrs = withText(attrs, "cause", x.Fault.Operator())
		} else if o.Err != nil {
			attrs = append(attrs, slog.String("cause", o.Err.Error()))
		}
		log.LogAttrs(ctx, level, "request", attrs...)
	}
}

// withText adds what there is to say.
func withText(attrs []slog.Attr, key, text string) []slog.Attr {
	if text == "" {
		return attrs
	}
	return append(attrs, slog.String(key, text))
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return "local"
	}
	return ip.String()
}
