package expr

import (
	"net/url"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// source says where a fields map reads its values.
type source uint8

const (
	fromHeaders source = iota
	fromCookies
	fromQuery
	fromPath
	fromResponse
	fromGiven // the cookies that a response sets
)

// fields is a map of strings in which every name has a value: "" for a missing name. It reads the request on demand and
// stores nothing. It deliberately does not implement traits.Mapper, because CEL asks a Mapper whether a key is present
// and makes a missing key an error.
type fields struct {
	run    *run
	source source
	head   exchange.Head // for fromResponse and fromGiven; nil: no fields
}

// find returns the value of a name, and whether the name is present.
func (f *fields) find(name string) (string, bool) {
	switch f.source {
	case fromHeaders:
		if strings.EqualFold(name, "Host") {
			return clientHost(f.run), true // net/http keeps it separately
		}
		return headerValue(exchange.RequestHead(f.run.in.Request), name)
	case fromResponse:
		return headerValue(f.head, name)
	case fromGiven:
		return givenCookie(f.head, name)
	case fromCookies:
		return cookieValue(exchange.RequestHead(f.run.in.Request), name)
	case fromQuery:
		return httpx.QueryLookup(f.run.x.Query, name)
	case fromPath:
		return f.run.x.Params.Get(name)
	default:
		return "", false
	}
}

// headerValue joins the values of a header field (RFC 9110 section 5.3).
func headerValue(head exchange.Head, name string) (string, bool) {
	if head == nil {
		return "", false
	}
	switch values := head.Values(name); len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	default:
		return strings.Join(values, ", "), true
	}
}

// cookieValue returns the first cookie of that name.
func cookieValue(head exchange.Head, name string) (string, bool) {
	for _, field := range head.Values("Cookie") {
		if value, ok := httpx.CookieLookup(field, name); ok {
			return value, true
		}
	}
	return "", false
}

// givenCookie returns the value of the last cookie of that name that a response sets. Browsers keep the last one.
func givenCookie(head exchange.Head, name string) (value string, found bool) {
	for _, line := range head.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(line, ";")
		if got, ok := httpx.CookieLookup(pair, name); ok {
			value, found = got, true
		}
	}
	return value, found
}

// names lists the names that are present, sorted and without duplicates.
func (f *fields) names() []string {
	var list []string
	switch f.source {
	case fromHeaders, fromResponse:
		head := f.head
		if f.source == fromHeaders {
			head = exchange.RequestHead(f.run.in.Request)
		}
		if head == nil {
			return nil
		}
		for _, name := range head.Names() {
			list = append(list, strings.ToLower(name))
		}
	case fromGiven:
		for _, line := range f.head.Values("Set-Cookie") {
			pair, _, _ := strings.Cut(line, ";")
			list = appendCookieNames(list, pair)
		}
	case fromCookies:
		for _, field := range exchange.RequestHead(f.run.in.Request).Values("Cookie") {
			list = appendCookieNames(list, field)
		}
	case fromQuery:
		for pair := range strings.SplitSeq(f.run.x.Query, "&") {
			if key, _, _ := strings.Cut(pair, "="); pair != "" {
				list = append(list, decodedName(key))
			}
		}
	case fromPath:
		for i := range f.run.x.Params.Len() {
			list = append(list, f.run.x.Params.At(i).Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// appendCookieNames appends the names of the cookies in a header field.
func appendCookieNames(list []string, field string) []string {
	for pair := range strings.SplitSeq(field, ";") {
		if name, _, ok := strings.Cut(strings.Trim(pair, " \t"), "="); ok {
			list = append(list, name)
		}
	}
	return list
}

// decodedName decodes the name of a query parameter. A name that cannot be decoded stays as it is.
func decodedName(key string) string {
	if name, err := url.QueryUnescape(key); err == nil {
		return name
	}
	return key
}

// native copies the map, because the map must not outlive the evaluation.
func (f *fields) native() map[string]any {
	m := make(map[string]any)
	for _, name := range f.names() {
		m[name], _ = f.find(name)
	}
	return m
}

// Get implements traits.Indexer.
func (f *fields) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	value, _ := f.find(string(name))
	return types.String(value)
}

// IsSet implements traits.FieldTester: has(request.headers.x).
func (f *fields) IsSet(key ref.Val) ref.Val { return f.Contains(key) }

// Contains implements traits.Container: 'x' in request.headers.
func (f *fields) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	_, found := f.find(string(name))
	return types.Bool(found)
}

// Size implements traits.Sizer.
func (f *fields) Size() ref.Val { return types.Int(len(f.names())) }

// Iterator implements traits.Iterable.
func (f *fields) Iterator() traits.Iterator {
	it, _ := types.NewStringList(adapter{}, f.names()).(traits.Iterable)
	return it.Iterator()
}

// Equal implements ref.Val.
func (f *fields) Equal(other ref.Val) ref.Val { return f.copied().Equal(other) }

func (f *fields) copied() ref.Val { return types.NewStringInterfaceMap(adapter{}, f.native()) }

// Type implements ref.Val.
func (f *fields) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (f *fields) Value() any { return f.native() }

// ConvertToType implements ref.Val.
func (f *fields) ConvertToType(t ref.Type) ref.Val { return f.copied().ConvertToType(t) }

// ConvertToNative implements ref.Val.
func (f *fields) ConvertToNative(t reflect.Type) (any, error) { return f.copied().ConvertToNative(t) }
