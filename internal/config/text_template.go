package config

import (
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// TextTemplate is a text with values in it: "Order {=response.body.id} is on its way". A text that begins with '=' is
// one expression.
type TextTemplate struct {
	Text  string
	Pos   doc.Pos // of its first character
	Parts []TextPart
}

// TextPart is a text, or the value of an expression if Expr is not nil.
type TextPart struct {
	Text string
	Expr *Expr
}

// DecodeDoc reads a text and splits it into its parts.
func (t *TextTemplate) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Scalar {
		ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " is given where a text is expected", Fix: "for example `text: Order {=response.body.id}`"})
		return
	}
	*t = TextTemplate{Text: n.Value, Pos: textPos(n, 0)}
	if strings.HasPrefix(n.Value, "=") {
		whole := new(Expr)
		whole.DecodeDoc(n, ps)
		t.Parts = []TextPart{{Expr: whole}}
		return
	}
	for at := 0; at < len(n.Value); {
		begin := strings.Index(n.Value[at:], openHole)
		if begin < 0 {
			t.literal(n.Value[at:])
			return
		}
		begin += at
		start := begin + len(openHole)
		length := expressionEnd(n.Value[start:])
		source := ""
		if length >= 0 {
			source = strings.TrimSpace(n.Value[start : start+length])
		}
		if source == "" {
			ps.Add(doc.Problem{Pos: textPos(n, begin), What: "there is no expression between {= and }", Fix: "write {=response.body.id}, or {='{='} for the characters {="})
			return
		}
		t.literal(n.Value[at:begin])
		t.Parts = append(t.Parts, TextPart{Expr: &Expr{Source: source, Pos: textPos(n, start)}})
		at = start + length + 1
	}
}

// openHole begins a value, as in paths.
const openHole = "{="

func (t *TextTemplate) literal(text string) {
	if text != "" {
		t.Parts = append(t.Parts, TextPart{Text: text})
	}
}

// EncodeDoc writes the text in the form that is read.
func (t TextTemplate) EncodeDoc() *doc.Node { return scalarAt(t.Text, t.Pos) }

// DocSchema implements doc.SchemaWriter.
func (TextTemplate) DocSchema() *doc.Schema {
	return doc.TextSchema("a text; {=expression} is what is computed")
}

// Expressions returns the expressions of the text.
func (t *TextTemplate) Expressions() []*Expr {
	if t == nil {
		return nil
	}
	var list []*Expr
	for _, p := range t.Parts {
		if p.Expr != nil {
			list = append(list, p.Expr)
		}
	}
	return list
}
