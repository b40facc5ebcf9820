package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/filter"
)

// policy is a Config ready to run.
type policy struct {
	limits    []limit
	store     Store
	log       *slog.Logger
	decisions filter.Decisions // at level debug, because the access log has refusals, too
	// policies is RateLimit-Policy if it is the same for every request; with plans it depends on the request.
	policies string
	planned  bool
}

// limit is one Limit ready to run.
type limit struct {
	text      string // as explain shows it: "50/s per client.ip"
	name      string
	key       key
	quota     *quota // nil where there are plans
	plan      *expr.Program
	plans     map[string]*quota
	otherwise *quota // for requests whose plan is not known; nil refuses them
	cost      *expr.Program
	fixedCost int64
	counter   *Counter // nil where the config is only checked
	most      int64    // requests at once; 0 where it is a rate
	flights   *inFlight
	dryRun    bool
	quiet     bool // clients are told nothing of it
}

// quota is a rate, or a number of requests at once, with what clients are told of it.
type quota struct {
	Plan

	name, policy string
}

// build makes the policy, with counters that live on across reloads.
func build(env filter.Env, c *Config) (filter.Policy, error) {
	if len(*c) == 0 {
		return filter.Policy{}, errors.New("limit has no limit")
	}
	store, err := keep.In(env.Keep, "store", func() (*local, func(context.Context), error) { return newLocal(), nothing, nil })
	if err != nil {
		return filter.Policy{}, err
	}
	p := &policy{store: store, log: env.Log, decisions: env.Decisions("limit", slog.LevelDebug)}
	names := namesOf(*c)
	var policies []byte
	for i := range *c {
		l, err := compile(env, c, i, names[i])
		if err != nil {
			return filter.Policy{}, fmt.Errorf("limit %s: %w", names[i], err)
		}
		p.limits = append(p.limits, l)
		p.planned = p.planned || l.plans != nil
		if l.plans == nil {
			policies = l.appendPolicy(policies, l.quota)
		}
	}
	p.policies = string(policies)
	return filter.Policy{Guard: p.guard, Ask: p.ask, KeepsNothing: true, Note: p.note()}, nil
}

// nothing ends a counter: its memory is freed with its last user.
func nothing(context.Context) {}

// namesOf gives every limit the name that clients are told: its own, or what it bounds, with a number if several limits
// would have the same name.
func namesOf(list []Limit) []string {
	names := make([]string, len(list))
	taken := map[string]int{}
	for i, l := range list {
		switch {
		case l.Name != "":
			names[i] = l.Name
		case l.Rate != nil:
			names[i] = l.Rate.quota()
		case l.Plans != nil:
			names[i] = "plan"
		default:
			names[i] = "concurrent"
		}
		if taken[names[i]]++; taken[names[i]] > 1 {
			names[i] = fmt.Sprintf("%s-%d", names[i], taken[names[i]])
		}
	}
	return names
}

// compile makes the i-th limit of c ready to run.
func compile(env filter.Env, c *Config, i int, name string) (limit, error) {
	from := &(*c)[i]
	l := limit{
		text: from.String(), name: name, fixedCost: from.fixedCost(), most: from.Concurrent,
		dryRun: from.DryRun, quiet: from.Quiet || from.DryRun,
	}
	var err error
	if l.key, err = compileKey(from.Per); err != nil {
		return l, fmt.Errorf("per: %w", err)
	}
	if from.Cost != nil {
		if l.cost, err = expr.Compile(from.Cost.Source, expr.Int, expr.Request); err != nil {
			return l, fmt.Errorf("cost: %w", err)
		}
	}
	switch {
	case from.Rate != nil:
		l.quota = &quota{Plan: Plan{Rate: *from.Rate}, name: name, policy: policyOf(name, *from.Rate)}
	case from.Plans != nil:
		err = l.compilePlans(from)
	default:
		l.quota = &quota{name: name, policy: concurrentPolicyOf(name, l.most)}
	}
	if err == nil {
		err = l.keep(env, identity(env, c, i), cmp.Or(from.Keys, defaultKeys))
	}
	return l, err
}

func (l *limit) compilePlans(from *Limit) error {
	var err error
	if l.plan, err = expr.Compile(from.Plan.Source, expr.String, expr.Request); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	l.plans = map[string]*quota{}
	for name, plan := range from.Plans {
		q := &quota{Plan: plan, name: cmp.Or(from.Name, name)}
		if !plan.Unlimited {
			q.policy = policyOf(q.name, plan.Rate)
		}
		l.plans[name] = q
	}
	l.otherwise = l.plans[from.Otherwise]
	return nil
}

// keep finds the existing counts of the limit, or creates them.
func (l *limit) keep(env filter.Env, id string, keys int) error {
	var err error
	if l.most > 0 {
		l.flights, err = keep.In(env.Keep, id, func() (*inFlight, func(context.Context), error) { return newInFlight(), nothing, nil })
		return err
	}
	l.counter, err = keep.In(env.Keep, fmt.Sprintf("%s, %d keys", id, keys), func() (*Counter, func(context.Context), error) {
		return newCounter(id, keys), nothing, nil
	})
	return err
}

// identity says which counts a limit has. It contains nothing that may change while the counts live on: no rate, burst
// or cost.
func identity(env filter.Env, c *Config, i int) string {
	l := &(*c)[i]
	kind := "rate"
	if l.Concurrent > 0 {
		kind = "concurrent"
	}
	if l.Shared != "" {
		return fmt.Sprintf("%s shared %q of group %q", kind, l.Shared, env.Group)
	}
	of := fmt.Sprintf("%s of route %q at %d.%d", kind, env.Route, c.place(), env.Nth)
	if l.Name != "" {
		return fmt.Sprintf("%s named %q", of, l.Name)
	}
	nth := 0
	for _, before := range (*c)[:i] {
		if before.Name == "" && before.per() == l.per() {
			nth++
		}
	}
	return fmt.Sprintf("%s per %q, %d", of, l.per(), nth)
}

// per is what requests are counted by, as it was written; "" for all together.
func (l *Limit) per() string {
	if l.Per == nil {
		return ""
	}
	return l.Per.Source
}

// String writes a limit in a few words: "50/s per client.ip".
func (l *Limit) String() string {
	var s string
	switch {
	case l.Rate != nil:
		s = l.Rate.String()
	case l.Plans != nil:
		s = "plans " + strings.Join(l.names(), ", ")
	default:
		s = fmt.Sprintf("%d at once", l.Concurrent)
	}
	if l.Per != nil {
		s += " per " + l.Per.Source
	}
	return s
}

// note lists the limits for explain.
func (p *policy) note() string {
	texts := make([]string, len(p.limits))
	for i := range p.limits {
		texts[i] = p.limits[i].text
	}
	return strings.Join(texts, ", ")
}
