package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

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
		attrs = withAttempts(attrs, x.Attempts)
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

// withAttempts adds who was asked: the last one, or of a composition each by its step.
func withAttempts(attrs []slog.Attr, list []exchange.Attempt) []slog.Attr {
	if len(list) == 0 {
		return attrs
	}
	if list[0].Step == "" {
		return append(attrs, slog.String("endpoint", list[len(list)-1].Endpoint), slog.Int("attempts", len(list)))
	}
	steps := make([]string, 0, min(len(list), mostSteps+1))
	for i, a := range list {
		if i == mostSteps {
			steps = append(steps, fmt.Sprintf("and %d more", len(list)-mostSteps))
			break
		}
		steps = append(steps, stepText(a))
	}
	return append(attrs, slog.String("steps", strings.Join(steps, "; ")))
}

// mostSteps is how many calls of a composition a line tells of.
const mostSteps = 50

// stepText is one call: "orders 200 12.3ms 10.0.0.1:8080", and what was wrong with it.
func stepText(a exchange.Attempt) string {
	text := a.Step
	if a.Status != 0 {
		text += " " + strconv.Itoa(a.Status)
	}
	text += " " + a.Took.Round(10*time.Microsecond).String()
	if a.Endpoint != "" {
		text += " " + a.Endpoint
	}
	if send, ok := errors.AsType[*exchange.SendError](a.Err); ok { // which names the endpoint too
		return fmt.Sprintf("%s: %v (%s)", text, send.Err, send.Sent)
	}
	if a.Err != nil {
		text += ": " + a.Err.Error()
	}
	return text
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
