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

// resolved is a backend that a reference leads to.
type resolved struct {
	roundTripper http.RoundTripper
	// endpoints tells who would be asked, now; nil where the backend has none, or status tells it.
	endpoints func() []string
	// status is that of a service that runs; nil where it is none.
	status func() service.Status
	// kept is when these were confirmed last, where that was before the start, else zero; nil as above.
	kept func() time.Time
	// rehearse makes of a request what the backend would get, and says what is added; nil where it gets it as it is.
	rehearse func(*http.Request) ([]string, error)
	// state tells in lines how a function is doing, now; nil where it is none that runs.
	state   func() []string
	service *config.Service // nil where it is none
	// composition is nil where it is none.
	composition *compose.Composition
	// identity is another one where a route that uses the backend must be made again.
	identity any
}

// unstarted stands in for what is only checked and never called.
type unstarted struct{}

func (unstarted) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this backend was checked, not started")
}

// toldError is an error that was already reported where it belongs, so that the
// routes that suffer from it need not repeat it.
type toldError struct{ error }

const schemeDir = "dir"

func dirScheme() config.Scheme {
	return config.Scheme{Name: schemeDir, Summary: "files of a folder", Example: "dir:./public"}
}

// backend resolves a reference for one route: a name, a scheme of functions, or
// else a source of endpoints.
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

// boundsOf are those of who has named the address: of the service's owner where it is
// called by its name, else of who has written the URL.
func (b *build) boundsOf(ref config.Ref, s *config.Service) *egress.Bounds {
	if ref.Scheme == "" {
		return b.within(s.Group, s.Origin)
	}
	return b.within(ref.Group, ref.Origin)
}

// within are the bounds of a group or an object, where this gateway serves.
func (b *build) within(group string, from config.Origin) *egress.Bounds {
	bounds := b.cfg.Bounds(group, from)
	if bounds != nil {
		bounds.Own = b.compiler.options.Own
	}
	return bounds
}

// meaning is what the meaning of a reference depends on.
type meaning struct{ scheme, rest, group string }

// meant gives the function, service or composition that a reference means, or an
// error. Many routes name the same few.
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

// inline gives the function that a reference means by itself, of which no more is said in
// the config.
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

// findFunction and findService look in the reference's own group first. What
// of other groups may be named was decided when the config was validated.
func (b *build) findFunction(ref config.Ref) *config.Function {
	name, _ := ref.Function()
	return nearest(b.cfg.Functions, ref, func(f *config.Function) (string, bool) { return f.Group, f.Name == name })
}

func (b *build) findService(ref config.Ref) *config.Service {
	return nearest(b.cfg.Services, ref, func(s *config.Service) (string, bool) { return s.Group, s.Name == ref.Rest })
}

// findSource finds the long form of a service whose endpoints come from ref:
// one of the reference's own group or of no group, for a team that spells a
// service out for itself does not decide for others how it is called.
func (b *build) findSource(ref config.Ref) *config.Service {
	return nearest(b.cfg.Services, ref, func(s *config.Service) (string, bool) {
		same := s.Source.Scheme == ref.Scheme && s.Source.Rest == ref.Rest
		return s.Group, same && (s.Group == ref.Group || s.Group == "")
	})
}

// nearest gives the element that fits and is of the reference's own group, else
// any that fits, nil where there is none.
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
		return d, func(context.Context) { _ = d.Close() }, err // nothing can be lost of what is only read
	})
	if err != nil {
		return resolved{}, err
	}
	return resolved{roundTripper: files, identity: files}, nil
}
