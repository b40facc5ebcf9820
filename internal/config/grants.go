package config

import (
	"errors"
	"fmt"
	"net"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// groupRules indexes the groups and checks their grants.
func (c *validator) groupRules() {
	for i := range c.c.Groups {
		g := &c.c.Groups[i]
		if first, taken := c.groups[g.Name]; taken {
			c.twice("group", g.Name, g.Origin, first.Origin)
			continue
		}
		c.groups[g.Name] = g
		for _, h := range g.Hosts {
			if _, err := pattern.ParseHost(h); err != nil {
				c.pattern(g.Origin.at(), false, err)
			}
		}
		for _, s := range g.Secrets {
			if source, _, ok := strings.Cut(s, ":"); !ok || source != "env" && source != "file" {
				c.add(g.Origin.at(), fmt.Sprintf("%q in the secrets of the group %q allows nothing", s, g.Name), "a secret is env:NAME or file:/path", "for example env:SHOP_*")
			}
		}
	}
}

// allows reports whether one of patterns covers one of names; nil patterns set no bound.
func allows(patterns []string, names ...string) bool {
	return patterns == nil || slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return covers(p, n) })
	})
}

// covers reports whether a grant covers name. In a grant that is a URL, a * in the host never matches part of the path;
// otherwise the grant would cover every host whose path ends as the grant does. A * at the end of the host also stands
// for every path.
func covers(grant, name string) bool {
	scheme, rest, isURL := strings.Cut(grant, "://")
	named, at, alike := strings.Cut(name, "://")
	if !isURL || !alike {
		return pattern.Glob(grant, name)
	}
	host, path, _ := strings.Cut(rest, "/")
	own, below, _ := strings.Cut(at, "/")
	if host == rest && strings.HasSuffix(host, "*") {
		path = "*"
	}
	return pattern.Glob(scheme, named) && pattern.Glob(host, own) && pattern.Glob(path, below)
}

func (c *validator) denied(at doc.Pos, g *Group, what, grant string) {
	c.add(at, fmt.Sprintf("the group %q may not reach %s", g.Name, what), fmt.Sprintf("what it may reach is declared at %s", g.Origin), fmt.Sprintf("ask for it to be added to %s there", grant))
}

// refGrant checks that the group that names a reference may reach it.
func (c *validator) refGrant(ref Ref) {
	g := c.groups[ref.Group]
	if g == nil {
		return
	}
	if m := c.composed(ref); m != nil && m.Group == ref.Group {
		return
	}
	if ref.Scheme == "" || ref.Scheme == functionScheme || c.isFunction(ref) {
		if s := c.services[ref.Rest]; s != nil && s.Group == ref.Group {
			return
		}
		name, _ := ref.Function()
		if f := c.functions[name]; f != nil && f.Group == ref.Group {
			return
		}
	}
	app := ref
	app.Rest, _ = ref.Function() // a grant for an app covers each of its functions
	if scheme, _ := c.v.scheme(ref.Scheme); scheme.Inline != nil && !c.isFunction(ref) {
		c.inlineGrants(g, scheme, ref)
		return
	}
	if !allows(g.Allow, ref.String(), app.String()) {
		c.denied(ref.Origin.at(), g, fmt.Sprintf("the backend %q", ref), "allow")
	}
}

// inlineGrants checks a function that a reference names without a declaration as if it were declared. In either form,
// the gateway calls it with its own permissions.
func (c *validator) inlineGrants(g *Group, scheme Scheme, ref Ref) {
	own, err := scheme.Inline(ref)
	if err != nil {
		return // reported where the reference is checked
	}
	reached := []string{ref.String()}
	if far, ok := own.(Reaching); ok {
		reached = far.Reaches()
	}
	for _, what := range reached {
		if !allows(slices.Concat([]string{}, g.Allow), what) {
			c.denied(ref.Origin.at(), g, fmt.Sprintf("%q, which the backend %q is", what, ref), "allow")
		}
		c.reachURL(ref.Origin, g.Name, what)
	}
}

// reachURL is reach for texts in the form of a URL, which may follow a kind of function.
func (c *validator) reachURL(at Origin, group, what string) {
	if _, rest, ok := strings.Cut(what, "://"); ok {
		authority, _, _ := strings.Cut(rest, "/")
		c.reach(at, group, authority)
	}
}

// reach checks that a backend written as an address is within the bounds of its writer. An address that a name resolves
// to is checked when it is called. For an object the problem is a warning, because only the object's own requests fail.
func (c *validator) reach(at Origin, group, address string) {
	bounds := c.c.Bounds(group, at)
	err := bounds.Host(hostOf(address))
	path, isSocket := strings.CutPrefix(address, unixScheme+":")
	if isSocket {
		err = bounds.Socket(path)
	}
	refused, ok := errors.AsType[*egress.RefusedError](err)
	g := c.groups[group]
	if !ok || isSocket && g != nil && !allows(g.Allow, address) { // its own problem is reported, and its fix mends this too
		return
	}
	if g != nil && at.Object == "" {
		c.add(at.at(), fmt.Sprintf("the group %q may not reach %q", group, address),
			fmt.Sprintf("it is %s; what it may reach is declared at %s", refused.Kind, g.Origin), fmt.Sprintf("ask for %s to be added to reach there", reachOf(refused)))
		return
	}
	c.ps.Add(doc.Problem{
		Pos: at.at(), Severity: doc.Warning, What: fmt.Sprintf("%q is never called", address),
		Why: fmt.Sprintf("it is %s, and objects may not name it", refused.Kind), Fix: "name an address of the cluster",
	})
}

// hostOf returns the host of `host` or `host:port`.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// reachOf returns what a group would need in its reach.
func reachOf(e *egress.RefusedError) string {
	if e.Kind == egress.Loopback && !strings.Contains(e.Address, ":") {
		return "127.0.0.0/8"
	}
	return e.Address
}

// Bounds returns where the backends of a group or of an object may be; nil sets no bounds.
func (c *Config) Bounds(group string, from Origin) *egress.Bounds {
	if from.Object != "" {
		own := c.ObjectReach // a copy, so that keeping it does not keep the config
		return &own
	}
	if group == "" {
		return nil
	}
	for i := range c.Groups {
		if c.Groups[i].Name == group {
			return c.Groups[i].bounds()
		}
	}
	return &egress.Bounds{} // an undeclared group, which has been reported
}

// bounds returns what the group may reach. Patterns of Unix sockets in allow count too, so that they need not be
// written twice.
func (g *Group) bounds() *egress.Bounds {
	b := egress.Bounds{Reach: g.Reach.Reach, Sockets: slices.Clone(g.Reach.Sockets)}
	for _, p := range g.Allow {
		if path, ok := strings.CutPrefix(p, unixScheme+":"); ok {
			b.Sockets = append(b.Sockets, path)
		}
	}
	return &b
}

func (c *validator) routeGrants(r *Route) {
	g := c.groups[r.Group]
	if g == nil {
		return
	}
	c.listenerGrants(g, r.Listeners, r.Origin)
	c.hostGrants(g, r.Hosts, r.Origin)
	only := ""
	if len(r.Backends) == 1 {
		only = c.authority(r.Backends[0].Ref)
	}
	for _, f := range r.Filters {
		c.filterGrants(g, f, only)
	}
	for _, b := range r.Backends {
		for _, f := range b.Filters {
			c.filterGrants(g, f, c.authority(b.Ref))
		}
	}
}

// filterGrants checks the secrets that a filter uses, and what it calls with the gateway's own permissions, for a
// backend with that host.
func (c *validator) filterGrants(g *Group, f Filter, host string) {
	c.secretGrants(g, f.Config, f.Origin)
	switch far := f.Config.(type) {
	case Reaching:
		c.reachGrants(g, "filter "+f.Name, f.Origin, far.Reaches())
	case ReachingAt:
		c.reachGrants(g, "filter "+f.Name, f.Origin, far.ReachesAt(host))
	}
}

// authority returns the host of a backend that is a URL, or of a service whose source is one.
func (c *validator) authority(ref Ref) string {
	if s := c.services[ref.Rest]; ref.Scheme == "" && s != nil {
		ref = s.Source
	}
	return ref.Authority()
}

func (c *validator) streamGrants(s *Stream) {
	if g := c.groups[s.Group]; g != nil {
		c.listenerGrants(g, s.Listeners, s.Origin)
		if len(s.Hosts) > 0 {
			c.hostGrants(g, s.Hosts, s.Origin)
		}
	}
}

func (c *validator) listenerGrants(g *Group, listeners []string, at Origin) {
	if g.Listeners == nil {
		return
	}
	if len(listeners) == 0 {
		c.denied(at.at(), g, "every listener", "listeners")
	}
	for _, l := range listeners {
		if !slices.Contains(g.Listeners, l) {
			c.denied(at.at(), g, fmt.Sprintf("the listener %q", l), "listeners")
		}
	}
}

func (c *validator) hostGrants(g *Group, hosts []string, at Origin) {
	if g.Hosts == nil {
		return
	}
	if len(hosts) == 0 {
		c.denied(at.at(), g, "every host", "hosts")
	}
	for _, h := range hosts {
		host, err := pattern.ParseHost(h)
		if err == nil && !slices.ContainsFunc(g.Hosts, func(own string) bool {
			wide, err := pattern.ParseHost(own)
			return err == nil && wide.Covers(host)
		}) {
			c.denied(at.at(), g, fmt.Sprintf("the host %q", h), "hosts")
		}
	}
}

func (c *validator) serviceGrants(s *Service) {
	g := c.groups[s.Group]
	if g == nil {
		return
	}
	for _, e := range s.Endpoints {
		if !allows(g.Allow, e.Address, "http://"+e.Address, "https://"+e.Address) {
			c.denied(e.Origin.at(), g, fmt.Sprintf("the endpoint %q", e.Address), "allow")
		}
	}
	if s.Resolver != nil {
		for _, server := range s.Resolver.Servers { // a name server could redirect allowed names elsewhere
			c.reach(s.Resolver.Origin, s.Group, server)
			if !allows(g.Allow, "dns:"+server) {
				c.denied(s.Resolver.Origin.at(), g, fmt.Sprintf("the server of names %q", "dns:"+server), "allow")
			}
		}
	}
	c.secretGrants(g, s.TLS, s.Origin)
	c.secretGrants(g, s.Balance, s.Origin)
	c.healthGrants(g, s)
}

// healthGrants checks that health checks reach no address that the group's requests may not.
func (c *validator) healthGrants(g *Group, s *Service) {
	if s.Health == nil {
		return
	}
	c.secretGrants(g, s.Health, s.Health.Origin)
	if s.Health.Port == 0 {
		return
	}
	asked := make([]string, 0, len(s.Endpoints)+1)
	for _, e := range s.Endpoints {
		asked = append(asked, e.Address)
	}
	if authority, isURL := strings.CutPrefix(s.Source.Rest, "//"); isURL {
		asked = append(asked, authority)
	}
	for _, address := range asked {
		if at := net.JoinHostPort(strings.Trim(hostOf(address), "[]"), strconv.Itoa(s.Health.Port)); !allows(g.Allow, at, "http://"+at, "https://"+at) {
			c.denied(s.Health.Origin.at(), g, fmt.Sprintf("%q, where the health check asks", at), "allow")
		}
	}
}

func (c *validator) functionGrants(f *Function) {
	g := c.groups[f.Group]
	if g == nil {
		return
	}
	if far, ok := f.Config.(Reaching); ok {
		c.reachGrants(g, fmt.Sprintf("function %q", f.Name), f.Origin, far.Reaches())
	} else if what := f.Kind + ":" + f.Name; !allows(g.Allow, what) {
		c.denied(f.Origin.at(), g, fmt.Sprintf("a function of its own (%q)", what), "allow")
	}
	c.secretGrants(g, f.Config, f.Origin)
}

// reachGrants checks what a function or filter of a group calls elsewhere with the gateway's permissions. A group
// without grants by name is allowed none of it.
func (c *validator) reachGrants(g *Group, who string, at Origin, reached []string) {
	for _, what := range reached {
		if !allows(slices.Concat([]string{}, g.Allow), what) {
			c.denied(at.at(), g, fmt.Sprintf("%q, which its %s names", what, who), "allow")
		}
		c.reachURL(at, g.Name, what)
	}
}

// secretGrants checks all secrets in config.
func (c *validator) secretGrants(g *Group, config any, at Origin) {
	if g == nil || g.Secrets == nil || config == nil {
		return
	}
	for _, s := range secretsIn(config) {
		if s.Source == "file" && path.Clean(s.Text) != s.Text {
			c.add(at.at(), fmt.Sprintf("the secret file %q has a path with .. in it", s.Text), "such a path could lead outside what the group may read", fmt.Sprintf("write %s", path.Clean(s.Text)))
			continue
		}
		if name := s.Source + ":" + s.Text; !allows(g.Secrets, name) {
			c.denied(at.at(), g, fmt.Sprintf("the secret %q", name), "secrets")
		}
	}
}

// secretsIn returns the references to secrets in config, whatever its type.
func secretsIn(config any) []secret.Part {
	var found []secret.Part
	walk(reflect.ValueOf(config), 0, func(v reflect.Value) bool {
		if v.Type() != reflect.TypeFor[secret.Part]() {
			return true
		}
		if source := v.FieldByName("Source").String(); source != "" {
			found = append(found, secret.Part{Source: source, Text: v.FieldByName("Text").String()})
		}
		return false
	})
	return found
}
