package static_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/static"
)

func TestASocketIsOneEndpoint(t *testing.T) {
	p, err := static.New(discovery.Env{}, config.Service{Source: config.Ref{Scheme: "unix", Rest: "/run/app.sock"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sets [][]discovery.Endpoint
	err = p.Run(ctx, func(list []discovery.Endpoint) { sets = append(sets, list); cancel() })
	if err != nil || len(sets) != 1 || !slices.Equal(sets[0], []discovery.Endpoint{{Address: "unix:/run/app.sock", Weight: 1}}) {
		t.Errorf("%v, %v", sets, err)
	}
	for _, ref := range []config.Ref{{Scheme: "unix", Rest: "run/app.sock"}, {Scheme: "http", Rest: "//users"}, {}} {
		if _, err := static.New(discovery.Env{}, config.Service{Source: ref}); err == nil {
			t.Errorf("%q is a socket", ref)
		}
	}
}

func TestExamplesAreRight(t *testing.T) {
	for _, s := range static.Definition().Schemes {
		rest, ok := strings.CutPrefix(s.Example, s.Name+":")
		if !ok || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil || s.Summary == "" || s.Protocol == "" {
			t.Errorf("%+v", s)
		}
	}
}
