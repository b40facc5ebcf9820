package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Anonymous is the word in a rule that lets callers without any credential pass.
const Anonymous = "anonymous"

// Auth is one way of recognising callers; Config has the type of its kind.
type Auth struct {
	Name   string
	Group  string
	Kind   string // "jwt", "keys", ...
	Config any
	Origin Origin
}

// AuthRule says who may call: every caller that one of several alternatives recognises. An alternative needs all of its
// ways. If a filter's config holds a rule, the rule names elements of Config.Auths; Validate checks that they exist and
// are within reach.
type AuthRule struct {
	AnyOf [][]AuthName
	// Anonymous lets callers without any credential pass. A credential that is not valid is refused nevertheless.
	Anonymous bool
}

// AuthName names an element of Config.Auths.
type AuthName struct {
	Name string
	Pos  doc.Pos
}

func (r AuthRule) String() string {
	var alternatives []string
	for _, ways := range r.AnyOf {
		names := make([]string, len(ways))
		for i, w := range ways {
			names[i] = w.Name
		}
		alternatives = append(alternatives, strings.Join(names, " & "))
	}
	if r.Anonymous {
		alternatives = append(alternatives, Anonymous)
	}
	return strings.Join(alternatives, " | ")
}

// EncodeDoc writes the rule as it is read.
func (r AuthRule) EncodeDoc() *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Value: r.String()}
}

// DocSchema implements doc.SchemaWriter.
func (AuthRule) DocSchema() *doc.Schema {
	return text("names of auth: `a | b` is any of them, `a & b` all, and `| anonymous` lets callers without a credential pass")
}

// DecodeDoc reads `a`, `a | b`, `a & b | c` and `a | anonymous`.
func (r *AuthRule) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.List {
		ps.Add(doc.Problem{Pos: n.Pos, What: "auth is a list", Why: "it does not say whether any of them is enough or all are needed", Fix: "write `a | b` for any of them, or `a & b` for all"})
		return
	}
	if !wantText(n, "auth", "auth: customer", ps) || !plainRule(n, ps) {
		return
	}
	offset := 0
	for part := range strings.SplitSeq(n.Value, "|") {
		r.alternative(n, part, offset, ps)
		offset += len(part) + len("|")
	}
	if r.Anonymous && len(r.AnyOf) == 0 && !ps.Failed() {
		ps.Add(doc.Problem{Pos: n.Pos, What: "auth is anonymous alone", Why: "then no caller has to authenticate", Fix: "write `auth: none`, or name a way beside it, as `customer | anonymous`"})
	}
}

// plainRule reports operators that rules do not have.
func plainRule(n *doc.Node, ps *doc.Problems) bool {
	for _, wrong := range []struct{ text, what, why, fix string }{
		{"(", "auth has parentheses", "& binds more closely than |, and that is all there is", "write each alternative out, as `staff & mtls | partner & mtls`"},
		{"||", "auth has ||", "any of several is written with one |", "write `a | b`"},
		{"&&", "auth has &&", "all of several is written with one &", "write `a & b`"},
		{"!", "auth has a !", "it says who may call, never who may not", "refuse callers by `allow`"},
		{",", "auth has a comma", "it does not say whether any of them is enough or all are needed", "write `a | b` for any of them, or `a & b` for all"},
	} {
		if i := strings.Index(n.Value, wrong.text); i >= 0 {
			ps.Add(doc.Problem{Pos: textPos(n, i), What: wrong.what, Why: wrong.why, Fix: wrong.fix})
			return false
		}
	}
	return true
}

// alternative reads the text between two `|`, which begins at offset.
func (r *AuthRule) alternative(n *doc.Node, text string, offset int, ps *doc.Problems) {
	if strings.TrimSpace(text) == Anonymous {
		r.Anonymous = true
		return
	}
	var ways []AuthName
	for part := range strings.SplitSeq(text, "&") {
		name := strings.TrimSpace(part)
		pos := textPos(n, offset+strings.Index(part, name))
		offset += len(part) + len("&")
		switch {
		case name == "":
			ps.Add(doc.Problem{Pos: pos, What: "auth names nothing here", Why: "there must be a name on both sides of | and &", Fix: "for example `customer | partner`"})
		case name == Anonymous:
			ps.Add(doc.Problem{Pos: pos, What: "anonymous is next to &", Why: "a caller with a credential is not anonymous", Fix: "write `| anonymous` as an alternative of its own"})
		case name == none:
			ps.Add(doc.Problem{Pos: pos, What: "none is part of a rule", Why: "alone it switches auth off", Fix: "write `| anonymous` for callers without a credential, or `auth: none`"})
		case !IsElementName(name):
			p := badName(pos, "way in auth", name)
			if words := strings.Fields(name); slices.Contains(words, "or") || slices.Contains(words, "and") {
				p.Fix = "write `a | b` for any of them, or `a & b` for all"
			}
			ps.Add(p)
		case slices.ContainsFunc(ways, func(w AuthName) bool { return w.Name == name }):
			ps.Add(doc.Problem{Pos: pos, What: fmt.Sprintf("%q appears twice next to &", name), Fix: "remove one"})
		default:
			ways = append(ways, AuthName{Name: name, Pos: pos})
		}
	}
	r.AnyOf = append(r.AnyOf, ways)
}

// letsAnonymousPass reports whether a filter lets unknown callers pass.
func letsAnonymousPass(f Filter) bool {
	return slices.ContainsFunc(found[AuthRule](f.Config), func(r AuthRule) bool { return r.Anonymous })
}

// rehearses reports whether a filter that recognises callers is a dry run.
func rehearses(f Filter) bool {
	r, ok := f.Config.(Rehearsed)
	return ok && r.Rehearses()
}

// rehearsals warns of a dry run, which opens a route, and reports whether there is one.
func (c *validator) rehearsals(r *Route) bool {
	i := slices.IndexFunc(r.Filters, rehearses)
	if i < 0 {
		return false
	}
	c.ps.Add(doc.Problem{
		Pos: r.Filters[i].Origin.at(), Severity: doc.Warning, What: fmt.Sprintf("the route %q lets everybody pass", r.Name),
		Why: fmt.Sprintf("its %s is a dry run, which logs the callers it would have refused", r.Filters[i].Name), Fix: "remove dry_run when the log shows what you expect",
	})
	return true
}

// notHere refuses a dry run in defaults, where it would open every route that inherits it, including future ones.
func notHere(f Filter, ps *doc.Problems) {
	if rehearses(f) {
		ps.Add(doc.Problem{
			Pos: f.Origin.at(), What: fmt.Sprintf("%s is a dry run for every route that inherits it", f.Name),
			Why: "each of them would let everybody pass", Fix: "write it on the route where you try it out",
		})
	}
}

// Remote is a URL that the gateway itself calls, for example for an issuer's keys. Groups need a grant for it, as for a
// backend.
type Remote struct {
	URL string // absolute, http or https, without user and fragment
	Pos doc.Pos
}

// DecodeDoc reads a URL.
func (r *Remote) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the URL", "https://id.example.com/", ps) {
		return
	}
	u, err := url.Parse(n.Value)
	p := doc.Problem{Pos: n.Pos, Fix: "for example `https://id.example.com/`"}
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		p.What = fmt.Sprintf("%q is not a URL that can be called", n.Value)
	case u.User != nil:
		p.What, p.Why = "the URL has a user name or password in it", "it would appear in logs and in the output of explain"
	case strings.Contains(n.Value, "#"):
		p.What = fmt.Sprintf("the URL %q has a fragment", n.Value)
	default:
		*r = Remote{URL: n.Value, Pos: n.Pos}
		return
	}
	ps.Add(p)
}

// EncodeDoc writes the URL as it is read.
func (r Remote) EncodeDoc() *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Pos: r.Pos, Value: r.URL}
}

// DocSchema implements doc.SchemaWriter.
func (Remote) DocSchema() *doc.Schema { return text("a URL") }

// authKinds are the kinds of the full design.
func authKinds() []string {
	return []string{"jwt", "keys", "basic", "mtls", "introspect", "oidc", "call"}
}

// auth lowers one way of recognising callers; its key decides the kind.
func (l *loader) auth(e element, group string, ps *doc.Problems) {
	kind, config, ok := kinded{"auth", l.v.Auths, authKinds()}.read(e, ps)
	if ok {
		l.cfg.Auths = append(l.cfg.Auths, Auth{Name: e.name, Group: group, Kind: kind, Config: config, Origin: Origin{Pos: e.pos}})
	}
}

// auths checks the names and kinds of the ways of recognising callers.
func (c *validator) auths() {
	for i := range c.c.Auths {
		a := &c.c.Auths[i]
		if first, taken := c.ways[a.Name]; taken {
			c.twice("auth", a.Name, a.Origin, first.Origin)
			continue
		}
		if a.Origin.Object == "" && (!IsElementName(a.Name) || a.Name == Anonymous) {
			p := badName(a.Origin.at(), "way in auth", a.Name)
			if a.Name == Anonymous {
				p.Why, p.Fix = "on a route this word lets callers without a credential pass", "choose another name"
			}
			c.ps.Add(p)
		}
		c.ways[a.Name] = a
		if _, ok := find(c.v.Auths, a.Kind); !ok {
			c.add(a.Origin.at(), fmt.Sprintf("the auth %q is of the unknown kind %q", a.Name, a.Kind), "", suggest(a.Kind, kindNames(c.v.Auths), ""))
		}
		checkExpressions(a.Config, captured{open: true}, &c.ps) // on any route, whatever it captures
		c.certificates(a)
		c.remoteGrants(a)
		c.secretGrants(c.groups[a.Group], a.Config, a.Origin)
	}
}

// remoteGrants checks the URLs that a group makes the gateway call.
func (c *validator) remoteGrants(a *Auth) {
	g := c.groups[a.Group]
	if g == nil {
		return
	}
	for _, r := range found[Remote](a.Config) {
		u, err := url.Parse(r.URL)
		if err != nil || u.Host == "" {
			continue // there is none, or the problem has been reported
		}
		c.reach(r.at(a), a.Group, u.Host)
		if origin := u.Scheme + "://" + u.Host; !allows(g.Allow, origin, r.URL) {
			c.denied(r.at(a).at(), g, fmt.Sprintf("%q", origin), "allow")
		}
	}
}

// at returns where r was written, as precisely as is known.
func (r Remote) at(a *Auth) Origin {
	if r.Pos.Line > 0 {
		return Origin{Pos: r.Pos, Object: a.Origin.Object}
	}
	return a.Origin
}

// authNames checks that every way named by a filter of group exists, and belongs to no other group.
func (c *validator) authNames(config any, group string, from Origin) {
	for _, rule := range found[AuthRule](config) {
		for _, ways := range rule.AnyOf {
			for _, w := range ways {
				at := w.Pos
				if at.Line == 0 {
					at = from.at()
				}
				c.authName(w.Name, group, at)
			}
		}
	}
}

// wordsForNone are words that people write when they mean none.
func wordsForNone() []string { return []string{none, "off", "no", "false", "public", "open"} }

func (c *validator) authName(name, group string, at doc.Pos) {
	a, known := c.ways[name], c.wayNames[name] || c.partial
	switch {
	case a == nil && !known:
		names := slices.Concat(slices.Collect(maps.Keys(c.ways)), slices.Collect(maps.Keys(c.wayNames)))
		fix := suggest(name, names, fmt.Sprintf("write `auth:` at the top of a file and below it `%s:` with its kind, for example `jwt: https://id.example.com/`", name))
		if slices.Contains(wordsForNone(), strings.ToLower(name)) {
			fix = "write `auth: none` where nobody is asked"
		}
		c.add(at, fmt.Sprintf("there is no auth %q", name), knownWords(slices.Compact(slices.Sorted(slices.Values(names)))), fix)
	case a != nil && a.Group != "" && a.Group != group:
		c.add(at, fmt.Sprintf("the auth %q belongs to the group %q", name, a.Group), "the auth of one group is not for other groups", "declare it at the top, for everybody, or declare your own")
	}
}

// certificates warns of a way that recognises no caller because no listener asks for certificates.
func (c *validator) certificates(a *Auth) {
	asks := func(l Listener) bool { return l.TLS != nil && l.TLS.Client != NoClientAuth }
	if _, goesBy := a.Config.(Certified); !goesBy || c.partial || slices.ContainsFunc(c.c.Listeners, asks) {
		return
	}
	c.ps.Add(doc.Problem{
		Pos: a.Origin.at(), Severity: doc.Warning, What: fmt.Sprintf("no caller can pass auth %q", a.Name),
		Why: "no listener asks clients for a certificate", Fix: "write `client_ca` in the `tls` of a listener",
	})
}
