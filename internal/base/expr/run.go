package expr

import (
	"fmt"
	"reflect"
	"slices"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// run is one evaluation. It looks variables up on demand. Runs are pooled, and nothing that belongs to a run may be
// retained after end. Its fields maps are values that point back to it, so that returning one costs nothing.
type run struct {
	in *Input
	x  *exchange.Exchange

	headers, cookies, query, path, responseHeaders, responseCookies fields
	identity                                                        identity
	requestBody, responseBody                                       ref.Val // set once they were read
}

var runs = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is no state
	r := new(run)
	r.identity.run = r
	for kind, f := range map[source]*fields{
		fromHeaders: &r.headers, fromCookies: &r.cookies, fromQuery: &r.query, fromPath: &r.path, fromResponse: &r.responseHeaders, fromGiven: &r.responseCookies,
	} {
		f.run, f.source = r, kind
	}
	return r
}}

func begin(in *Input) *run {
	r, _ := runs.Get().(*run)
	r.in = in
	if in.Request != nil {
		r.x = exchange.Of(in.Request)
	}
	return r
}

func (r *run) end() {
	r.in, r.x = nil, nil
	r.responseHeaders.head, r.responseCookies.head, r.requestBody, r.responseBody = nil, nil, nil, nil
	runs.Put(r)
}

// Parent returns nil: there is no outer set of variables.
func (r *run) Parent() interpreter.Activation { return nil }

// ResolveName returns the value of a variable.
func (r *run) ResolveName(name string) (any, bool) {
	if r.in.Request != nil {
		if v, ok := r.requestVariable(name); ok {
			return v, true
		}
		if v, ok := r.authVariable(name); ok {
			return v, true
		}
	}
	switch name {
	case "response.status":
		if r.in.Response != nil {
			return types.Int(r.in.Response.StatusCode), true
		}
	case "response.headers":
		if r.in.Response != nil {
			r.responseHeaders.head = exchange.ResponseHead(r.in.Response)
			return &r.responseHeaders, true
		}
	case "response.cookies":
		if r.in.Response != nil {
			r.responseCookies.head = exchange.ResponseHead(r.in.Response)
			return &r.responseCookies, true
		}
	case responseBody:
		return once(&r.responseBody, r.in.ResponseBody), true
	case stepsName:
		return (*steps)(r), true
	case itemName:
		return adapter{}.NativeToValue(r.in.Item), true
	}
	return nil, false
}

func (r *run) requestVariable(name string) (any, bool) {
	x := r.x
	switch name {
	case "request.method":
		return types.String(r.in.Request.Method), true
	case "request.path":
		return types.String(x.Path), true
	case requestQuery:
		return types.String(x.Query), true
	case "request.headers":
		return &r.headers, true
	case "request.cookies":
		return &r.cookies, true
	case "request.host":
		return types.String(clientHost(r)), true
	case "request.scheme", "client.scheme":
		return types.String(x.Client.Scheme), true
	case requestBody:
		return once(&r.requestBody, r.in.RequestBody), true
	case "request.id":
		return types.String(x.RequestID()), true
	case pathName:
		return &r.path, true
	case queryName:
		if err := httpx.CheckQuery(x.Query); err != nil {
			return types.WrapErr(err), true
		}
		return &r.query, true
	case hostName:
		return types.String(x.Host), true
	case "client.ip":
		return clientIP(x), true
	default:
		return nil, false
	}
}

// clientHost returns the authority as the client sent it.
func clientHost(r *run) string {
	if r.x.Client.Host != "" {
		return r.x.Client.Host
	}
	return r.in.Request.Host
}

// clientIP returns the client's address, or "" for a Unix socket.
func clientIP(x *exchange.Exchange) types.String {
	if !x.Client.IP.IsValid() {
		return ""
	}
	return types.String(x.Client.IP.Unmap().String())
}

func (r *run) authVariable(name string) (any, bool) {
	id := r.x.Identity
	if id == nil {
		id = &nobody
	}
	switch name {
	case authName:
		return &r.identity, true
	case "auth.sub":
		return types.String(id.Subject), true
	case "auth.iss":
		return types.String(id.Issuer), true
	case "auth.id":
		if r.x.Identity == nil {
			return types.String(""), true
		}
		return types.String(id.ID()), true
	case "auth.method":
		return types.String(id.Method), true
	case "auth.scopes":
		return types.NewStringList(adapter{}, id.Scopes), true
	case authClaims:
		return types.NewStringInterfaceMap(adapter{}, id.Claims.All()), true
	default:
		return nil, false
	}
}

// nobody is the identity of a caller that was not authenticated. It is read-only.
var nobody exchange.Identity

// once reads a body at its first use.
func once(into *ref.Val, read func() (any, error)) ref.Val {
	if *into == nil {
		*into = body(read)
	}
	return *into
}

// body returns a decoded body as a CEL value, or an error value.
func body(read func() (any, error)) ref.Val {
	if read == nil {
		return types.NewErr("there is no body to read here")
	}
	tree, err := read()
	if err != nil {
		return types.WrapErr(err)
	}
	return adapter{}.NativeToValue(tree)
}

// identity is the variable auth itself, which has only methods.
type identity struct{ run *run }

func (i *identity) Type() ref.Type { return celAuth }
func (i *identity) Value() any     { return i }
func (i *identity) Equal(other ref.Val) ref.Val {
	return types.Bool(i == other)
}

func (i *identity) ConvertToType(ref.Type) ref.Val {
	return types.NewErr("the identity is no other value")
}

func (i *identity) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("the identity is no %v", t)
}

// hasScope implements auth.has('scope').
func hasScope(who, scope ref.Val) ref.Val {
	i, ok := who.(*identity)
	want, isText := scope.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(scope)
	}
	id := i.run.x.Identity
	if id == nil {
		return types.False
	}
	return types.Bool(slices.Contains(id.Scopes, string(want)))
}
