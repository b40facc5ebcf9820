package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// RegistryName is the name of the listener that serves the registry, and the key that declares it.
const RegistryName = "registry"

// Registry is the registry in which services register themselves.
type Registry struct {
	Tokens  []RegistryToken // nil: clients on this machine may register without one
	Reading Reading
	// Allow holds addresses of instances that are otherwise refused: addresses of this machine, link-local addresses
	// and the metadata addresses of clouds.
	Allow  []netip.Prefix
	Limits registry.Limits
	Origin Origin
}

// RegistryToken is the token that an instance shows to register.
type RegistryToken struct {
	Name   string
	Secret Secret // the token, or its digest
	// Services are patterns of the services that the token may write; `*` stands for any text. nil: all services.
	Services []string
	// Addresses are the addresses that the token may register, in addition to that of its own connection.
	Addresses []netip.Prefix
	Origin    Origin
}

// Reading says who may read a registry.
type Reading string

// The permitted readers.
const (
	AnyoneReads Reading = "anyone" // anyone who reaches the registry
	TokensRead  Reading = "tokens" // holders of any token, whatever it may write
)

// registryForm is `registry`: an address, or a map.
type registryForm struct {
	Address string                        `doc:"address,required" help:"the address to listen on" example:"127.0.0.1:9090"`
	Tokens  map[string]*registryTokenForm `doc:"tokens" help:"clients that may register: names, each with its token; by default clients on this machine" example:"{ deploy: \"${env:DEPLOY_TOKEN}\" }"`
	Reading string                        `doc:"reading" help:"the clients that may read: anyone (that can reach the registry), or tokens (those that present one)" example:"tokens"`
	Allow   []Prefix                      `doc:"allow,oneormany" help:"addresses that instances may have although they are otherwise refused: those of this machine, link-local ones, and those where a cloud serves its secrets" example:"[169.254.0.0/16]"`
	Limits  *registryLimitsForm           `doc:"limits" help:"how much the registry keeps"`
	TLS     *tlsForm                      `doc:"tls" help:"certificates, and requirements for client certificates"`
	At      doc.Pos                       `doc:"-,pos"`
}

// registryTokenForm is a token alone, or a map with what it may do.
type registryTokenForm struct {
	Token     *Secret  `doc:"token,required" help:"a reference to the token, or its digest sha256:..." example:"${env:DEPLOY_TOKEN}"`
	Services  []string `doc:"services,oneormany" help:"patterns of the services that it may register; all by default" example:"[users, shop-*]"`
	Addresses []Prefix `doc:"addresses,oneormany" help:"addresses that it may register, in addition to the address of its own connection" example:"[10.0.0.0/8]"`
	At        doc.Pos  `doc:"-,pos"`
}

// registryLimitsForm is `limits` of a registry.
type registryLimitsForm struct {
	Services  int      `doc:"services" help:"services that have at least one instance" example:"5000"`
	Instances int      `doc:"instances" help:"instances of all services together" example:"50000"`
	Service   int      `doc:"service" help:"instances of one service" example:"2000"`
	Bytes     doc.Size `doc:"bytes" help:"size of the data that instances register about themselves" example:"64MiB"`
	Watchers  int      `doc:"watchers" help:"clients that watch changes at once" example:"1000"`
}

func formOfHolding(l registry.Limits) registryLimitsForm {
	return registryLimitsForm{Services: l.Services, Instances: l.Instances, Service: l.Service, Bytes: doc.Size(l.Bytes), Watchers: l.Watchers}
}

func (f *registryLimitsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*f = formOfHolding(registry.DefaultLimits())
	doc.Decode(n, (*plainHolding)(f), ps)
}

func (f *registryForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	nobody := doc.Problem{What: "there are no tokens", Why: "so no client could ever register", Fix: "for example `deploy: ${env:DEPLOY_TOKEN}`, or leave tokens out for clients on this machine"}
	decodeAPI(n, &f.At, &f.Address, (*plainRegistry)(f), "tokens", nobody, ps)
}

func (f *registryTokenForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		n = n.Under("token")
	}
	if services := n.Get("services"); services != nil && services.Kind == doc.List && len(services.Items) == 0 {
		ps.Add(doc.Problem{Pos: services.Pos, What: "this token allows no service", Why: "so it could register nothing", Fix: "name services, for example `services: [users, shop-*]`, or leave services out for all"})
	}
	doc.Decode(n, (*plainToken)(f), ps)
}

// DocSchema implements doc.SchemaWriter.
func (registryForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainRegistry](text("an address")) }

// DocSchema implements doc.SchemaWriter.
func (registryTokenForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainToken](Secret{}.DocSchema())
}

// DocSchema implements doc.SchemaWriter.
func (registryLimitsForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainHolding]() }

// registry lowers `registry` to a listener of its own, which no route attaches to.
func (l *loader) registry(f *file) {
	form := f.Registry
	if form == nil || !l.api(RegistryName, form.Address, form.TLS, form.At) {
		return
	}
	origin := Origin{Pos: form.At}
	r := &Registry{Reading: cmp.Or(Reading(form.Reading), AnyoneReads), Allow: prefixes(form.Allow), Limits: registry.DefaultLimits(), Origin: origin}
	if m := form.Limits; m != nil {
		r.Limits = registry.Limits{Services: m.Services, Instances: m.Instances, Service: m.Service, Bytes: int64(m.Bytes), Watchers: m.Watchers}
	}
	for _, name := range slices.Sorted(maps.Keys(form.Tokens)) {
		if t := form.Tokens[name]; t != nil && t.Token != nil {
			r.Tokens = append(r.Tokens, RegistryToken{Name: name, Secret: *t.Token, Services: t.Services, Addresses: prefixes(t.Addresses), Origin: Origin{Pos: t.At}})
		}
	}
	l.cfg.Registry = r
}

// registry checks the registry.
func (c *validator) registry() {
	r := c.c.Registry
	if r == nil {
		return
	}
	at := r.Origin.at()
	if l := c.c.listenerOfAPI(RegistryName); l != nil {
		c.alone(l, "whoever may call a route could register instances")
		if address := c.c.addressOf(*l); !isLocal(address) && len(r.Tokens) == 0 {
			c.ps.Add(doc.Problem{
				Pos: at, Severity: doc.Warning, What: fmt.Sprintf("the registry listens on %s without tokens", address),
				Why: "other machines can read it, but register nothing", Fix: "write `registry:` with `address:` and `tokens: {deploy: '${env:DEPLOY_TOKEN}'}`, or listen on 127.0.0.1",
			})
		}
	}
	switch {
	case r.Reading != AnyoneReads && r.Reading != TokensRead:
		c.add(at, fmt.Sprintf("reading is %q", r.Reading), "it says who may read the registry", "write anyone, or tokens for those who show one")
	case r.Reading == TokensRead && len(r.Tokens) == 0:
		c.add(at, "reading is for tokens, and there are none", "so nobody could read", "add tokens")
	}
	most := registry.MostLimits()
	for _, bound := range []struct {
		key         string
		value, most int64
	}{
		{"services", int64(r.Limits.Services), int64(most.Services)},
		{"instances", int64(r.Limits.Instances), int64(most.Instances)},
		{"service", int64(r.Limits.Service), int64(most.Service)},
		{"bytes", r.Limits.Bytes, most.Bytes},
		{"watchers", int64(r.Limits.Watchers), int64(most.Watchers)},
	} {
		switch {
		case bound.value < 1:
			c.add(at, fmt.Sprintf("the limit %q of the registry is too low to keep anything", bound.key), "", "make it 1 or more")
		case bound.value > bound.most:
			c.add(at, fmt.Sprintf("the limit %q of the registry is too high to bound anything", bound.key), "entries are kept in memory", fmt.Sprintf("make it %d or less", bound.most))
		}
	}
	for _, t := range r.Tokens {
		for _, s := range t.Services {
			if s == "" || registry.CheckName("services", strings.ReplaceAll(s, "*", "a")) != nil {
				c.add(t.Origin.at(), fmt.Sprintf("%q is not a pattern of services", s), "names have letters, digits and, after the first, - . _ :; * stands for any text", "for example shop-*")
			}
		}
	}
}

// tokenNode prints a token in the form that is read. A digest is not secret.
func tokenNode(s Secret) *doc.Node {
	if len(s.Parts) == 1 && s.Parts[0].Source == "" && strings.HasPrefix(s.Parts[0].Text, "sha256:") {
		return &doc.Node{Kind: doc.Scalar, Pos: s.Pos, Value: s.Parts[0].Text}
	}
	return s.EncodeDoc()
}

// registry prints the registry with its listener.
func (e expander) registry(c *Config) *doc.Node {
	r := c.Registry
	if r == nil {
		return nil
	}
	return e.api(c, RegistryName, r.Origin, func(f *fields) {
		if len(r.Tokens) > 0 {
			tokens := newFields()
			for _, t := range r.Tokens {
				token := newFields()
				token.put("token", tokenNode(t.Secret), "")
				token.texts("services", t.Services, "")
				token.put("addresses", list(t.Addresses, prefixNode), "")
				tokens.put(t.Name, &token.Node, "")
			}
			f.put("tokens", &tokens.Node, "")
		}
		from := ""
		if r.Reading == AnyoneReads {
			from = builtIn
		}
		f.text("reading", string(r.Reading), from)
		f.put("allow", list(r.Allow, prefixNode), "")
		from = ""
		if r.Limits == registry.DefaultLimits() {
			from = builtIn
		}
		f.put("limits", doc.EncodeNode(formOfHolding(r.Limits)), from)
	})
}
