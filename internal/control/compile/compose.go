package compile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/traffic/compose"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// compositions builds every composition of the config, whether a route uses it or not. A composition that another one
// calls is built when it is first needed.
func (b *build) compositions() {
	for i := range b.cfg.Compositions {
		c := &b.cfg.Compositions[i]
		_, err := b.composition(c)
		if err == nil {
			continue
		}
		if _, told := errors.AsType[toldError](err); !told {
			b.problems.Errorf(c.Origin.Pos, "composition %q: %v", c.Name, err)
		}
		b.told[c] = toldError{err}
	}
}

// composition is a composition as it is kept. It is used instead of a new one if that says the same and its steps call
// the same backends. It holds nothing that is alive itself; the backends of its steps do.
type composition struct {
	made   *compose.Composition
	config *config.Composition // the latest config that says the same
	asked  []question
}

// composition returns a composition, which is built once for all that call it.
func (b *build) composition(c *config.Composition) (resolved, error) {
	if err, ok := b.told[c]; ok {
		return resolved{}, err
	}
	same := func(before *composition) bool { return config.ServesSame(before.config, c) && b.stillSo(before.asked) }
	kept, err := keep(b, "composition "+c.Name, same, func() (*composition, func(context.Context), error) {
		made, err := b.compose(c)
		return made, nil, err
	})
	if err != nil {
		return resolved{}, err
	}
	kept.config = c
	return resolved{roundTripper: kept.made, composition: kept.made, identity: kept}, nil
}

func (b *build) compose(c *config.Composition) (*composition, error) {
	notes := b.record()
	made, err := compose.New(c, compose.Options{
		Secret: notes.secret, Log: b.compiler.options.Log,
		Backend: func(call *config.Step) (compose.Backend, error) { return b.stepBackend(call, notes) },
		Cache:   func(step string) *telemetry.StepCache { return b.stepMeter(c.Name, step, notes) },
	})
	return &composition{made, c, notes.done()}, err
}

// stepBackend resolves the backend of a step, as for a route. A write is retried only if it is certain that nothing of
// it was sent.
func (b *build) stepBackend(s *config.Step, notes *recorder) (compose.Backend, error) {
	retry := s.Retry
	if !s.Safe() {
		retry = &config.Retry{Attempts: config.DefaultRetry().Attempts, Unsent: true}
	}
	found, err := notes.backend(&config.Route{Name: s.Name, Retry: retry}, s.Ref)
	if err != nil {
		return compose.Backend{}, err
	}
	adapted, err := b.stepFilters(s, notes)
	if err != nil {
		return compose.Backend{}, err
	}
	made := compose.Backend{RoundTripper: adapted.adapt(found.roundTripper), Host: stepHost(s.Ref, found)}
	for i, policy := range adapted.policies {
		made.Through = append(made.Through, strings.TrimSuffix(s.Filters[i].Name+": "+policy.Note, ": "))
	}
	if found.service != nil {
		made.Retries, made.Total = true, found.service.Timeouts.Total
	}
	return made, nil
}

// stepFilters builds the adapters of a step.
func (b *build) stepFilters(s *config.Step, notes *recorder) (built, error) {
	var out built
	for _, use := range s.Filters {
		d, ok := b.compiler.parts.filter(use.Name)
		if !ok {
			return built{}, fmt.Errorf("there is no filter %q in this version", use.Name)
		}
		policy, err := d.Build(filter.Env{Secret: notes.secret, Log: b.compiler.options.Log, Route: s.Name}, use.Config)
		if err != nil {
			return built{}, fmt.Errorf("%s: %w", use.Name, err)
		}
		out.policies = append(out.policies, policy)
	}
	return out, nil
}

// stepHost returns the Host for a step's request: the backend's own, because the client's Host does not concern the
// backend. It is the host of the backend's URL, otherwise the backend's name. A backend with neither, such as a socket
// of this machine, gets localhost.
func stepHost(ref config.Ref, found resolved) string {
	if found.service != nil && strings.HasPrefix(found.service.Source.Rest, "//") {
		ref = found.service.Source
	}
	if host, ok := strings.CutPrefix(ref.Rest, "//"); ok {
		return host
	}
	if _, err := httpx.NormalizeHost(ref.Rest); err != nil {
		return "localhost"
	}
	return ref.Rest
}

// findComposition finds a composition by its name.
func (b *build) findComposition(name string) *config.Composition {
	for i := range b.cfg.Compositions {
		if b.cfg.Compositions[i].Name == name {
			return &b.cfg.Compositions[i]
		}
	}
	return nil
}

// steps returns what explain shows of a composition.
func steps(c *compose.Composition) []snapshot.StepNote {
	if c == nil {
		return nil
	}
	var notes []snapshot.StepNote
	for _, p := range c.Plan() {
		notes = append(notes, snapshot.StepNote(p))
	}
	return notes
}
