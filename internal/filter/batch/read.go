package batch

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// request is a part as it was asked for.
type request struct {
	id      string
	method  string
	target  string // path and query, as a request line has them
	url     *url.URL
	fields  []exchange.Field
	body    []byte // nil: none
	depends []int  // parts before it that must have succeeded
}

// read reads a batch: the form of OData 4.01's JSON batches (section 19), as far as
// the README says. Nothing of it runs before all of it was understood.
func (b *batch) read(text []byte) ([]request, *fault.Fault) {
	all, err := jsonx.Parse(text, jsonx.Options{MaxBytes: int(b.config.Body), Unique: true})
	if err != nil {
		return nil, malformed("The body is not JSON: %v.", err)
	}
	list, ok := all.Get("requests")
	if !ok || list.Kind() != jsonx.List || all.Len() != 1 {
		return nil, malformed("A batch is an object with the one member requests, which is a list.")
	}
	if list.Len() > b.config.Requests {
		return nil, malformed("The batch has %d parts, and may have %d.", list.Len(), b.config.Requests)
	}
	made := make([]request, 0, list.Len())
	for v := range list.Elements() {
		one := partReader{before: made}
		if one.read(v); one.wrong != nil {
			return nil, malformed("requests[%d]%s.", len(made), one.wrong.Error())
		}
		made = append(made, one.request)
	}
	return made, nil
}

func malformed(format string, a ...any) *fault.Fault {
	return fault.MalformedBody.New(fmt.Sprintf(format, a...))
}

// partReader reads one part.
type partReader struct {
	request

	before []request
	wrong  error
}

func (p *partReader) failf(format string, a ...any) {
	if p.wrong == nil {
		p.wrong = fmt.Errorf(format, a...)
	}
}

func (p *partReader) read(v jsonx.Value) {
	if v.Kind() != jsonx.Object {
		p.failf(" is no object")
		return
	}
	var body jsonx.Value
	for name, member := range v.Members() {
		switch name {
		case "id":
			p.id = p.text(name, member)
		case "method":
			p.method = p.text(name, member)
		case "url":
			p.target = p.text(name, member)
		case "headers":
			p.readFields(member)
		case "body":
			body = member
		case "dependsOn":
			p.readDepends(member)
		default:
			p.failf(" has the member %q, and may have id, method, url, headers, body and dependsOn", name)
		}
	}
	p.check()
	if p.wrong == nil && body.Kind() != jsonx.Invalid {
		p.readBody(body)
	}
}

func (p *partReader) text(name string, v jsonx.Value) string {
	if v.Kind() != jsonx.String {
		p.failf(".%s is %s and no string", name, v.Kind())
	}
	return v.Text()
}

// longestID is room for a UUID and more.
const longestID = 64

// check holds the rules of id, method and url.
func (p *partReader) check() {
	switch {
	case p.id == "" || len(p.id) > longestID || !visible(p.id):
		p.failf(".id is missing, or no text of 1 to %d visible ASCII characters", longestID)
	case slices.ContainsFunc(p.before, func(r request) bool { return r.id == p.id }):
		p.failf(".id is that of another part")
	case !httpx.IsToken(p.method) || p.method == http.MethodConnect || p.method == http.MethodTrace:
		p.failf(".method is missing, or none that a part can have")
	case !strings.HasPrefix(p.target, "/") || strings.HasPrefix(p.target, "//") || strings.Contains(p.target, "#") || !visible(p.target):
		p.failf(".url is missing, or no path on this host, as /orders/1?full=1")
	default:
		var err error
		if p.url, err = url.ParseRequestURI(p.target); err != nil {
			p.failf(".url is no path on this host, as /orders/1?full=1")
		}
	}
}

// visible holds for ASCII without blanks and control characters.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (p *partReader) readFields(v jsonx.Value) {
	if v.Kind() != jsonx.Object {
		p.failf(".headers is no object")
		return
	}
	for name, value := range v.Members() {
		switch {
		case !httpx.IsToken(name) || value.Kind() != jsonx.String || !httpx.IsFieldValue(value.Text()):
			p.failf(".headers has a name or value that no field can have")
		case ofBatch(name) || always(name):
			p.failf(".headers has %s, which only the batch itself has", name)
		}
		p.fields = append(p.fields, exchange.Field{Name: name, Value: strings.Trim(value.Text(), " \t")})
	}
}

func (p *partReader) readDepends(v jsonx.Value) {
	if v.Kind() != jsonx.List {
		p.failf(".dependsOn is no list")
	}
	for e := range v.Elements() {
		at := slices.IndexFunc(p.before, func(r request) bool { return r.id == e.Text() })
		if e.Kind() != jsonx.String || at < 0 {
			p.failf(".dependsOn has what is no id of a part before it")
			return
		}
		p.depends = append(p.depends, at)
	}
}

// readBody makes the content of a part: JSON as it stands, a text as its characters, all
// else from Base64.
func (p *partReader) readBody(v jsonx.Value) {
	switch kind := kindOf(p.field("Content-Type")); {
	case p.method == http.MethodGet || p.method == http.MethodHead:
		p.failf(".body stands beside the method %s", p.method)
	case kind == asJSON:
		p.body = []byte(v.Raw())
		if p.field("Content-Type") == "" {
			p.fields = append(p.fields, exchange.Field{Name: "Content-Type", Value: jsonType})
		}
	case v.Kind() != jsonx.String:
		p.failf(".body is no string, and no JSON by its Content-Type")
	case kind == asText:
		p.body = []byte(v.Text())
	default:
		var err error
		if p.body, err = base64.StdEncoding.DecodeString(v.Text()); err != nil {
			p.failf(".body is neither JSON nor text by its Content-Type, and no Base64")
		}
	}
}

// field is the value of a field of the part, "" where it has none.
func (p *partReader) field(name string) string {
	for _, f := range p.fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

const jsonType = "application/json"

// kind is how content stands in a batch.
type kind uint8

const (
	asBase64 kind = iota
	asText
	asJSON
)

// kindOf reads a Content-Type; JSON where there is none.
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
