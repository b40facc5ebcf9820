package batch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// request is a part as the client requested it.
type request struct {
	id      string
	method  string
	target  string // path and query, as in a request line
	url     *url.URL
	fields  []exchange.Field
	body    []byte // nil: none
	depends []int  // earlier parts that must have succeeded
}

// read reads a batch in the format of OData 4.01's JSON batches (section 19), as far as the README says. Nothing runs
// before the whole batch is understood.
func (b *batch) read(text []byte) ([]request, *fault.Fault) {
	all, err := jsonx.Parse(text, jsonx.Options{MaxBytes: int(b.config.Body), Unique: true})
	if err != nil {
		if syntax, ok := errors.AsType[*jsonx.SyntaxError](err); ok {
			return nil, malformed("The body is not JSON: %s at byte %d.", syntax.Text, syntax.Offset)
		}
		return nil, malformed("The body is not JSON: %v.", err)
	}
	list, ok := all.Get("requests")
	if !ok || list.Kind() != jsonx.List || all.Len() != 1 {
		return nil, malformed("A batch is an object with the one member requests, which is a list.")
	}
	if list.Len() > b.config.Requests {
		return nil, malformed("The batch has %d parts, and may have %d.", list.Len(), b.config.Requests)
	}
	r := reader{made: make([]request, 0, list.Len())}
	for v := range list.Elements() {
		if r.hasEnough() {
			break
		}
		p := partReader{reader: &r, at: len(r.made)}
		p.read(v)
		r.made = append(r.made, p.request)
	}
	if len(r.mistakes) > 0 {
		return nil, r.fault()
	}
	return r.made, nil
}

func malformed(format string, a ...any) *fault.Fault {
	return fault.MalformedBody.New(fmt.Sprintf(format, a...))
}

// mostMistakes is how many mistakes in a batch are reported.
const mostMistakes = 20

// reader reads the parts of a batch. It continues after a mistake, so that all mistakes are reported at once. It stops
// when there are more than are reported, because a body may be full of mistakes.
type reader struct {
	made     []request // including those with mistakes, because others may depend on them
	mistakes []string
}

func (r *reader) hasEnough() bool { return len(r.mistakes) > mostMistakes }

// fault reports the mistakes in the batch; there must be at least one.
func (r *reader) fault() *fault.Fault {
	told := r.mistakes[:min(len(r.mistakes), mostMistakes)]
	switch {
	case len(r.mistakes) > len(told):
		return fault.MalformedBody.New(fmt.Sprintf("More than %d things are wrong with the batch, these first.", len(told)), fault.Problems(told))
	case len(told) > 1:
		return fault.MalformedBody.New(fmt.Sprintf("%d things are wrong with the batch.", len(told)), fault.Problems(told))
	default:
		return malformed("%s", told[0])
	}
}

// partReader reads one part.
type partReader struct {
	request
	*reader

	at int
}

// failf records a mistake at v.
func (p *partReader) failf(v jsonx.Value, format string, a ...any) {
	if p.hasEnough() {
		return
	}
	p.mistakes = append(p.mistakes, fmt.Sprintf("At byte %d: requests[%d]%s.", v.Offset(), p.at, fmt.Sprintf(format, a...)))
}

func (p *partReader) read(v jsonx.Value) {
	if v.Kind() != jsonx.Object {
		p.failf(v, " is no object")
		return
	}
	p.readID(v)
	p.readMethod(v)
	p.readURL(v)
	for name, member := range v.Members() {
		if p.hasEnough() {
			return
		}
		switch name {
		case "id", "method", "url", "body":
		case "headers":
			p.readFields(member)
		case "dependsOn":
			p.readDepends(member)
		default:
			p.failf(member, " has the member %s, and may have id, method, url, headers, body and dependsOn", strconv.Quote(shown(name)))
		}
	}
	if body, ok := v.Get("body"); ok {
		p.readBody(body)
	}
}

// text returns a member of a part that must be a string, and its position, which is that of the part if the member is
// missing. ok is false if it is not a string.
func (p *partReader) text(v jsonx.Value, name string) (text string, at jsonx.Value, ok bool) {
	member, there := v.Get(name)
	switch {
	case !there:
		return "", v, true
	case member.Kind() != jsonx.String:
		p.failf(member, ".%s is %s and no string", name, member.Kind())
		return "", member, false
	}
	return member.Text(), member, true
}

// longestID has room for a UUID and more.
const longestID = 64

// shown shortens a name from the client for use in a message.
func shown(name string) string { return name[:min(len(name), longestID)] }

func (p *partReader) readID(v jsonx.Value) {
	id, at, ok := p.text(v, "id")
	switch {
	case !ok:
	case id == "" || len(id) > longestID || !visible(id):
		p.failf(at, ".id is missing, or no text of 1 to %d visible ASCII characters", longestID)
	case slices.ContainsFunc(p.made, func(r request) bool { return r.id == id }):
		p.failf(at, ".id is that of another part")
	}
	p.id = id
}

func (p *partReader) readMethod(v jsonx.Value) {
	method, at, ok := p.text(v, "method")
	if ok && (!httpx.IsToken(method) || method == http.MethodConnect || method == http.MethodTrace) {
		p.failf(at, ".method is missing, or none that a part can have")
	}
	p.method = method
}

func (p *partReader) readURL(v jsonx.Value) {
	target, at, ok := p.text(v, "url")
	if !ok {
		return
	}
	p.target = target
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.Contains(target, "#") || !visible(target) {
		p.failf(at, ".url is missing, or no path on this host, as /orders/1?full=1")
		return
	}
	var err error
	if p.url, err = url.ParseRequestURI(target); err != nil {
		p.failf(at, ".url is no path on this host, as /orders/1?full=1")
	}
}

// visible holds for ASCII without blanks and control characters.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (p *partReader) readFields(v jsonx.Value) {
	if v.Kind() != jsonx.Object {
		p.failf(v, ".headers is no object")
		return
	}
	for name, value := range v.Members() {
		if p.hasEnough() {
			return
		}
		switch {
		case !httpx.IsToken(name) || value.Kind() != jsonx.String || !httpx.IsFieldValue(value.Text()):
			p.failf(value, ".headers has %s, which no field can be named, or with a value that none can have", strconv.Quote(shown(name)))
		case ofBatch(name) || always(name):
			p.failf(value, ".headers has %s, which only the batch itself has", shown(name))
		}
		p.fields = append(p.fields, exchange.Field{Name: name, Value: strings.Trim(value.Text(), " \t")})
	}
}

func (p *partReader) readDepends(v jsonx.Value) {
	if v.Kind() != jsonx.List {
		p.failf(v, ".dependsOn is no list")
	}
	for e := range v.Elements() {
		if p.hasEnough() {
			return
		}
		at := slices.IndexFunc(p.made, func(r request) bool { return r.id == e.Text() })
		if e.Kind() != jsonx.String || at < 0 {
			p.failf(e, ".dependsOn has what is no id of a part before it")
			continue
		}
		p.depends = append(p.depends, at)
	}
}

// readBody sets the body of a part: JSON as it is, text as its characters, and everything else from Base64.
func (p *partReader) readBody(v jsonx.Value) {
	switch kind := kindOf(p.field("Content-Type")); {
	case p.method == http.MethodGet || p.method == http.MethodHead:
		p.failf(v, ".body stands beside the method %s", p.method)
	case kind == asJSON:
		p.body = []byte(v.Raw())
		if p.field("Content-Type") == "" {
			p.fields = append(p.fields, exchange.Field{Name: "Content-Type", Value: jsonType})
		}
	case v.Kind() != jsonx.String:
		p.failf(v, ".body is no string, and no JSON by its Content-Type")
	case kind == asText:
		p.body = []byte(v.Text())
	default:
		var err error
		if p.body, err = base64.StdEncoding.DecodeString(v.Text()); err != nil {
			p.failf(v, ".body is neither JSON nor text by its Content-Type, and no Base64")
		}
	}
}

// field returns the value of a field of the part, "" if it has none.
func (p *partReader) field(name string) string {
	for _, f := range p.fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

const jsonType = "application/json"

// kind is the form of a body in a batch.
type kind uint8

const (
	asBase64 kind = iota
	asText
	asJSON
)

// kindOf returns the form for a Content-Type; JSON if there is none.
func kindOf(contentType string) kind {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "" || media == jsonType || strings.HasSuffix(media, "+json"):
		return asJSON
	case strings.HasPrefix(media, "text/") || media == "application/x-www-form-urlencoded" || media == "application/xml" || strings.HasSuffix(media, "+xml"):
		return asText
	default:
		return asBase64
	}
}
