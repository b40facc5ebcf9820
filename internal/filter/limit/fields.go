package limit

import (
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// The fields of draft-ietf-httpapi-ratelimit-headers-11. Both are lists (RFC 9651), so the backend's own values can
// stay beside ours.
const (
	fieldPolicy = "RateLimit-Policy"
	fieldState  = "RateLimit"
)

// policyOf is a limit's item of RateLimit-Policy: "name";q=50;w=1.
func policyOf(name string, r Rate) string {
	return strconv.Quote(name) + ";q=" + strconv.FormatInt(r.Count, 10) + ";w=" + strconv.FormatInt(int64(r.Window/time.Second), 10)
}

// concurrentPolicyOf is the item of RateLimit-Policy for a limit on requests under way.
func concurrentPolicyOf(name string, most int64) string {
	return strconv.Quote(name) + ";q=" + strconv.FormatInt(most, 10) + `;qu="concurrent-requests"`
}

// appendItem begins a limit's item of a list.
func appendItem(b []byte, name string) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	return strconv.AppendQuote(b, name)
}

// appendState adds a limit's item of RateLimit: "name";r=49;t=1. r is the remaining quota, t the number of seconds it
// has to last: at least until the bucket is full again, and never so few that r in t would be more than the rate
// (section 6 of the draft: clients may go by the ratio of both). For a refused request, t is the time until it could
// pass, which is also its Retry-After.
func appendState(b []byte, name string, t *Take) []byte {
	window := max(t.Full, time.Duration(t.Left*t.Rate.interval()))
	if t.Wait > 0 {
		window = t.Wait
	}
	b = appendItem(b, name)
	b = strconv.AppendInt(append(b, ";r="...), t.Left, 10)
	return strconv.AppendInt(append(b, ";t="...), seconds(window), 10)
}

// appendConcurrent adds the item of a limit on requests under way, which has no time.
func appendConcurrent(b []byte, name string, left int64) []byte {
	return strconv.AppendInt(append(appendItem(b, name), ";r="...), left, 10)
}

// seconds rounds up to whole seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// appendPolicy adds the limit's item of RateLimit-Policy, if clients are told of the limit.
func (l *limit) appendPolicy(b []byte, q *quota) []byte {
	if l.quiet {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	return append(b, q.policy...)
}

// tell queues the fields for the response, whatever it is. If the request is refused, RateLimit contains only the
// limits that refuse it, so that Retry-After is no earlier than the end of any window that is told.
func (p *policy) tell(b *batch, x *exchange.Exchange, refused bool) {
	policies := p.policies
	if p.planned {
		policies = p.plannedPolicies(b)
	}
	for i := range b.asked {
		a := &b.asked[i]
		switch {
		case a.limit.quiet || refused && !a.refuses:
		case a.take < 0:
			b.fields = appendConcurrent(b.fields, a.quota.name, a.left)
		default:
			b.fields = appendState(b.fields, a.quota.name, &b.takes[a.take])
		}
	}
	if policies == "" {
		return
	}
	state := string(b.fields)
	x.OnHead(func(_ int, head exchange.Head) {
		head.Add(fieldPolicy, policies)
		if state != "" {
			head.Add(fieldState, state)
		}
	})
}

// plannedPolicies is RateLimit-Policy for limits with plans, where it depends on the request.
func (p *policy) plannedPolicies(b *batch) string {
	var list []byte
	for _, a := range b.asked {
		list = a.limit.appendPolicy(list, a.quota)
	}
	return string(list)
}
