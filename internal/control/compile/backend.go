package compile

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/dir"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// resolved is a backend that a reference leads to.
type resolved struct {
	roundTripper http.RoundTripper
	// endpoints tells who would be asked, now; nil where the backend has none.
	endpoints func() []string
}

const (
	schemeDir      = "dir"
	schemeFunction = "fn"
)

func dirScheme() config.Scheme {
	return config.Scheme{Name: schemeDir, Summary: "files of a folder", Example: "dir:./public"}
}

// backend resolves a reference for one route.
func (b *build) backend(r *config.Route, ref config.Ref) (resolved, error) {
	switch ref.Scheme {
	case schemeDir:
		return b.dir(ref)
	case "":
		if f := b.findFunction(ref); f != nil {
			return b.function(f)
		}
		if s := b.findService(ref); s != nil {
			return b.service(r, s)
		}
		return resolved{}, fmt.Errorf("there is no service or function named %q", ref.Rest)
	}
	if d, ok := find(b.compiler.parts.Functions, func(d function.Definition) bool { return d.Scheme.Name == ref.Scheme }); ok {
		f := b.findFunction(ref)
		if f == nil || f.Kind != d.Kind {
			return resolved{}, fmt.Errorf("there is no function named %q", ref.Rest)
		}
		return b.function(f)
	}
	if s := b.findSource(ref); s != nil {
		return b.service(r, s)
	}
	return b.service(r, &config.Service{Name: ref.String(), Source: ref, Origin: ref.Origin})
}

// findFunction and findService look in the reference's own group first, then
// among those that belong to no group.
func (b *build) findFunction(ref config.Ref) *config.Function {
	return nearest(b.cfg.Functions, ref, func(f *config.Function) (string, string) { return f.Name, f.Group })
}

func (b *build) findService(ref config.Ref) *config.Service {
	return nearest(b.cfg.Services, ref, func(s *config.Service) (string, string) { return s.Name, s.Group })
}

func nearest[T any](list []T, ref config.Ref, id func(*T) (name, group string)) *T {
	var global *T
	for i := range list {
		name, group := id(&list[i])
		switch {
		case name != ref.Rest:
		case group == ref.Group:
			return &list[i]
		case group == "":
			global = &list[i]
		}
	}
	return global
}

// findSource finds the long form of a service whose endpoints come from ref.
func (b *build) findSource(ref config.Ref) *config.Service {
	i := slices.IndexFunc(b.cfg.Services, func(s config.Service) bool {
		return s.Source.Scheme == ref.Scheme && s.Source.Rest == ref.Rest
	})
	if i < 0 {
		return nil
	}
	return &b.cfg.Services[i]
}

func (b *build) dir(ref config.Ref) (resolved, error) {
	root := ref.Rest
	if !filepath.IsAbs(root) {
		root = filepath.Join(filepath.Dir(ref.Origin.File), root)
	}
	files, err := take(b.compiler.kept, b.used, "dir "+root, func() (*dir.Dir, func(context.Context), error) {
		d, err := dir.New(root)
		return d, func(context.Context) { _ = d.Close() }, err
	})
	if err != nil {
		return resolved{}, err
	}
	return resolved{roundTripper: files}, nil
}

// functions builds every function of the config, used by a route or not: a
// mistake in it should not wait for its first route to be told.
func (b *build) functions() {
	for i := range b.cfg.Functions {
		f := &b.cfg.Functions[i]
		if _, err := b.function(f); err != nil {
			b.problems.Errorf(f.Origin.Pos, "function %q: %v", f.Name, err)
			b.told[f] = toldError{err}
		}
	}
}

// toldError is an error that was already reported where it belongs, so that the
// routes that suffer from it need not repeat it.
type toldError struct{ error }

func (b *build) function(f *config.Function) (resolved, error) {
	if err, ok := b.told[f]; ok {
		return resolved{}, err
	}
	d, ok := b.compiler.parts.function(f.Kind)
	if !ok {
		return resolved{}, fmt.Errorf("this version runs no functions of kind %q", f.Kind)
	}
	env := function.Env{Log: b.compiler.options.Log, Secret: b.compiler.options.Secret, Dir: filepath.Dir(f.Origin.File)}
	if !b.start {
		return resolved{roundTripper: unstarted{}}, d.Check(env, f.Config)
	}
	running, err := b.runningFunction(d, env, f)
	if err != nil {
		return resolved{}, err
	}
	return resolved{roundTripper: running.backend, endpoints: running.describe}, nil
}

// runningFunction is a function as it is kept; config is the latest that it was built or tuned with.
type runningFunction struct {
	backend function.Backend
	config  any
}

func (f *runningFunction) describe() []string {
	s := f.backend.Status()
	line := fmt.Sprintf("%d instances, %d busy, %d queued", s.Instances, s.Busy, s.Queued)
	if s.Problem != "" {
		line += ": " + s.Problem
	}
	return []string{line}
}

// runningFunction keeps the running one where only tunable fields changed. Its
// key is the name and, after a change of identity, a number that tells the
// successor from the one before, which drains.
func (b *build) runningFunction(d function.Definition, env function.Env, f *config.Function) (*runningFunction, error) {
	name := f.Kind + " " + f.Group + "/" + f.Name
	key := name
	for n := 2; ; n++ {
		live, ok := b.compiler.kept[key]
		if !ok {
			break
		}
		if was := live.value.(*runningFunction); d.Same(was.config, f.Config) { //nolint:forcetypeassert // keys carry the kind
			b.used.tunes = append(b.used.tunes, func() {
				was.config = f.Config
				was.backend.Tune(f.Config)
			})
			break
		}
		key = fmt.Sprintf("%s #%d", name, n)
	}
	return take(b.compiler.kept, b.used, key, func() (*runningFunction, func(context.Context), error) {
		backend, err := d.Build(env, f.Name, f.Config)
		if err != nil {
			return nil, nil, err
		}
		return &runningFunction{backend, f.Config}, func(ctx context.Context) { _ = backend.Close(ctx) }, nil // it has logged why
	})
}

// unstarted stands in for what is only checked and never called.
type unstarted struct{}

func (unstarted) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("this backend was checked, not started")
}

// services checks every service of the long form, used by a route or not.
func (b *build) services() {
	none := &config.Route{}
	for i := range b.cfg.Services {
		s := &b.cfg.Services[i]
		if _, err := b.service(none, s); err != nil && s.Origin.Object == "" {
			b.problems.Errorf(s.Origin.Pos, "service %q: %v", s.Name, err)
			b.told[s] = toldError{err}
		}
	}
}

// runningService is a service with the goroutine that feeds it.
type runningService struct {
	service *service.Service
	stop    context.CancelFunc
	done    chan struct{}
}

// service gives a route's view of a service, which is made if it does not live yet.
func (b *build) service(r *config.Route, s *config.Service) (resolved, error) {
	if err, ok := b.told[s]; ok {
		return resolved{}, err
	}
	provider, err := b.provider(s)
	if err != nil {
		return resolved{}, err
	}
	identity, err := b.transportOptions(s)
	if err != nil {
		return resolved{}, err
	}
	if !b.start {
		return resolved{roundTripper: unstarted{}, endpoints: func() []string { return staticEndpoints(s) }}, nil
	}
	key := "service " + s.Group + "/" + s.Name + " " + sourceKey(s) + " " + identity.key
	connections, err := b.transport(identity)
	if err != nil {
		return resolved{}, err
	}
	running, err := take(b.compiler.kept, b.used, key, func() (*runningService, func(context.Context), error) {
		return b.startService(s, provider, connections)
	})
	if err != nil {
		return resolved{}, err
	}
	view := running.service.View(service.ViewOptions{
		Retry:    *cmp.Or(r.Retry, s.Retry, config.DefaultRetry()),
		Timeouts: r.Timeouts.Or(s.Timeouts).Or(config.DefaultTimeouts()),
	})
	return resolved{roundTripper: view, endpoints: running.addresses}, nil
}

func (b *build) provider(s *config.Service) (discovery.Provider, error) {
	scheme := s.Source.Scheme
	if scheme == "" {
		scheme = "http" // the static provider also serves lists
	}
	d, ok := b.compiler.parts.provider(scheme)
	if !ok {
		return nil, fmt.Errorf("this version finds no endpoints by %s:", scheme)
	}
	return d.New(discovery.Env{Log: b.compiler.options.Log}, *s)
}

func (b *build) startService(s *config.Service, p discovery.Provider, t http.RoundTripper) (*runningService, func(context.Context), error) {
	log := b.compiler.options.Log.With("service", s.Name)
	ctx, cancel := context.WithCancel(context.Background())
	running := &runningService{
		service: service.New(service.Options{Name: s.Name, Transport: t, Log: log}),
		stop:    cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(running.done)
		if err := p.Run(ctx, running.service.Set); err != nil {
			log.Error("discovery ended; the last endpoints stay", "error", err)
		}
	}()
	return running, func(context.Context) { cancel(); <-running.done }, nil
}

func (s *runningService) addresses() []string {
	var list []string
	for _, e := range s.service.Status().Endpoints {
		list = append(list, e.Address)
	}
	return list
}

func staticEndpoints(s *config.Service) []string {
	if len(s.Endpoints) == 0 {
		return []string{strings.TrimPrefix(s.Source.Rest, "//")}
	}
	var list []string
	for _, e := range s.Endpoints {
		list = append(list, e.Address)
	}
	return list
}

// sourceKey is the identity of where endpoints come from.
func sourceKey(s *config.Service) string {
	if len(s.Endpoints) == 0 {
		return s.Source.String()
	}
	var b strings.Builder
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "%s*%d@%s ", e.Address, e.Weight, e.Zone)
	}
	return b.String()
}

// transportIdentity is what two services must share to share connections.
type transportIdentity struct {
	key     string
	options transport.Options
}

// transport gives the pool of that identity. It is kept like everything else
// and closes its idle connections when nobody uses it.
func (b *build) transport(id transportIdentity) (*transport.Transport, error) {
	return take(b.compiler.kept, b.used, "transport "+id.key, func() (*transport.Transport, func(context.Context), error) {
		t, err := transport.New(id.options)
		if err != nil {
			return nil, nil, err
		}
		return t, func(context.Context) { t.CloseIdle() }, nil
	})
}
