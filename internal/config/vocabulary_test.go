package config_test

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// vocabulary is a small program's: every shape that config must handle, none of
// the real behaviour.
func vocabulary() config.Vocabulary {
	return config.Vocabulary{
		Filters: []config.Kind{
			{Name: "cors", Order: 2, New: func() any { return &corsConfig{} }},
			{Name: "auth", Order: 3, New: func() any { return &authConfig{} }},
			{Name: "bearer", Order: 4, New: func() any { return &bearerConfig{} }},
			{Name: "headers", Order: 10, PerBackend: true, New: func() any { return &headersConfig{} }},
			{Name: "rewrite", Order: 14, PerBackend: true, New: func() any { return &rewriteConfig{} }},
			{Name: "respond", Order: 16, PerBackend: true, New: func() any { return &respondConfig{} }},
			{Name: "redirect", Order: 16, PerBackend: true, New: func() any { return &redirectConfig{Status: 302} }},
		},
		Functions: []config.Kind{{Name: "run", New: func() any { return &runConfig{Scale: scaleConfig{Max: 4, Idle: time.Minute}} }}},
		Auths: []config.Kind{
			{Name: "jwt", New: func() any { return &jwtConfig{Leeway: time.Minute} }},
			{Name: "keys", New: func() any { return &keysConfig{} }},
		},
		Discoveries: []config.Kind{{Name: "k8s", New: func() any { return &k8sConfig{Resync: time.Hour} }}},
		Schemes: []config.Scheme{
			{Name: "http", Example: "http://users:8080"},
			{Name: "https", Example: "https://users"},
			{Name: "unix", Example: "unix:/run/app.sock", Check: func(ref config.Ref) error { return config.CheckUnixPath(ref.Rest) }},
			{Name: "k8s", Example: "k8s:shop/catalog:http", Check: checkK8s},
			{Name: "fn", Example: "fn:orders"},
			{Name: "dir", Example: "dir:./public"},
			config.ComposeScheme(),
			{Name: "lambda", Missing: "this build is without the AWS SDK; take the full build"},
		},
	}
}

func checkK8s(ref config.Ref) error {
	if strings.Count(ref.Rest, "/") != 1 || strings.Count(ref.Rest, ":") > 1 {
		return errors.New("it is namespace/service:port")
	}
	return nil
}

type corsConfig struct {
	Origins     []string `doc:"origins,required,oneormany" help:"origins whose pages may read responses" example:"https://shop.dev"`
	Credentials bool     `doc:"credentials" help:"whether requests may carry cookies"`
}

type bearerConfig struct {
	Token config.Secret `doc:"token,required" help:"the accepted token" example:"${env:TOKEN}"`
}

type authConfig struct {
	Who config.AuthRule `doc:"who,required" help:"the callers that may pass" example:"customer"`
}

func (c *authConfig) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Map {
		type long authConfig
		doc.Decode(n, (*long)(c), ps)
		return
	}
	c.Who.DecodeDoc(n, ps)
}

func (authConfig) DocSchema() *doc.Schema {
	type long authConfig
	return or(reflect.TypeFor[long]())
}

type k8sConfig struct {
	Kubeconfig string        `doc:"kubeconfig" help:"the file that describes how to reach the API server" example:"/etc/weir/kubeconfig"`
	Resync     time.Duration `doc:"resync" help:"how often everything is read again"`
}

type jwtConfig struct {
	JWT      config.Remote `doc:"jwt,required" help:"the issuer" example:"https://id.example.com/"`
	Audience []string      `doc:"audience,oneormany,required" help:"the accepted audiences of tokens" example:"shop"`
	Leeway   time.Duration `doc:"leeway" help:"how far clocks may differ"`
}

type keysConfig struct {
	Keys []config.Secret `doc:"keys,required,oneormany" help:"keys" example:"${env:KEY}"`
}

type headersConfig struct {
	Set   map[string]string `doc:"set" help:"fields to set"`
	Value *config.Expr      `doc:"value" help:"a computed value"`
}

func (c *headersConfig) Expressions() []config.Expression {
	return []config.Expression{{Expr: c.Value, Field: "value", Scope: expr.Request | expr.Response}}
}

type rewriteConfig struct {
	Path  string `doc:"path" help:"the path to send"`
	Strip string `doc:"strip" help:"the prefix to remove from the path"`
	Host  string `doc:"host" help:"the host to send"`
}

func (c *rewriteConfig) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long rewriteConfig
	doc.Decode(n, (*long)(c), ps)
	if c.Path == "" {
		return
	}
	if _, err := template.Parse(c.Path); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: "path: " + err.Error()})
	}
}

// or is a short form, or the long one.
func or(long reflect.Type) *doc.Schema {
	return &doc.Schema{AnyOf: []*doc.Schema{{Type: doc.Types{"string", "number"}}, doc.SchemaOf(long)}}
}

func (rewriteConfig) DocSchema() *doc.Schema {
	type long rewriteConfig
	return or(reflect.TypeFor[long]())
}

func (respondConfig) DocSchema() *doc.Schema {
	type long respondConfig
	return or(reflect.TypeFor[long]())
}

func (redirectConfig) DocSchema() *doc.Schema {
	type long redirectConfig
	return or(reflect.TypeFor[long]())
}

type respondConfig struct {
	Status int    `doc:"status,required" help:"the status" example:"204"`
	Body   string `doc:"body" help:"the body"`
}

func (c *respondConfig) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		doc.Decode(n, &c.Status, ps)
		return
	}
	type long respondConfig
	doc.Decode(n, (*long)(c), ps)
}

type redirectConfig struct {
	To     string `doc:"to,required" help:"the target"`
	Status int    `doc:"status" help:"the status"`
}

func (c *redirectConfig) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		doc.Decode(n, &c.To, ps)
		return
	}
	type long redirectConfig
	doc.Decode(n, (*long)(c), ps)
}

type runConfig struct {
	Run   string      `doc:"run,required" help:"the program to start" example:"./functions/orders"`
	Scale scaleConfig `doc:"scale" help:"the number of instances"`
}

type scaleConfig struct {
	Max  int           `doc:"max" help:"the most instances"`
	Idle time.Duration `doc:"idle" help:"time until an unused instance is stopped"`
}
