package limit

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter"
)

// batch is what one request asks of all limits. It is pooled.
type batch struct {
	asked  []asked // in the order of the limits
	takes  []Take
	keys   []byte
	fields []byte
}

// asked is one limit that is asked for room.
type asked struct {
	limit   *limit
	quota   *quota
	take    int   // of a rate: its index in the batch
	left    int64 // of requests at once: how many more may come
	refuses bool
}

//nolint:gochecknoglobals // a pool is no state
var batches = sync.Pool{New: func() any { return new(batch) }}

// mostKept is the largest key buffer, in bytes, that a batch keeps.
const mostKept = 4 << 10

// end returns the batch to the pool.
func (b *batch) end() {
	clear(b.asked) // so that what they point to can be collected
	clear(b.takes)
	if cap(b.keys) > mostKept {
		return // one key of an unusual size is no reason to keep such a buffer
	}
	b.asked, b.takes, b.keys, b.fields = b.asked[:0], b.takes[:0], b.keys[:0], b.fields[:0]
	batches.Put(b)
}

// guard lets a request pass if every limit has room for it.
func (p *policy) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.admit(r, exchange.Of(r)); f != nil {
			exchange.Fail(w, f)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admit counts a request, or returns the fault that refuses it. Requests under way are counted first, because that can
// be undone.
func (p *policy) admit(r *http.Request, x *exchange.Exchange) *fault.Fault {
	b, _ := batches.Get().(*batch)
	defer b.end()
	var leases []lease
	f := p.enter(b, r, x, &leases)
	if f == nil {
		f = p.take(b, r)
	}
	switch {
	case f != nil:
		endAll(leases)
	case leases != nil:
		endWith(x, leases)
	}
	p.tell(b, x, f != nil)
	return f
}

// endWith removes the request from the counts when its exchange ends in any way: after an upgrade, a panic or a client
// that left.
func endWith(x *exchange.Exchange, leases []lease) {
	x.OnDone(func(exchange.Outcome) { endAll(leases) })
}

func endAll(leases []lease) {
	for _, l := range leases {
		l.end()
	}
}

// enter finds out what each limit is asked for, and adds r to the requests under way.
func (p *policy) enter(b *batch, r *http.Request, x *exchange.Exchange, leases *[]lease) *fault.Fault {
	for i := range p.limits {
		l := &p.limits[i]
		from := len(b.keys)
		if err := l.prepare(b, r, x); err != nil {
			p.record(r, l, err.Error)
			if !l.dryRun {
				return l.uncounted(err)
			}
			continue
		}
		if l.most == 0 {
			continue
		}
		before, one, ok := l.flights.enter(b.keys[from:], l.most, l.dryRun)
		a := &b.asked[len(b.asked)-1]
		a.left, a.refuses = max(l.most-before-1, 0), !ok
		if before >= l.most {
			p.record(r, l, func() string { return "as many are under way as may be" })
		}
		if !ok {
			return l.full()
		}
		*leases = append(*leases, one)
	}
	return nil
}

// prepare adds what the limit is asked for. A plan without a limit is asked for nothing.
func (l *limit) prepare(b *batch, r *http.Request, x *exchange.Exchange) error {
	from := len(b.keys)
	q, err := l.quotaOf(b, r)
	if err != nil || q.Unlimited {
		return err
	}
	if b.keys, err = l.key.appendTo(b.keys, r, x); err != nil {
		return fmt.Errorf("per: %w", err)
	}
	if l.most > 0 {
		b.asked = append(b.asked, asked{limit: l, quota: q, take: -1})
		return nil
	}
	cost := l.fixedCost
	if l.cost != nil {
		if cost, err = l.cost.Int(&expr.Input{Request: r}); err != nil {
			return fmt.Errorf("cost: %w", err)
		}
		if cost < 0 {
			return fmt.Errorf("the cost is %d, less than nothing", cost)
		}
	}
	b.asked = append(b.asked, asked{limit: l, quota: q, take: len(b.takes)})
	b.takes = append(b.takes, Take{
		Counter: l.counter, Key: b.keys[from:len(b.keys):len(b.keys)], Rate: q.Rate, Cost: cost, Advisory: l.dryRun,
	})
	return nil
}

// quotaOf returns the quota that applies to r. The plan's name becomes part of the key, so that usage under one plan
// does not count against another.
func (l *limit) quotaOf(b *batch, r *http.Request) (*quota, error) {
	if l.plans == nil {
		return l.quota, nil
	}
	name, err := l.plan.String(&expr.Input{Request: r})
	if q := l.plans[name]; q != nil && err == nil {
		b.keys = append(append(b.keys, name...), 0)
		return q, nil
	}
	switch {
	case l.otherwise != nil:
		b.keys = append(b.keys, 0)
		return l.otherwise, nil
	case err != nil:
		return nil, fmt.Errorf("plan: %w", err)
	default:
		return nil, fmt.Errorf("there is no plan %q", name)
	}
}

// take charges the rates.
func (p *policy) take(b *batch, r *http.Request) *fault.Fault {
	if len(b.takes) == 0 {
		return nil
	}
	if err := p.store.Take(b.takes, true); err != nil {
		return undecided(err)
	}
	for i := range b.asked {
		a := &b.asked[i]
		if a.take < 0 {
			continue
		}
		if t := &b.takes[a.take]; !t.Room {
			a.refuses = !t.Advisory
			p.record(r, a.limit, func() string { return "no room" })
		}
		p.watch(a.limit.counter)
	}
	return b.refusal()
}

// refusal is the answer of the rate that will take longest to have room, nil if all have room.
func (b *batch) refusal() *fault.Fault {
	var longest *asked
	wait := func(a *asked) time.Duration { return b.takes[a.take].Wait }
	for i := range b.asked {
		a := &b.asked[i]
		if a.take < 0 || b.takes[a.take].Room || b.takes[a.take].Advisory {
			continue
		}
		if longest == nil || wait(a) == Never || wait(longest) != Never && wait(a) > wait(longest) {
			longest = a
		}
	}
	if longest == nil {
		return nil
	}
	return longest.empty(&b.takes[longest.take])
}

// empty is the answer of a rate that has no room.
func (a *asked) empty(t *Take) *fault.Fault {
	options := []fault.Option{fault.Internal("limit %s: %s", a.limit.name, a.limit.text)}
	detail := fmt.Sprintf("The limit %q has no room; Retry-After tells in how many seconds it has.", a.quota.name)
	if t.Wait == Never {
		detail = fmt.Sprintf("The request counts %d, more than the limit %q ever has room for.", t.Cost, a.quota.name)
	} else {
		options = append(options, fault.RetryAfter(t.Wait))
	}
	return a.limit.refuse(detail, options)
}

// full is the answer when the maximum number of requests is under way.
func (l *limit) full() *fault.Fault {
	return l.refuse(fmt.Sprintf("At most %d requests may be under way at once.", l.most),
		[]fault.Option{fault.RetryAfter(time.Second), fault.Internal("limit %s: %s", l.name, l.text)})
}

func (l *limit) refuse(detail string, options []fault.Option) *fault.Fault {
	if l.quiet {
		detail = ""
	}
	return fault.RateLimited.New(detail, options...)
}

// uncounted is the answer when a request's plan, key or cost cannot be determined.
func (l *limit) uncounted(err error) *fault.Fault {
	return fault.Forbidden.New("The request has nothing that it could be counted by.",
		fault.Internal("limit %s: %s", l.name, l.text), fault.Cause(err))
}

// undecided is the answer when the store fails.
func undecided(err error) *fault.Fault {
	return fault.Unexpected.New("", fault.Internal("the limits cannot be decided"), fault.Cause(err))
}

// record logs that a limit refuses a request, or would in a dry run.
func (p *policy) record(r *http.Request, l *limit, why func() string) {
	p.decisions.Record(r, filter.Decision{Rule: l.name, Refuses: true, DryRun: l.dryRun, Reason: why})
}

// watch logs, once a minute, that keys were forgotten that still counted.
func (p *policy) watch(c *Counter) {
	if n, ok := c.toTell(time.Now()); ok {
		p.log.Warn("a limit has more keys than it keeps apart: those nearest to full were forgotten", "counter", c.ID, "forgotten", n)
	}
}

// ask tells what guard would do, without counting.
func (p *policy) ask(r *http.Request) filter.Verdict {
	b, _ := batches.Get().(*batch)
	defer b.end()
	var why []string
	for i := range p.limits {
		l := &p.limits[i]
		from := len(b.keys)
		err := l.prepare(b, r, exchange.Of(r))
		switch {
		case err != nil && l.dryRun:
			why = append(why, l.text+": "+err.Error()+"; a dry run, so it passes")
		case err != nil:
			f := l.uncounted(err)
			return filter.Verdict{Why: f.Operator(), Fault: f}
		case l.most == 0:
		case l.flights == nil:
			why = append(why, l.text+": counted where it serves")
		default:
			n := l.flights.count(b.keys[from:])
			why = append(why, fmt.Sprintf("%s: %d under way", l.text, n))
			if n >= l.most && !l.dryRun {
				return filter.Verdict{Why: why[len(why)-1], Fault: l.full()}
			}
		}
	}
	return p.askRates(b, why)
}

// askRates tells what the rates have left.
func (p *policy) askRates(b *batch, why []string) filter.Verdict {
	counted := len(b.takes) > 0 && b.takes[0].Counter != nil // nil where the config is only checked
	if counted {
		if err := p.store.Take(b.takes, false); err != nil {
			return filter.Verdict{Why: err.Error(), Fault: undecided(err)}
		}
	}
	for _, a := range b.asked {
		switch {
		case a.take < 0:
		case counted:
			why = append(why, fmt.Sprintf("%s: %d left", a.limit.text, b.takes[a.take].Left))
		default:
			why = append(why, a.limit.text+": counted where it serves")
		}
	}
	v := filter.Verdict{Why: strings.Join(why, "; ")}
	if counted {
		v.Fault = b.refusal()
	}
	return v
}
