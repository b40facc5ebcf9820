package config

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Field is a field with its value: Text, or Expr or Secret if one of these is not nil. In files, a value that begins
// with '=' is an expression, and one with references is a secret. Values from objects are always Text.
type Field struct {
	Name   string
	Text   string
	Expr   *Expr
	Secret *Secret
	Pos    doc.Pos // of the value
}

// Fields is an ordered list of fields, written as a map. A name may have a list of values.
type Fields []Field

// DecodeDoc reads a map of names to values.
func (f *Fields) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " is given where fields are expected", Fix: "write a map, for example `X-Team: shop`"})
		return
	}
	*f = nil
	for _, e := range n.Entries {
		values := []*doc.Node{e.Value}
		if e.Value.Kind == doc.List {
			values = e.Value.Items
		}
		for _, v := range values {
			*f = append(*f, decodeField(e.Key, v, ps))
		}
	}
}

func decodeField(name string, n *doc.Node, ps *doc.Problems) Field {
	field := Field{Name: name, Pos: n.Pos}
	switch {
	case n.Kind == doc.Scalar && strings.HasPrefix(n.Value, "="):
		field.Expr = new(Expr)
		field.Expr.DecodeDoc(n, ps)
		if t, err := secret.Parse(n.Value); err == nil && slices.ContainsFunc(t.Parts, isReference) {
			ps.Add(doc.Problem{
				Pos: n.Pos, What: "the value of " + name + " mixes an expression with a secret",
				Why: "an expression is computed for each request and knows no secrets, so ${...} would be sent literally",
				Fix: "write the secret with literal text alone, for example `" + name + ": Bearer ${env:TOKEN}`",
			})
		}
	case n.Kind == doc.Scalar && strings.Contains(n.Value, "${"):
		field.Secret = new(Secret)
		field.Secret.DecodeDoc(n, ps)
		if parts := field.Secret.Parts; len(parts) == 1 && !isReference(parts[0]) { // only an escaped ${
			field.Text, field.Secret = parts[0].Text, nil
		}
	default:
		doc.Decode(n, &field.Text, ps)
		warnOfText(n, ps)
	}
	return field
}

// warnOfText warns of a text that would be an expression if it began with =.
func warnOfText(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Scalar || len(n.Value) > maxMeant {
		return
	}
	why, source := "an expression begins with =", n.Value
	if inner, ok := strings.CutPrefix(source, "{="); ok && strings.HasSuffix(inner, "}") {
		why, source = "an expression in braces is one in paths", strings.TrimSuffix(inner, "}")
	}
	const anywhere = expr.Request | expr.Response | expr.Steps | expr.Item
	if !readsName.MatchString(source) || expr.Check(source, expr.Any, anywhere) != nil {
		return
	}
	ps.Add(doc.Problem{
		Pos: n.Pos, Severity: doc.Warning, What: fmt.Sprintf("the text %q stands for itself", n.Value), Why: why,
		Fix: fmt.Sprintf("write =%s, or =%q for the text", source, n.Value),
	})
}

// maxMeant is the longest text that is worth a warning.
const maxMeant = 1 << 10

// readsName matches the start of an expression that reads the request or a step.
var readsName = regexp.MustCompile(`^(steps|request|response|path|query|client|auth|item)[.\[]`)

// isReference reports whether p is a reference rather than literal text.
func isReference(p secret.Part) bool { return p.Source != "" }

// DocSchema implements doc.SchemaWriter.
func (*Fields) DocSchema() *doc.Schema {
	value := doc.TextSchema("a value, an expression that begins with =, or a text with secrets ${env:NAME}")
	return &doc.Schema{
		Type:                 doc.Types{"object"},
		AdditionalProperties: &doc.Schema{AnyOf: []*doc.Schema{value, doc.ListSchema(value)}},
	}
}

// EncodeDoc writes the fields in the form that is read.
func (f *Fields) EncodeDoc() *doc.Node {
	if len(*f) == 0 {
		return nil
	}
	out := &doc.Node{Kind: doc.Map}
	for _, field := range *f {
		value := field.encode()
		i := slices.IndexFunc(out.Entries, func(e doc.Entry) bool { return e.Key == field.Name })
		switch {
		case i < 0:
			out.Entries = append(out.Entries, doc.Entry{Key: field.Name, KeyPos: field.Pos, Value: value})
		case out.Entries[i].Value.Kind == doc.List:
			out.Entries[i].Value.Items = append(out.Entries[i].Value.Items, value)
		default:
			out.Entries[i].Value = &doc.Node{Kind: doc.List, Items: []*doc.Node{out.Entries[i].Value, value}}
		}
	}
	return out
}

// encode writes the value in the form that is read: a secret as its references.
func (f Field) encode() *doc.Node {
	if f.Expr != nil {
		return f.Expr.EncodeDoc()
	}
	parts := []secret.Part{{Text: f.Text}}
	if f.Secret != nil {
		parts = f.Secret.Parts
	}
	var text strings.Builder
	for _, p := range parts {
		if isReference(p) {
			text.WriteString("${" + p.Source + ":" + p.Text + "}")
		} else { // text beside a reference is no more secret than the values of other fields
			text.WriteString(strings.ReplaceAll(p.Text, "${", "$${"))
		}
	}
	return &doc.Node{Kind: doc.Scalar, Pos: f.Pos, Value: text.String(), Quoted: true}
}

const hopByHop = "it belongs to one connection, not to the message"

// untouchable are the fields that frame a message or belong to one connection (RFC 9110 sections 7.6.1 and 8.6, RFC
// 9112 section 6), each with the reason. The engine sets them; a wrong one would let two servers read a message
// differently.
var untouchable = map[string]string{
	"Content-Length":      "it says where the body ends, and the gateway writes it",
	"Transfer-Encoding":   "it says where the body ends, and the gateway writes it",
	"Connection":          hopByHop,
	"Keep-Alive":          hopByHop,
	"Proxy-Connection":    hopByHop,
	"Proxy-Authenticate":  hopByHop,
	"Proxy-Authorization": hopByHop,
	"Te":                  hopByHop,
	"Trailer":             "the gateway writes it for the trailers that there are",
	"Upgrade":             "upgrades are passed on by themselves",
	"Expect":              "the gateway answers it itself",
}

// CheckFieldName reports whether a field of that name may not be written, and why.
func CheckFieldName(name string, pos doc.Pos) (doc.Problem, bool) {
	if !httpx.IsToken(name) {
		return doc.Problem{
			Pos: pos, What: fmt.Sprintf("%q is not the name of a field", name),
			Why: "names are letters, digits and some punctuation, without spaces", Fix: "for example X-Request-Source",
		}, true
	}
	if why, ok := untouchable[http.CanonicalHeaderKey(name)]; ok {
		return doc.Problem{Pos: pos, What: name + " cannot be changed", Why: why, Fix: "remove it from here"}, true
	}
	return doc.Problem{}, false
}

// Check returns what is wrong with the name, or with a value that is not an expression. Expressions are checked by code
// that knows their scope.
func (f Field) Check() (doc.Problem, bool) {
	if p, bad := CheckFieldName(f.Name, f.Pos); bad {
		return p, true
	}
	switch {
	case f.Expr != nil:
		return doc.Problem{}, false
	case f.Secret != nil:
		for _, p := range f.Secret.Parts {
			if !isReference(p) && !httpx.IsFieldValue(p.Text) {
				return f.controlProblem(), true
			}
		}
		return doc.Problem{}, false // the content of references is known only when they are resolved
	case strings.Trim(f.Text, " \t") != f.Text:
		return doc.Problem{
			Pos: f.Pos, What: "the value of " + f.Name + " begins or ends with a space",
			Why: "HTTP does not keep those spaces", Fix: "write it without",
		}, true
	case !httpx.IsFieldValue(f.Text):
		return f.controlProblem(), true
	}
	return doc.Problem{}, false
}

func (f Field) controlProblem() doc.Problem {
	return doc.Problem{
		Pos: f.Pos, What: "the value of " + f.Name + " holds a line break or another control character",
		Why: "it would begin a new field", Fix: "write it in one line",
	}
}

// Ready prepares f for use: compile compiles its expressions, reveal resolves its secrets, and valid says which texts a
// secret may hold. Errors name the field.
func (f Fields) Ready(compile func(*Expr) (*expr.Program, error), reveal func(secret.Template) (secret.Value, error), valid func(string) bool) ([]expr.Field, error) {
	made := make([]expr.Field, 0, len(f))
	for _, field := range f {
		one := expr.Field{Name: field.Name, Text: field.Text}
		var err error
		switch {
		case field.Expr != nil:
			one.Program, err = compile(field.Expr)
		case field.Secret != nil:
			value, failure := field.Secret.Read(reveal)
			if one.Text, err = strings.Trim(value.Reveal(), " \t"), failure; err == nil && !valid(one.Text) {
				err = errSecretValue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.Name, err)
		}
		made = append(made, one)
	}
	return made, nil
}

var errSecretValue = errors.New("the secret holds a line break or another control character, which no field can have")
