package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// balance prepares how a service chooses among its endpoints, and what limits that choice.
func (b *build) balance(s *config.Service) (service.Balance, error) {
	by := cmp.Or(s.Balance, config.DefaultBalance())
	made := service.Balance{
		Settings: balance.Settings{Way: balance.Way(by.By), Bound: float64(by.Bound) / 100, SlowStart: by.SlowStart, Sticky: by.Cookie != nil},
		Budget:   config.DefaultBudget(), Breaker: s.Breaker,
	}
	if !by.AnyZone {
		made.Zone, made.Node = cmp.Or(b.cfg.Zone, b.compiler.options.Zone), b.compiler.options.Node
	}
	if s.Retry != nil && s.Retry.Budget != nil {
		made.Budget = s.Retry.Budget
	}
	if s.Breaker != nil {
		made.Most, made.InFlight = int64(s.Breaker.Requests), int64(s.Breaker.PerEndpoint)
	}
	if by.Key != nil {
		p, err := expr.Compile(by.Key.Source, expr.String, expr.Request)
		if err != nil {
			return made, fmt.Errorf("hash: %w", err)
		}
		made.Key = func(r *http.Request) (string, error) { return p.String(&expr.Input{Request: r}) }
	}
	if c := by.Cookie; c != nil {
		made.Cookie = &service.Cookie{Name: cmp.Or(c.Name, cookieName(s)), Attributes: cookieAttributes(c)}
		if c.Secret != nil {
			value, err := c.Secret.Read(b.compiler.options.Secret)
			if err != nil {
				return made, err
			}
			made.Secret = value.Reveal()
		}
	}
	return made, nil
}

// cookieName returns a cookie name that no other service has and that does not reveal the service's name.
func cookieName(s *config.Service) string {
	digest := sha256.Sum256([]byte(inGroup(s.Group, s.Name)))
	return "weir-" + hex.EncodeToString(digest[:4])
}

// cookieAttributes returns what follows a cookie's value (RFC 6265 section 4.1). Scripts need not read the cookie.
func cookieAttributes(c *config.Cookie) string {
	var b strings.Builder
	b.WriteString("; Path=" + c.Path)
	if c.TTL > 0 {
		b.WriteString("; Max-Age=" + strconv.Itoa(int(c.TTL/time.Second)))
	}
	b.WriteString("; HttpOnly")
	if !c.Insecure {
		b.WriteString("; Secure")
	}
	b.WriteString("; SameSite=" + strings.ToUpper(c.SameSite[:1]) + c.SameSite[1:])
	return b.String()
}

// balanceNote says how an endpoint of a service is chosen.
func balanceNote(s *config.Service) string {
	by := cmp.Or(s.Balance, config.DefaultBalance())
	note := "by " + by.By
	if by.Key != nil {
		note += " of " + by.Key.Source
	}
	if by.Cookie != nil {
		note += ", then by the cookie " + cmp.Or(by.Cookie.Name, cookieName(s))
	}
	return note
}
