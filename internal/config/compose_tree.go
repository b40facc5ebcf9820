package config

import (
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// DecodeDoc reads any value as JSON. A text that begins with '=' is an expression. Unquoted numbers and truth values
// stand for themselves.
func (t *Tree) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	t.Pos = n.Pos
	switch n.Kind {
	case doc.List:
		t.Kind = TreeList
		for _, item := range n.Items {
			t.Items = append(t.Items, treeOf(item, ps))
		}
	case doc.Map:
		t.Kind = TreeObject
		for _, e := range n.Entries {
			t.Members = append(t.Members, TreeMember{e.Key, treeOf(e.Value, ps)})
		}
	case doc.Scalar:
		t.scalar(n, ps)
	}
}

func treeOf(n *doc.Node, ps *doc.Problems) Tree {
	var t Tree
	t.DecodeDoc(n, ps)
	return t
}

func (t *Tree) scalar(n *doc.Node, ps *doc.Problems) {
	if strings.HasPrefix(n.Value, "=") {
		t.Kind, t.Expr = TreeExpr, new(Expr)
		t.Expr.DecodeDoc(n, ps)
		return
	}
	t.Kind = TreeLiteral
	if !n.Quoted && isJSONWord(n.Value) {
		t.Literal = n.Value
		return
	}
	t.Literal = string(jsonx.AppendString(nil, n.Value))
	warnOfText(n, ps)
}

// isJSONWord reports whether text is a number or truth value of JSON.
func isJSONWord(text string) bool {
	v, err := jsonx.Parse([]byte(text), jsonx.Options{MaxBytes: maxLiteral})
	return err == nil && (v.Kind() == jsonx.Number || v.Kind() == jsonx.Bool) && v.Raw() == text
}

// maxLiteral is longer than any number that people write.
const maxLiteral = 1 << 10

// EncodeDoc writes the tree in the form that is read.
func (t Tree) EncodeDoc() *doc.Node {
	n := &doc.Node{Kind: doc.Scalar, Pos: t.Pos}
	switch t.Kind {
	case TreeExpr:
		return t.Expr.EncodeDoc()
	case TreeList:
		n.Kind = doc.List
		for _, item := range t.Items {
			n.Items = append(n.Items, item.EncodeDoc())
		}
	case TreeObject:
		n.Kind = doc.Map
		for _, m := range t.Members {
			n.Entries = append(n.Entries, doc.Entry{Key: m.Name, Value: m.Value.EncodeDoc()})
		}
	default:
		n.Value = t.Literal
		if v, err := jsonx.Parse([]byte(t.Literal), jsonx.Options{}); err == nil && v.Kind() == jsonx.String {
			n.Value, n.Quoted = v.Text(), true
		}
	}
	return n
}

// DocSchema implements doc.SchemaWriter. The schema allows anything but null, which is written `=null`.
func (Tree) DocSchema() *doc.Schema {
	return &doc.Schema{
		Type:        doc.Types{"string", "number", "boolean", "array", "object"},
		Description: "JSON; a text that begins with = is an expression",
	}
}

// Document prepares t for use; compile compiles its expressions. It is nil for a nil tree.
func (t *Tree) Document(compile func(*Expr) (expr.Computed, error)) (*expr.Document, error) {
	if t == nil {
		return nil, nil
	}
	made := new(expr.Document)
	return made, t.write(made, compile)
}

// write adds t to d.
func (t *Tree) write(d *expr.Document, compile func(*Expr) (expr.Computed, error)) error {
	switch t.Kind {
	case TreeExpr:
		p, err := compile(t.Expr)
		if err == nil {
			d.Computed(p)
		}
		return err
	case TreeList:
		return several(d, "[", len(t.Items), "]", func(i int) error { return t.Items[i].write(d, compile) })
	case TreeObject:
		return several(d, "{", len(t.Members), "}", func(i int) error {
			d.Literal(string(jsonx.AppendString(nil, t.Members[i].Name)) + ":")
			return t.Members[i].Value.write(d, compile)
		})
	default:
		d.Literal(t.Literal)
		return nil
	}
}

// several writes n parts between brackets, separated by commas.
func several(d *expr.Document, open string, n int, closing string, part func(i int) error) error {
	d.Literal(open)
	for i := range n {
		if i > 0 {
			d.Literal(",")
		}
		if err := part(i); err != nil {
			return err
		}
	}
	d.Literal(closing)
	return nil
}

// Expressions returns every expression of the tree; a nil tree has none.
func (t *Tree) Expressions() []*Expr {
	if t == nil {
		return nil
	}
	var list []*Expr
	if t.Expr != nil {
		list = append(list, t.Expr)
	}
	for i := range t.Items {
		list = append(list, t.Items[i].Expressions()...)
	}
	for i := range t.Members {
		list = append(list, t.Members[i].Value.Expressions()...)
	}
	return list
}

// nullTree is the tree that `required: false` stands for.
func nullTree(pos doc.Pos) *Tree {
	return &Tree{Kind: TreeExpr, Expr: &Expr{Source: "null", Pos: pos}, Pos: pos}
}
