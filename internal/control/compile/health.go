package compile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/health"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// selection returns the rules by which the endpoints of a service with transport id may be asked.
func (b *build) selection(s *config.Service, id transportIdentity) (service.Selection, error) {
	rules := service.Selection{
		Outlier: *cmp.Or(s.Outlier, config.DefaultOutlier()), Hold: *cmp.Or(s.Hold, config.DefaultHold()), Panic: config.PanicOr(s.Panic),
	}
	if s.Health == nil {
		return rules, nil
	}
	check := &health.Check{Health: *s.Health}
	for _, name := range slices.Sorted(maps.Keys(s.Health.Headers)) {
		value, err := s.Health.Headers[name].Read(b.compiler.options.Secret)
		if err != nil {
			return rules, fmt.Errorf("health.headers.%s: %w", name, err)
		}
		check.Fields = append(check.Fields, exchange.Field{Name: name, Value: value.Reveal()})
	}
	caller, key, err := b.checkCaller(s.Health, id)
	if err != nil {
		return rules, err
	}
	rules.Check, rules.Caller, rules.CallerKey = check, caller, key
	rules.Checkers, err = keep(b, "checks", always, func() (*health.Checkers, func(context.Context), error) {
		checkers := health.NewCheckers(0, b.compiler.options.Metrics.Checks())
		return checkers, func(context.Context) { checkers.Close() }, nil
	})
	return rules, err
}

// checkCaller returns separate connections for health checks. They have the bounds of the connections for requests and,
// unless the config says otherwise, their TLS. For a check of a path on a separate port they use HTTP/1.1.
func (b *build) checkCaller(h *config.Health, id transportIdentity) (caller *transport.Transport, key string, err error) {
	o := id.options
	o.Connect = h.Within
	if h.Plain {
		o.TLS = nil
		if o.Protocol == transport.H2 {
			o.Protocol = transport.H2C
		}
	}
	switch {
	case h.Check == config.CheckGRPC:
		o.Protocol = transport.GRPC
	case h.Port != 0:
		o.Protocol = transport.HTTP
	}
	key = fmt.Sprintf("%s %s plain %t by %s", o.Protocol, o.Connect, h.Plain, id.key)
	caller, err = keep(b, "check transport "+key, always, func() (*transport.Transport, func(context.Context), error) {
		t, err := transport.New(o)
		if err != nil {
			return nil, nil, err
		}
		return t, func(context.Context) { t.CloseIdle() }, nil
	})
	return caller, key, err
}
