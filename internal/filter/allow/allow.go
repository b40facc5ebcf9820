package allow

import (
	"errors"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter"
)

// policy is a Config ready to run.
type policy struct {
	rules     []rule
	decisions filter.Decisions
}

// rule is one condition. The log shows its name, never its source, which may compare with a secret.
type rule struct {
	name       string
	program    *expr.Program
	asksCaller bool
	dryRun     bool
}

// guard lets a request pass if every rule allows it.
func (p *policy) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.Of(r)
		for i := range p.rules {
			one := &p.rules[i]
			refused := one.refuses(r, x)
			p.record(r, one, refused)
			if refused != nil && !one.dryRun {
				exchange.Fail(w, refused)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (p *policy) record(r *http.Request, one *rule, refused *fault.Fault) {
	d := filter.Decision{Rule: one.name, DryRun: one.dryRun}
	if refused != nil {
		d.Refuses, d.Reason = true, refused.Operator
	}
	p.decisions.Record(r, d)
}

// ask tells what guard would do.
func (p *policy) ask(r *http.Request) filter.Verdict {
	v := filter.Verdict{Why: "it holds"}
	if len(p.rules) > 1 {
		v.Why = "they hold"
	}
	x := exchange.Of(r)
	for i := range p.rules {
		one := &p.rules[i]
		f := one.refuses(r, x)
		switch {
		case f == nil:
		case one.dryRun:
			v.Why = f.Operator() + "; a dry run, so it passes"
		default:
			return filter.Verdict{Why: f.Operator(), Fault: f}
		}
	}
	return v
}

// refuses returns the answer to a request that the rule does not allow, nil if the rule allows it. A rule that cannot
// be computed does not allow the request.
func (r *rule) refuses(request *http.Request, x *exchange.Exchange) *fault.Fault {
	ok, err := r.program.Bool(&expr.Input{Request: request})
	if ok && err == nil {
		return nil
	}
	if told, is := errors.AsType[*fault.Fault](err); is {
		return told // the client's mistake, such as an ambiguous query
	}
	options := []fault.Option{fault.Internal("%s is false", r.name)}
	if err != nil {
		options = []fault.Option{fault.Internal("%s cannot be decided", r.name), fault.Cause(errors.Unwrap(err))}
	}
	if r.asksCaller && x.Identity == nil {
		return fault.Unauthorized.New("This needs credentials.", options...)
	}
	return fault.Forbidden.New("", options...)
}
