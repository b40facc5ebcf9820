package gatewayapi

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzTranslate changes fields of the objects of every input: whatever they
// say, Translate neither panics nor gives a config whose parts do not fit together.
func FuzzTranslate(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(20), "*.shop.dev")
	}
	f.Add(uint64(1), uint8(200), "/{id}/**")
	f.Add(uint64(2), uint8(90), "HTTPS")
	inputs, _ := filepath.Glob("testdata/*.in.yaml")
	f.Fuzz(func(t *testing.T, seed uint64, perMille uint8, text string) {
		m := &mutator{random: rand.New(rand.NewPCG(seed, 0)), perMille: int(perMille), texts: []string{
			text, "", "*", "/", "edge", "shop", "users", "catalog", "http", "Gateway", "Service", "HTTPRoute", "Secret", "Exact", "TLS", "0s", "-1s", "(",
		}}
		objects := readInput(t, inputs[seed%uint64(len(inputs))])
		m.change(reflect.ValueOf(objects).Elem())
		objects.Gateways, objects.HTTPRoutes = named(objects.Gateways), named(objects.HTTPRoutes)
		objects.GRPCRoutes, objects.TLSRoutes = named(objects.GRPCRoutes), named(objects.TLSRoutes)
		objects.TCPRoutes, objects.UDPRoutes = named(objects.TCPRoutes), named(objects.UDPRoutes)
		checkResult(t, Translate(objects, testOptions()))
	})
}

// named gives objects with one of each name, which an API server sees to.
func named[T metav1.Object](objects []T) []T { return slices.Collect(maps.Values(byName(objects))) }

// mutator changes some fields of a value in place.
type mutator struct {
	random   *rand.Rand
	perMille int
	texts    []string
}

func (m *mutator) hit() bool { return m.random.IntN(1000) < m.perMille }

func (m *mutator) change(v reflect.Value) {
	if _, object := reflect.TypeAssert[metav1.ObjectMeta](v); object && !m.hit() {
		return // else hardly anything would refer to anything
	}
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.IsNil() && m.hit():
			v.Set(reflect.New(v.Type().Elem()))
		case !v.IsNil() && m.hit() && v.Type().Elem().Kind() != reflect.Struct:
			v.SetZero()
		}
		if !v.IsNil() {
			m.change(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				m.change(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Len() > 0 && v.Len() < 10 && m.hit() && v.Type().Elem().Kind() != reflect.Pointer {
			v.Set(reflect.Append(v, v.Index(m.random.IntN(v.Len()))))
		}
		for i := range v.Len() {
			m.change(v.Index(i))
		}
	case reflect.String:
		if m.hit() {
			v.SetString(m.texts[m.random.IntN(len(m.texts))])
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if m.hit() {
			v.SetInt(int64(m.random.IntN(1<<17) - 1000))
		}
	default:
	}
}

// checkResult holds what is true of every Result: names are unique, and every
// name that is referred to exists.
func checkResult(t *testing.T, r *Result) {
	t.Helper()
	sockets, listeners, services, routes := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	unique := func(seen map[string]bool, what, name string) {
		if name == "" || seen[name] {
			t.Errorf("%s %q stands twice or has no name", what, name)
		}
		seen[name] = true
	}
	for _, s := range r.Config.Sockets {
		unique(sockets, "socket", s.Name)
	}
	for _, l := range r.Config.Listeners {
		unique(listeners, "listener", l.Name)
		if !sockets[l.Socket] {
			t.Errorf("listener %q is on socket %q, which there is not", l.Name, l.Socket)
		}
		if l.TLS == nil && (l.Protocol == "HTTPS" || l.Protocol == "TLS") {
			t.Errorf("listener %q of protocol %s has no TLS", l.Name, l.Protocol)
		}
	}
	for _, s := range r.Config.Services {
		unique(services, "service", s.Name)
	}
	for _, c := range r.Config.Routes {
		unique(routes, "route", c.Name)
		if len(c.Listeners) == 0 || len(c.Matches) == 0 {
			t.Errorf("route %q has no listener or no match, which would mean all of them", c.Name)
		}
		for _, l := range c.Listeners {
			if !listeners[l] {
				t.Errorf("route %q is on listener %q, which there is not", c.Name, l)
			}
		}
		if c.Broken == "" && len(c.Backends) == 0 && (len(c.Filters) == 0 || c.Filters[len(c.Filters)-1].Name != "redirect") {
			t.Errorf("route %q has nothing that answers", c.Name)
		}
		for _, b := range c.Backends {
			if b.Status == 0 && !services[b.Ref.Rest] {
				t.Errorf("route %q leads to service %q, which there is not", c.Name, b.Ref.Rest)
			}
		}
	}
}
