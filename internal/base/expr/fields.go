package expr

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// source says where the values of a fields map are.
type source uint8

const (
	fromHeaders source = iota
	fromCookies
	fromQuery
	fromPath
	fromResponse
)

// fields is a map of strings in which every name has a value: "" where there is
// none. It reads the request when it is asked and holds nothing. It is on
// purpose no traits.Mapper, for CEL asks one whether a key is there and
// then makes a missing one an error.
type fields struct {
	run    *run
	source source
	head   exchange.Head // of fromResponse
}

// find gives the value of a name and whether it is there.
func (f *fields) find(name string) (string, bool) {
	switch f.source {
	case fromHeaders:
		if strings.EqualFold(name, "Host") {
			return clientHost(f.run), true // net/http keeps it apart
		}
		return headerValue(exchange.RequestHead(f.run.in.Request), name)
	case fromResponse:
		return headerValue(f.head, name)
	case fromCookies:
		return cookieValue(exchange.RequestHead(f.run.in.Request), name)
	case fromQuery:
		return queryValue(f.run.x.Query, name)
	case fromPath:
		return f.run.x.Params.Get(name)
	default:
		return "", false
	}
}

// headerValue joins the values of a field (RFC 9110 section 5.3).
func headerValue(head exchange.Head, name string) (string, bool) {
	switch values := head.Values(name); len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	default:
		return strings.Join(values, ", "), true
	}
}

// cookieValue gives the first cookie of that name (RFC 6265 section 5.4),
// without the double quotes that may stand around its value.
func cookieValue(head exchange.Head, name string) (string, bool) {
	for cookie, value := range cookies(head) {
		if cookie == name {
			return value, true
		}
	}
	return "", false
}

func cookies(head exchange.Head) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, line := range head.Values("Cookie") {
			for pair := range strings.SplitSeq(line, ";") {
				name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
				if !ok {
					continue
				}
				if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
					value = value[1 : n-1]
				}
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// queryValue gives the first value of a name, decoded. What cannot be decoded
// stays as it is.
func queryValue(query, name string) (string, bool) {
	for key, value := range pairs(query) {
		if key == name || strings.ContainsAny(key, "%+") && decoded(key) == name {
			return decoded(value), true
		}
	}
	return "", false
}

// pairs yields the names and values of a query, still encoded.
func pairs(query string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for pair := range strings.SplitSeq(query, "&") {
			key, value, _ := strings.Cut(pair, "=")
			if pair != "" && !yield(key, value) {
				return
			}
		}
	}
}

func decoded(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// names lists what is there, each once and sorted.
func (f *fields) names() []string {
	var list []string
	switch f.source {
	case fromHeaders, fromResponse:
		head := f.head
		if f.source == fromHeaders {
			head = exchange.RequestHead(f.run.in.Request)
		}
		for name := range head.All() {
			list = append(list, strings.ToLower(name))
		}
	case fromCookies:
		for name := range cookies(exchange.RequestHead(f.run.in.Request)) {
			list = append(list, name)
		}
	case fromQuery:
		for key := range pairs(f.run.x.Query) {
			list = append(list, decoded(key))
		}
	case fromPath:
		for i := range f.run.x.Params.Len() {
			list = append(list, f.run.x.Params.At(i).Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// native copies the map, for it must not outlive the evaluation.
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

// steps is the variable steps; it is the run itself.
type steps run

// Get implements traits.Indexer.
func (s *steps) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	if s.in.Steps != nil {
		if result, done := s.in.Steps(string(name)); done {
			return &step{result}
		}
	}
	return types.NewErr("step %s has no result", string(name))
}

// Type implements ref.Val.
func (s *steps) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (s *steps) Value() any { return s }

// Equal implements ref.Val.
func (s *steps) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(s) == other) }

// ConvertToType implements ref.Val.
func (s *steps) ConvertToType(ref.Type) ref.Val { return types.NewErr("steps are no other value") }

// ConvertToNative implements ref.Val.
func (s *steps) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("steps are no %v", t)
}

// step is the result of one step.
type step struct{ result StepResult }

func (s *step) field(name string) any {
	switch name {
	case "status":
		return types.Int(s.result.Status)
	case "headers":
		return &fields{source: fromResponse, head: exchange.MapHead(headerOf(s.result))}
	default:
		return adapter{}.NativeToValue(s.result.Body)
	}
}

func headerOf(result StepResult) http.Header {
	if result.Header == nil {
		return http.Header{}
	}
	return result.Header
}

// Type implements ref.Val.
func (s *step) Type() ref.Type { return celStep }

// Value implements ref.Val; the getters of the type's fields are given it.
func (s *step) Value() any { return s }

// Equal implements ref.Val.
func (s *step) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(s) == other) }

// ConvertToType implements ref.Val.
func (s *step) ConvertToType(ref.Type) ref.Val { return types.NewErr("a step is no other value") }

// ConvertToNative implements ref.Val.
func (s *step) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a step is no %v", t)
}
