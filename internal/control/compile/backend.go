package compile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/compose"
	"github.com/weir-gateway/weir/internal/traffic/dir"
	"github.com/weir-gateway/weir/internal/traffic/service"
)

// resolved is the backend that a reference leads to.
type resolved struct {
	roundTripper http.RoundTripper
	// endpoints returns the addresses that may be asked now. It is nil if the backend has none, or if status reports
	// them.
	endpoints func() []string
	// status returns the status of a running service; nil for other backends.
	status func() service.Status
	// kept returns when the endpoints were last confirmed if that was before the start, and zero otherwise; nil as
	// above.
	kept func() time.Time
	// rehearse changes a request into what the backend would receive and returns what is added. It is nil if the
	// backend receives the request unchanged.
	rehearse func(*http.Request) ([]string, error)
	// state describes in lines how a running function is doing now; nil for other backends.
	state   func() []string
	service *config.Service // nil if it is not a service
	// composition is nil if the backend is not a composition.
	composition *compose.Composition
	// identity changes if a route that uses the backend must be compiled again.
	identity any
}

// unstarted stands in for a backend that is only checked and never called.
type unstarted struct{}

func (unstarted) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this backend was checked, not started")
}

// toldError is an error that was already reported at its own place, so that the routes affected by it need not report
// it again.
type toldError struct{ error }

const schemeDir = "dir"

func dirScheme() config.Scheme {
	return config.Scheme{Name: schemeDir, Summary: "files of a folder", Example: "dir:./public"}
}

// backend resolves a reference for one route: a name, a function scheme, or else a source of endpoints.
func (b *build) backend(r *config.Route, ref config.Ref) (resolved, error) {
	if ref.Scheme == schemeDir {
		return b.dir(ref)
	}
	switch meant := b.meant(ref).(type) {
	case *config.Function:
		_, part := ref.Function()
		return b.functionPart(meant, part)
	case *config.Service:
		return b.service(r, meant, b.boundsOf(ref, meant))
	case *config.Composition:
		return b.composition(meant)
	case error:
		return resolved{}, meant
	default:
		return resolved{}, fmt.Errorf("nothing is known of %q", ref)
	}
}

// boundsOf returns the bounds of the owner of the address: the service's owner if the reference names the service,
// otherwise the owner of the URL.
func (b *build) boundsOf(ref config.Ref, s *config.Service) *egress.Bounds {
	if ref.Scheme == "" {
		return b.within(s.Group, s.Origin)
	}
	return b.within(ref.Group, ref.Origin)
}

// within returns the bounds of a group or an object. They also exclude the addresses on which this gateway listens.
func (b *build) within(group string, from config.Origin) *egress.Bounds {
	bounds := b.cfg.Bounds(group, from)
	if bounds != nil {
		bounds.Own = b.compiler.options.Own
	}
	return bounds
}

// meaning is what determines which backend a reference means.
type meaning struct{ scheme, rest, group string }

// meant returns the function, service or composition that a reference means, or an error. It caches the results,
// because many routes name the same few.
func (b *build) meant(ref config.Ref) any {
	key := meaning{ref.Scheme, ref.Rest, ref.Group}
	if known, ok := b.meanings[key]; ok {
		return known
	}
	found := b.find(ref)
	b.meanings[key] = found
	return found
}

func (b *build) find(ref config.Ref) any {
	switch ref.Scheme {
	case "":
		return b.named(ref)
	case config.ComposeScheme().Name:
		if c := b.findComposition(ref.Rest); c != nil {
			return c
		}
		return fmt.Errorf("there is no composition named %q", ref.Rest)
	}
	for _, d := range b.compiler.parts.Functions {
		scheme, ok := find(d.Schemes(), func(s config.Scheme) bool { return s.Name == ref.Scheme })
		if !ok {
			continue
		}
		if f := b.findFunction(ref); f != nil && f.Kind == d.Kind {
			return f
		}
		return b.inline(d, scheme, ref)
	}
	if s := b.findSource(ref); s != nil {
		return s
	}
	return &config.Service{Name: ref.String(), Source: ref, Origin: ref.Origin}
}

// inline returns the function that a reference describes by itself, without a declaration in the config.
func (b *build) inline(d function.Definition, scheme config.Scheme, ref config.Ref) any {
	name, _ := ref.Function()
	if scheme.Inline == nil {
		return fmt.Errorf("there is no function named %q", name)
	}
	own, err := scheme.Inline(ref)
	if err == nil {
		err = b.cfg.Settle(own)
	}
	if err != nil {
		return fmt.Errorf("there is no function named %q: %w", name, err)
	}
	f := &config.Function{Name: ref.Rest, Group: ref.Group, Kind: d.Kind, Config: own, Origin: ref.Origin}
	b.inlined = append(b.inlined, f)
	return f
}

// named finds what a plain name means.
func (b *build) named(ref config.Ref) any {
	if f := b.findFunction(ref); f != nil {
		return f
	}
	if s := b.findService(ref); s != nil {
		return s
	}
	if c := b.findComposition(ref.Rest); c != nil {
		return c
	}
	return fmt.Errorf("there is no service, function or composition named %q", ref.Rest)
}

// findFunction and findService look in the reference's own group first. Validation of the config decided which names of
// other groups may be used.
func (b *build) findFunction(ref config.Ref) *config.Function {
	name, _ := ref.Function()
	return nearest(b.cfg.Functions, ref, func(f *config.Function) (string, bool) { return f.Group, f.Name == name })
}

func (b *build) findService(ref config.Ref) *config.Service {
	return nearest(b.cfg.Services, ref, func(s *config.Service) (string, bool) { return s.Group, s.Name == ref.Rest })
}

// findSource finds the declared service whose endpoints come from ref. It considers services of the reference's own
// group and those without a group: the settings that one team declares for a service do not decide how other teams call
// it.
func (b *build) findSource(ref config.Ref) *config.Service {
	return nearest(b.cfg.Services, ref, func(s *config.Service) (string, bool) {
		same := s.Source.Scheme == ref.Scheme && s.Source.Rest == ref.Rest
		return s.Group, same && (s.Group == ref.Group || s.Group == "")
	})
}

// nearest returns the element that fits and belongs to the reference's own group, otherwise any that fits, or nil.
func nearest[T any](list []T, ref config.Ref, look func(*T) (group string, fits bool)) *T {
	var other *T
	for i := range list {
		switch group, fits := look(&list[i]); {
		case fits && group == ref.Group:
			return &list[i]
		case fits:
			other = &list[i]
		}
	}
	return other
}

func (b *build) dir(ref config.Ref) (resolved, error) {
	root := ref.Rest
	if !filepath.IsAbs(root) {
		root = filepath.Join(filepath.Dir(ref.Origin.File), root)
	}
	files, err := keep(b, "dir "+root, always, func() (*dir.Dir, func(context.Context), error) {
		d, err := dir.New(root)
		return d, func(context.Context) { _ = d.Close() }, err // it is only read, so nothing can be lost
	})
	if err != nil {
		return resolved{}, err
	}
	return resolved{roundTripper: files, identity: files}, nil
}
