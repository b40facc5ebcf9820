package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// LambdaAPIName is the name of the listener that serves the API of AWS Lambda, and the key that declares it.
const LambdaAPIName = "lambda_api"

// LambdaAPI is the API of AWS Lambda for the config's own functions.
type LambdaAPI struct {
	Region  string      // the region that signatures must be for; "" any
	Account string      // the account in ARNs
	Aliases []string    // names under which each function can be invoked, in addition to $LATEST
	Keys    []AccessKey // nil: clients on this machine need none
	Origin  Origin
}

// Place returns the region and the account that functions see as their own. a may be nil.
func (a *LambdaAPI) Place() (region, account string) {
	if a == nil {
		return DefaultRegion, DefaultAccount
	}
	return cmp.Or(a.Region, DefaultRegion), cmp.Or(a.Account, DefaultAccount)
}

// AccessKey is a key that a client signs its requests with.
type AccessKey struct {
	ID     string
	Secret Secret
	Token  *Secret // of a temporary key; nil: the key is not temporary
	Origin Origin
}

// DefaultAccount is the account in ARNs of functions that run here.
const DefaultAccount = "000000000000"

// DefaultRegion is the region of functions that run here if none is named.
const DefaultRegion = "us-east-1"

// lambdaAPIForm is `lambda_api`: an address, or a map.
type lambdaAPIForm struct {
	Address string                    `doc:"address,required" help:"the address to listen on: 127.0.0.1:9001, or with keys any other" example:"127.0.0.1:9001"`
	Region  string                    `doc:"region" help:"the region of the functions, which signatures must be for; any region by default" example:"eu-west-1"`
	Account string                    `doc:"account" help:"the account in the functions' ARNs" example:"000000000000"`
	Aliases []string                  `doc:"aliases,oneormany" help:"qualifiers that clients may use; each of them names the single version of every function" example:"[live, prod]"`
	Keys    map[string]*accessKeyForm `doc:"keys" help:"clients that may call the API: access key ids, each with its secret; by default clients on this machine" example:"{ AKIDEXAMPLE: \"${env:LAMBDA_SECRET}\" }"`
	TLS     *tlsForm                  `doc:"tls" help:"certificates, and requirements for client certificates"`
	At      doc.Pos                   `doc:"-,pos"`
}

// accessKeyForm is a secret alone, or a map of secret and session token.
type accessKeyForm struct {
	Secret *Secret `doc:"secret,required" help:"the secret access key" example:"${env:LAMBDA_SECRET}"`
	Token  *Secret `doc:"token" help:"the session token that requests with a temporary key must carry" example:"${env:LAMBDA_TOKEN}"`
	At     doc.Pos `doc:"-,pos"`
}

func (f *lambdaAPIForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	nobody := doc.Problem{What: "there are no keys", Why: "so no client could ever call it", Fix: "for example `AKIDEXAMPLE: ${env:LAMBDA_SECRET}`, or leave keys out for clients on this machine"}
	decodeAPI(n, &f.At, &f.Address, (*plainLambdaAPI)(f), "keys", nobody, ps)
}

func (f *accessKeyForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		n = n.Under("secret")
	}
	doc.Decode(n, (*plainAccessKey)(f), ps)
}

// DocSchema implements doc.SchemaWriter.
func (lambdaAPIForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainLambdaAPI](text("an address")) }

// DocSchema implements doc.SchemaWriter.
func (accessKeyForm) DocSchema() *doc.Schema {
	return doc.SchemaOr[plainAccessKey](Secret{}.DocSchema())
}

// lambdaAPI lowers `lambda_api` to a listener of its own, which no route attaches to.
func (l *loader) lambdaAPI(f *file) {
	form := f.LambdaAPI
	if form == nil || !l.api(LambdaAPIName, form.Address, form.TLS, form.At) {
		return
	}
	origin := Origin{Pos: form.At}
	api := &LambdaAPI{Region: form.Region, Account: form.Account, Aliases: form.Aliases, Origin: origin}
	if api.Account == "" {
		api.Account = DefaultAccount
	}
	for _, id := range slices.Sorted(maps.Keys(form.Keys)) {
		if k := form.Keys[id]; k != nil && k.Secret != nil {
			api.Keys = append(api.Keys, AccessKey{ID: id, Secret: *k.Secret, Token: k.Token, Origin: Origin{Pos: k.At}})
		}
	}
	l.cfg.LambdaAPI = api
}

// lambdaAPI checks the API of AWS Lambda.
func (c *validator) lambdaAPI() {
	api := c.c.LambdaAPI
	if api == nil {
		return
	}
	at := api.Origin.at()
	if l := c.c.listenerOfAPI(LambdaAPIName); l != nil {
		c.lambdaListener(api, l)
	}
	const digits = 12
	if len(api.Account) != digits || strings.Trim(api.Account, "0123456789") != "" {
		c.add(at, fmt.Sprintf("%q is not an account", api.Account), "AWS's have 12 digits, and clients check it", "for example "+DefaultAccount)
	}
	if api.Region != "" && (strings.Trim(api.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || !strings.Contains(api.Region, "-")) {
		c.add(at, fmt.Sprintf("%q is not a region", api.Region), "", "for example eu-west-1")
	}
	for i, alias := range api.Aliases {
		switch {
		case !isAlias(alias):
			c.add(at, fmt.Sprintf("aliases: %q is not the name of an alias", alias), "AWS's are of letters, digits, '-' and '_', at most 128, and not a number alone, which is a version", "for example live")
		case slices.Contains(api.Aliases[:i], alias):
			c.add(at, fmt.Sprintf("aliases: %q appears twice", alias), "", "remove one of them")
		}
	}
	for _, k := range api.Keys {
		if k.ID == "" || strings.ContainsAny(k.ID, "/, =\t") {
			c.add(k.Origin.at(), fmt.Sprintf("%q is not an access key id", k.ID), "it is between slashes in every signature", "for example AKIDEXAMPLE")
		}
	}
}

// isAlias reports whether AWS would accept s as the name of an alias.
func isAlias(s string) bool {
	const most, digits = 128, "0123456789"
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return s != "" && len(s) <= most && strings.Trim(s, digits) != "" && strings.Trim(s, letters+digits+"-_") == ""
}

// lambdaListener checks that the API is not open by accident.
func (c *validator) lambdaListener(api *LambdaAPI, l *Listener) {
	at := api.Origin.at()
	c.alone(l, "whoever may call a route could reach every function")
	if address := c.c.addressOf(*l); !isLocal(address) && len(api.Keys) == 0 {
		c.add(at, fmt.Sprintf("the Lambda API listens on %s without keys", address), "other machines could run every function", "write `lambda_api:` with `address:` and `keys: {AKIDEXAMPLE: '${env:LAMBDA_SECRET}'}`, or listen on 127.0.0.1")
	}
}

// lambdaAPI prints the API with its listener.
func (e expander) lambdaAPI(c *Config) *doc.Node {
	api := c.LambdaAPI
	if api == nil {
		return nil
	}
	return e.api(c, LambdaAPIName, api.Origin, func(f *fields) {
		f.text("region", api.Region, "")
		from := ""
		if api.Account == DefaultAccount {
			from = builtIn
		}
		f.text("account", api.Account, from)
		f.texts("aliases", api.Aliases, "")
		if len(api.Keys) > 0 {
			keys := newFields()
			for _, k := range api.Keys {
				key := newFields()
				key.put("secret", k.Secret.EncodeDoc(), "")
				if k.Token != nil {
					key.put("token", k.Token.EncodeDoc(), "")
				}
				keys.put(k.ID, &key.Node, "")
			}
			f.put("keys", &keys.Node, "")
		}
	})
}
