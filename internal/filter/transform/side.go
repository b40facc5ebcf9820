package transform

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// side is what request and response have in common.
type side struct {
	headers []expr.Field
	cookies *cookies // nil: they are not changed
	reads   bool     // something needs the original body
	writes  bool     // the body is different afterwards
	from    []codec
	to      []codec
	body    *expr.Document // replaces it
	text    text           // replaces it; if both are nil, it is patched
	patch   []operation
	maxBody int64
}

// side makes the parts of a message ready that concern its body, and its header fields and cookies.
func (b *builder) side(m *Message, headers config.Fields, c *ResponseCookies, scope expr.Scope) (made side, err error) {
	made = side{writes: m.touches(), from: m.Read.codecs(), to: m.Write.codecs(), maxBody: m.maxBody()}
	made.reads = made.writes && !m.anew()
	if m.Text != nil {
		made.to = Formats{{Name: media.NameText}}.codecs()
	}
	if made.headers, err = headers.Ready(b.compile(expr.String, scope), b.env.Secret, httpx.IsFieldValue); err != nil {
		return side{}, err
	}
	if !c.empty() || len(c.Attributes) > 0 {
		made.cookies = &cookies{Cookies: &c.Cookies, attributes: c.Attributes}
		if made.cookies.set, err = c.Set.Ready(b.compile(expr.String, scope), b.env.Secret, isCookieValue); err != nil {
			return side{}, err
		}
	}
	value := b.compile(expr.Any, scope)
	compile := func(e *config.Expr) (expr.Computed, error) { return value(e) }
	if made.body, err = m.Body.Document(compile); err != nil {
		return side{}, err
	}
	if made.text, err = b.text(m.Text, scope); err != nil {
		return side{}, err
	}
	for i := range m.Remove {
		made.patch = append(made.patch, operation{verb: remove, path: &m.Remove[i]})
	}
	for i := range m.Rename {
		made.patch = append(made.patch, operation{verb: rename, path: &m.Rename[i].Path, name: m.Rename[i].Name})
	}
	for _, values := range []struct {
		verb verb
		list Values
	}{{fill, m.Default}, {set, m.Set}} {
		for i := range values.list {
			value, err := values.list[i].Tree.Document(compile)
			if err != nil {
				return side{}, err
			}
			made.patch = append(made.patch, operation{verb: values.verb, path: &values.list[i].Path, value: value})
		}
	}
	return made, nil
}

// note says what is read and written; "" if the body is not touched.
func (s *side) note() string {
	switch {
	case !s.reads && !s.writes:
		return ""
	case !s.reads:
		return "made anew as " + names(s.to)
	}
	text := names(s.from)
	if s.writes && names(s.to) != text {
		text += " to " + names(s.to)
	}
	return text + " of at most " + doc.Size(s.maxBody).String()
}

// reader returns the format for a body with that head, nil if it has none of the side's formats.
func (s *side) reader(head exchange.Head) *codec {
	for i := range s.from {
		if media.Reads(s.from[i].name, head.Get("Content-Type")) {
			return &s.from[i]
		}
	}
	return nil
}

// decode returns the value of a body for expressions. The body must not be empty.
func (s *side) decode(from *codec, text []byte, head exchange.Head) (jsonx.Value, error) {
	return media.Parse(from, text, head.Get("Content-Type"), int(s.maxBody))
}

// encode makes the body to send from came, which is the zero Value if the original body was empty: then there is
// nothing to patch, and the result is nil. contentType is "" if the existing one still applies.
func (s *side) encode(came jsonx.Value, from, to *codec, in *expr.Input) (body []byte, contentType string, err error) {
	if s.text != nil {
		body, err = s.text.append(nil, in)
		return body, textType, err
	}
	var text []byte
	switch {
	case s.body != nil:
		text, err = s.body.Append(nil, in)
	case came.Kind() == jsonx.Invalid:
		return nil, "", nil
	default:
		patch := patch{operations: s.patch, in: in, most: roomForValues + 2*len(came.Raw())}
		text, err = patch.append(nil, came, patch.all())
	}
	if err != nil {
		return nil, "", err
	}
	if to.name == media.NameJSON {
		if s.body == nil && from.name == to.name {
			return text, "", nil
		}
		return text, media.Types(to.name)[0], nil
	}
	value, err := jsonx.Parse(text, jsonx.Options{MaxBytes: mostMade, MaxDepth: mostDepth})
	if err != nil {
		return nil, "", err
	}
	body, contentType, err = to.Append(nil, value)
	if err == nil && s.body == nil && from.name == to.name && to.name != media.NameMultipart {
		contentType = ""
	}
	return body, contentType, err
}

// textType is the Content-Type of a text, unless its fields say otherwise.
const textType = "text/plain; charset=utf-8"

const (
	// roomForValues is room for what a patch adds to a body: even a small body may have many members that each get a
	// value.
	roomForValues = 8 << 20
	// What is made is bounded by the limits of expressions and patches; these limits are higher.
	mostMade  = 1 << 29
	mostDepth = 512
)

// headChange is the change of a head, apart from its body.
type headChange struct {
	fields  []headField
	cookies []cookieSetting
}

type headField struct {
	name, value string
	there       bool // false: it is removed
}

// headChange computes the change from the message as it arrived.
func (s *side) headChange(in *expr.Input) (made headChange, err error) {
	if len(s.headers) > 0 {
		made.fields = make([]headField, len(s.headers))
	}
	for i := range s.headers {
		f := &s.headers[i]
		value, there, err := f.Value(in)
		if err != nil {
			return made, fmt.Errorf("%s: %w", f.Name, err)
		}
		if value = strings.Trim(value, " \t"); !httpx.IsFieldValue(value) {
			return made, fmt.Errorf("%s: %w", f.Name, errValue)
		}
		made.fields[i] = headField{f.Name, value, there}
	}
	if s.cookies != nil {
		made.cookies, err = s.cookies.settings(in)
	}
	return made, err
}

// setFields sets fields in a head. A field that is computed and empty is removed.
func setFields(head exchange.Head, fields []headField) {
	for i, f := range fields {
		switch {
		case !f.there:
			head.Del(f.name)
		case i > 0 && strings.EqualFold(fields[i-1].name, f.name):
			head.Add(f.name, f.value)
		default:
			head.Set(f.name, f.value)
		}
	}
}

// ofTheBytes are the fields that describe a body's bytes, which have changed (RFC 9110 section 8, RFC 9530, RFC 1864).
// Content-Length is written anew.
func ofTheBytes() []string {
	return []string{"Content-Encoding", "Content-Length", "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Etag", "Accept-Ranges", "Trailer"}
}

func forgetBytes(head exchange.Head) {
	for _, name := range ofTheBytes() {
		head.Del(name)
	}
}

// everyField selects all fields of a trailer section, because they describe the bytes before it.
func everyField(string) bool { return true }

// again returns a reader for a body that is in memory.
func again(text []byte) io.ReadCloser {
	if len(text) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(text))
}

// closeBody closes a body that goes no further.
func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close() // there is nothing to lose in an unread body
	}
}
