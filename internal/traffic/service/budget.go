package service

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// budget bounds the further tries of all requests to a service together: to a share of the requests, plus a few that
// are always allowed. Without it, a backend that cannot keep up would get two or three times as much to do (Beyer et
// al., Site Reliability Engineering, chapter 21).
type budget struct {
	tally balance.Tally // requests, and further tries among them
}

// budgetWindow is how far back a budget looks.
const budgetWindow = 10 * time.Second

// request counts a request.
func (b *budget) request(now int64) { b.tally.Add(now, budgetWindow, 1, 0) }

// allows reports whether one more try may be made, and counts it if so.
func (b *budget) allows(now int64, bound *config.Budget) bool {
	if bound.Share != config.NoBudget {
		requests, tries := b.tally.Sums(now, budgetWindow)
		if most := requests*int64(bound.Share)/100 + int64(bound.Least)*int64(budgetWindow/time.Second); tries >= most {
			return false
		}
	}
	b.tally.Add(now, budgetWindow, 0, 1)
	return true
}

// spends takes one more try out of the budget, and reports whether that is allowed.
func (s *Service) spends() bool {
	now := s.pool.Now()
	if s.budget.allows(now, s.balance.Load().Budget) {
		return true
	}
	s.meter.Spent()
	if seldom(&s.spent, now) {
		s.log.Warn("requests to the service are not tried again: its budget of further tries is spent")
	}
	return false
}

// seldom reports whether at least a minute has passed since it last returned true.
func seldom(last *atomic.Int64, now int64) bool {
	before := last.Load()
	return (before == 0 || now-before >= int64(time.Minute)) && last.CompareAndSwap(before, now)
}
