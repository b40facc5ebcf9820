package compose

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config"
)

// maxOutput bounds what one tree makes.
const maxOutput = 8 << 20

var (
	errOutput = fmt.Errorf("the JSON is larger than %d bytes", maxOutput)
	errEmpty  = fault.AmbiguousPath.New("A value for the path is empty, so another path would be sent.")
	errSlash  = fault.AmbiguousPath.New("A value for the path holds a slash or backslash, which servers that decode it read as another path.")
	errValue  = errors.New("the value holds a line break or another control character, which no field can have")
)

// tree is JSON made ready: texts that are always the same, and what is computed
// between them.
type tree struct{ parts []piece }

// piece is a text, and a value behind it where program is not nil, or whole is the
// name of a step: its body as it is.
type piece struct {
	text    string
	program *expr.Program
	whole   string
}

// tree makes t ready; nil for none.
func (b *builder) tree(t *config.Tree, scope expr.Scope) (*tree, error) {
	if t == nil {
		return nil, nil
	}
	w := treeWriter{builder: b, scope: scope}
	if err := w.add(t); err != nil {
		return nil, err
	}
	w.end(piece{})
	return &w.tree, nil
}

// treeWriter writes a tree down, and cuts its text where something is computed.
type treeWriter struct {
	*builder

	scope expr.Scope
	tree  tree
	text  []byte
}

// end puts what is computed behind the text until here.
func (w *treeWriter) end(p piece) {
	if p.text = string(w.text); p != (piece{}) {
		w.tree.parts = append(w.tree.parts, p)
		w.text = w.text[:0]
	}
}

func (w *treeWriter) add(t *config.Tree) error {
	switch t.Kind {
	case config.TreeExpr:
		if name, ok := wholeBody(t.Expr.Source); ok {
			w.readsWhole(name)
			w.end(piece{whole: name})
			return nil
		}
		p, err := w.program(t.Expr, expr.Any, w.scope)
		if err == nil {
			w.end(piece{program: p})
		}
		return err
	case config.TreeList:
		return w.several('[', len(t.Items), ']', func(i int) error { return w.add(&t.Items[i]) })
	case config.TreeObject:
		return w.several('{', len(t.Members), '}', func(i int) error {
			w.text = append(jsonx.AppendString(w.text, t.Members[i].Name), ':')
			return w.add(&t.Members[i].Value)
		})
	default:
		w.text = append(w.text, t.Literal...)
		return nil
	}
}

// several writes n parts with commas between brackets.
func (w *treeWriter) several(open byte, n int, closing byte, part func(i int) error) error {
	w.text = append(w.text, open)
	for i := range n {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		if err := part(i); err != nil {
			return err
		}
	}
	w.text = append(w.text, closing)
	return nil
}

// append writes the JSON of t to dst.
func (t *tree) append(dst []byte, in *expr.Input) ([]byte, error) {
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.text...)
		value, err := p.value(in)
		switch {
		case err != nil:
			return dst, err
		case p.whole == "" && p.program == nil:
			continue
		}
		if dst, err = jsonx.Append(dst, value); err != nil {
			return dst, fmt.Errorf("expression %q: %w", p.program.Source(), err)
		}
		if len(dst) > maxOutput {
			return dst, errOutput
		}
	}
	return dst, nil
}

// wholeBody gives the name of the step whose body, and nothing else, an expression is.
func wholeBody(source string) (name string, ok bool) {
	name, ok = strings.CutSuffix(strings.TrimSpace(source), ".body")
	if !ok {
		return "", false
	}
	if dotted, ok := strings.CutPrefix(name, "steps."); ok {
		return dotted, isName(dotted, "_")
	}
	for _, quote := range []string{"'", `"`} {
		if quoted, ok := strings.CutPrefix(name, "steps["+quote); ok {
			quoted, ok = strings.CutSuffix(quoted, quote+"]")
			return quoted, ok && isName(quoted, "_-")
		}
	}
	return "", false
}

// isName holds for letters, digits and what more has.
func isName(s, more string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
	})
}

// value is what stands behind the text of p.
func (p *piece) value(in *expr.Input) (any, error) {
	if p.whole != "" {
		result, _ := in.Steps(p.whole) // it is done, for what reads it waits for it
		return result.Body, nil
	}
	if p.program == nil {
		return nil, nil
	}
	return p.program.Value(in)
}

// size is about how much room the tree takes.
func (t *tree) size(in *expr.Input) int {
	n := usualBytes
	for i := range t.parts {
		p := &t.parts[i]
		n += len(p.text)
		if p.whole == "" {
			continue
		}
		if result, _ := in.Steps(p.whole); result.Body != nil {
			body, _ := result.Body.(jsonx.Value)
			n += len(body.Raw())
		}
	}
	return min(n, maxOutput)
}

// value gives the tree as a body that expressions can read.
func (t *tree) value(in *expr.Input) (jsonx.Value, error) {
	text, err := t.append(nil, in)
	if err != nil {
		return jsonx.Value{}, err
	}
	return jsonx.Parse(text, jsonx.Options{MaxBytes: maxOutput, MaxDepth: maxDepth})
}

// maxDepth is more than a config and what stands in its leaves are nested.
const maxDepth = 512

// field is a header field or query parameter: a text, or computed where program
// is not nil.
type field struct {
	name    string
	text    string
	program *expr.Program
	clients bool // see clients
}

// fields makes a list of them ready; valid says which texts are allowed.
func (b *builder) fields(list config.Fields, scope expr.Scope, valid func(string) bool) ([]field, error) {
	made := make([]field, 0, len(list))
	for _, f := range list {
		one := field{name: f.Name, text: f.Text}
		var err error
		switch {
		case f.Expr != nil:
			one.program, err = b.program(f.Expr, expr.String, scope)
			one.clients = clients(one.program)
		case f.Secret != nil:
			value, failure := b.secret(f.Secret.Template)
			if one.text, err = strings.Trim(value.Reveal(), " \t"), failure; err == nil && !valid(one.text) {
				err = errValue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		made = append(made, one)
	}
	return made, nil
}

// value gives the text, and false where it was computed and is empty: there is
// nothing to send.
func (f *field) value(in *expr.Input) (string, bool, error) {
	if f.program == nil {
		return f.text, true, nil
	}
	text, err := f.program.String(in)
	return text, text != "", err
}

// head gives the lines that a list makes.
func head(list []field, in *expr.Input) ([]exchange.Field, error) {
	if len(list) == 0 {
		return nil, nil
	}
	lines := make([]exchange.Field, 0, len(list))
	for i := range list {
		value, there, err := list[i].value(in)
		if err != nil {
			return nil, err
		}
		if value = strings.Trim(value, " \t"); !httpx.IsFieldValue(value) {
			return nil, list[i].wrong()
		}
		if there {
			lines = append(lines, exchange.Field{Name: list[i].name, Value: value})
		}
	}
	return lines, nil
}

// wrong tells of a value that no field can have.
func (f *field) wrong() error {
	if f.clients {
		return fault.BadParameter.New("A value of the request holds a control character, which cannot be sent on.", fault.Internal("%s", f.name))
	}
	return fmt.Errorf("%s: %w", f.name, errValue)
}

// query gives the query that a list makes, without '?'.
func query(list []field, in *expr.Input) (string, error) {
	var b strings.Builder
	for i := range list {
		value, there, err := list[i].value(in)
		if err != nil {
			return "", err
		}
		if !there {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(list[i].name) + "=" + url.QueryEscape(value))
	}
	return b.String(), nil
}

// path is a step's path made ready.
type path struct {
	template template.Path
	text     string // with names in the place of expressions
	values   []pathValue
	captured []string
	// clients tells that everything in it is the client's: what is wrong with it is, too.
	clients bool
}

// clients tells whether what p gives is the client's own: it reads what the client has
// written, and nothing that an issuer or another step has said. p may be nil.
func clients(p *expr.Program) bool {
	if p == nil {
		return false
	}
	reads := p.Reads()
	return reads.Client && !reads.Auth && !reads.Item && len(reads.Steps) == 0
}

type pathValue struct {
	name    string
	named   bool
	program *expr.Program
}

func (b *builder) path(p config.PathTemplate, scope expr.Scope) (path, error) {
	parsed, err := p.Parse()
	if err != nil {
		return path{}, err
	}
	made := path{template: parsed.Template, text: parsed.Text, captured: parsed.Captured(), clients: true}
	for _, v := range parsed.Values {
		program, err := b.program(v.Expr, expr.String, scope)
		if err != nil {
			return path{}, err
		}
		made.values = append(made.values, pathValue{v.Name, v.Named, program})
		made.clients = made.clients && clients(program)
	}
	return made, nil
}

// make fills the path in, and puts what it inserts by name into params.
func (p *path) make(in *expr.Input, from, params *exchange.Params) (string, error) {
	if len(p.values)+len(p.captured) == 0 {
		return p.template.Make(nil)
	}
	return p.template.Make(func(name string) (string, error) {
		for i := range p.values {
			v := &p.values[i]
			if v.name != name {
				continue
			}
			text, err := v.program.String(in)
			switch {
			case err != nil:
			case text == "":
				err = errEmpty
			case strings.ContainsAny(text, `/\`):
				err = errSlash
			}
			if v.named {
				params.Add(name, text)
			}
			return text, err
		}
		text, _ := from.Get(name) // the config was held against what is captured
		if _, twice := params.Get(name); !twice {
			params.Add(name, text)
		}
		return text, nil
	})
}
