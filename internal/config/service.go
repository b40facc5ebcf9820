package config

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// serviceForm is a service: its source alone, a list of its addresses, or a map.
type serviceForm struct {
	Source    *doc.Node      `doc:"source" help:"the source that its endpoints are discovered from" example:"k8s:shop/catalog:http"`
	Endpoints []endpointForm `doc:"endpoints,oneormany" help:"its addresses, if they are fixed" example:"[10.0.0.1:8080]"`
	Protocol  string         `doc:"protocol" help:"http, h2c, h2 or grpc; the source's by default" example:"h2c"`
	TLS       *clientTLSForm `doc:"tls" help:"how the endpoints' identity is verified; no TLS by default"`
	Resolver  *resolverForm  `doc:"resolver" help:"how names among its endpoints are resolved" example:"10.0.0.2"`
	Announce  string         `doc:"proxy_protocol" help:"whether to tell endpoints the client's address in a PROXY header: v1 or v2" example:"v2"`
	Timeout   timeoutsForm   `doc:"timeout" help:"the time for the whole request, or for each part"`
	Retry     *retryForm     `doc:"retry" help:"retries after a failed attempt" example:"2"`
	Balance   *balanceForm   `doc:"balance" help:"how an endpoint is chosen: a method, or a map" example:"least-requests"`
	Breaker   *breakerForm   `doc:"breaker" help:"when to stop sending requests: the share of failures, or a map; never by default" example:"50%"`
	Health    *healthForm    `doc:"health" help:"how to check the endpoints' health: a path, tcp, grpc, or a map; no checks by default" example:"/healthz"`
	Outlier   *outlierForm   `doc:"outlier" help:"when an endpoint is ejected for its failures: how many in a row, a map, or none" example:"5"`
	Hold      *holdForm      `doc:"hold" help:"how long requests wait while there is no endpoint; 2s by default" example:"5s"`
	Panic     *panicForm     `doc:"panic" help:"the share of healthy endpoints below which health is ignored, or none; 50% by default" example:"30%"`
}

func (s *serviceForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Scalar:
		s.Source = n
	case doc.List:
		doc.Decode(n.Under("endpoints"), (*plainService)(s), ps)
	default:
		doc.Decode(n, (*plainService)(s), ps)
	}
}

// endpointForm is an address alone, or a map of address, weight and zone.
type endpointForm struct {
	Address string  `doc:"address,required" help:"host:port, or unix:/path" example:"10.0.0.1:8080"`
	Weight  int     `doc:"weight" help:"its weight, relative to the other endpoints; 1 by default"`
	Zone    string  `doc:"zone" help:"the zone that the endpoint is in"`
	At      doc.Pos `doc:"-,pos"`
}

func (e *endpointForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	e.Weight, e.At = 1, n.Pos
	if n.Kind == doc.Scalar {
		doc.Decode(n, &e.Address, ps)
		return
	}
	doc.Decode(n, (*plainEndpoint)(e), ps)
}

// from returns the origin of an endpoint. If the service comes from an object, so does the endpoint.
func (e Endpoint) from(s *Service) Origin {
	if s.Origin.Object != "" {
		return s.Origin
	}
	return e.Origin
}

// clientTLSForm says how Weir calls endpoints over TLS.
type clientTLSForm struct {
	Name string      `doc:"name" help:"the name to request (SNI) and verify; the endpoint's host by default" example:"users.internal"`
	CA   *FileSecret `doc:"ca" help:"authorities in PEM: a file, or a secret; the system's by default" example:"/etc/weir/ca.crt"`
	SANs []string    `doc:"sans,oneormany" help:"names, at least one of which the certificate must have"`
	Cert *FileSecret `doc:"cert" help:"the certificate to present to endpoints, with its chain in PEM: a file, or a secret" example:"/etc/weir/client.crt"`
	Key  *FileSecret `doc:"key" help:"its private key in PEM: a file, or a secret" example:"/etc/weir/client.key"`
	At   doc.Pos     `doc:"-,pos"`
}

func (t *clientTLSForm) tls(ps *doc.Problems) *ClientTLS {
	if t == nil {
		return nil
	}
	made := &ClientTLS{ServerName: t.Name, CA: (*Secret)(t.CA), SANs: t.SANs}
	switch {
	case t.Cert != nil && t.Key != nil:
		made.Certificate = &Certificate{Cert: Secret(*t.Cert), Key: Secret(*t.Key), Origin: Origin{Pos: t.At}}
	case t.Cert != nil:
		ps.Add(doc.Problem{Pos: t.At, What: "tls has a certificate without its key", Fix: "add `key: /etc/weir/client.key`"})
	case t.Key != nil:
		ps.Add(doc.Problem{Pos: t.At, What: "tls has a key without its certificate", Fix: "add `cert: /etc/weir/client.crt`"})
	}
	return made
}

func (l *loader) service(e element, group string, ps *doc.Problems) {
	var own doc.Problems
	var form serviceForm
	doc.Decode(e.node, &form, &own)
	s := Service{
		Name: e.name, Group: group, Origin: Origin{Pos: e.pos}, Protocol: form.Protocol, TLS: form.TLS.tls(&own), Announce: form.Announce,
		Resolver: form.Resolver.resolver(&own), Timeouts: form.Timeout.timeouts(), Retry: form.Retry.retry(),
		Balance: form.Balance.balance(), Breaker: form.Breaker.breaker(),
		Health: form.Health.health(), Outlier: form.Outlier.outlier(), Hold: form.Hold.hold(), Panic: form.Panic.share(),
	}
	for _, at := range form.Endpoints {
		s.Endpoints = append(s.Endpoints, Endpoint{Address: at.Address, Weight: at.Weight, Zone: at.Zone, Origin: Origin{Pos: at.At}})
	}
	if form.Source != nil {
		s.Source = l.source(form.Source, e.name, group, &own)
	}
	ps.Join(&own)
	if !own.Failed() {
		l.cfg.Services = append(l.cfg.Services, s)
	}
}

// source reads where to find a service's endpoints.
func (l *loader) source(n *doc.Node, name, group string, ps *doc.Problems) Ref {
	t, ok := passingOn(n, group, l.v, ps)
	switch {
	case !ok:
		return Ref{}
	case t.answer.Key != "":
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the service %q is an answer, not a place", name), Fix: fmt.Sprintf("write `to: %s` on the route", n.Value)})
	case t.path != nil:
		ps.Add(doc.Problem{Pos: t.path.Pos, What: fmt.Sprintf("the service %q has a path", name), Why: "a service is where requests go; the route says which path they have", Fix: fmt.Sprintf("write the service as %s, and on its routes `rewrite: %s/**` or another path to send", t.ref, strings.TrimSuffix(t.path.Value, "/**"))})
	case t.ref.Scheme == "":
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the service %q is another name, %q", name, t.ref.Rest), Why: "a service is a URL with a scheme or a list of addresses", Fix: fmt.Sprintf("for example `%s: http://%s:8080`", name, t.ref.Rest)})
	case t.ref.Scheme == functionScheme || l.v.isInlined(t.ref.Scheme):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the service %q is a function", name), Why: "a function has no endpoints", Fix: fmt.Sprintf("name %s under to", t.ref)})
	}
	return t.ref
}

// functionScheme is the scheme of references to functions of the config.
const functionScheme = "fn"

// lambdaScheme is the scheme of functions of AWS Lambda, declared in the config or not.
const lambdaScheme = "lambda"

// azureScheme is the scheme of apps of Azure Functions, and of single functions of them.
const azureScheme = "azure"
