package doc

import (
	"errors"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Parse reads one YAML document. It reports every mistake that it finds to ps
// and gives the tree, or nil when the text could not be read as a whole. What
// stood where a null, a tag or an alias was refused is a Node of no Kind, which
// Decode passes over. An empty document is an empty map.
func Parse(file string, src []byte, ps *Problems) *Node {
	tree, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		pos := Pos{File: file, Line: 1, Col: 1}
		what := err.Error()
		if errors.As(err, &syntax) {
			pos.Line, pos.Col = syntax.Token.Position.Line, syntax.Token.Position.Column
			what = syntax.Message
		}
		ps.Errorf(pos, "%s", what)
		return nil
	}
	b := builder{file: file, ps: ps}
	for _, d := range tree.Docs {
		if d.Body == nil {
			continue
		}
		return b.node(d.Body)
	}
	return &Node{Kind: Map, Pos: Pos{File: file, Line: 1, Col: 1}}
}

// builder turns goccy's tree into Nodes.
type builder struct {
	file string
	ps   *Problems
}

func (b *builder) pos(n ast.Node) Pos {
	p := n.GetToken().Position
	return Pos{File: b.file, Line: p.Line, Col: p.Column}
}

func (b *builder) node(n ast.Node) *Node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n, n.Values)
	case *ast.MappingValueNode:
		return b.mapping(n, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := &Node{Kind: List, Pos: b.pos(n)}
		for _, item := range n.Values {
			list.Items = append(list.Items, b.node(item))
		}
		return list
	case *ast.LiteralNode:
		return &Node{Kind: Scalar, Pos: b.pos(n), Value: n.Value.Value, Quoted: true}
	case *ast.StringNode:
		quoted := n.Token.Indicator != 0
		return &Node{Kind: Scalar, Pos: b.pos(n), Value: n.Value, Quoted: quoted}
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return &Node{Kind: Scalar, Pos: b.pos(n), Value: n.GetToken().Value}
	case *ast.NullNode:
		b.ps.Add(Problem{Pos: b.pos(n), What: "nothing stands here", Why: "a null means nothing to Weir", Fix: "write a value or remove the key"})
	default:
		b.ps.Errorf(b.pos(n), "%s is not supported", n.Type())
	}
	return &Node{Pos: b.pos(n)}
}

func (b *builder) mapping(n ast.Node, values []*ast.MappingValueNode) *Node {
	m := &Node{Kind: Map, Pos: b.pos(n)}
	if len(values) > 0 {
		m.Pos = b.pos(values[0].Key)
	}
	seen := make(map[string]Pos, len(values))
	for _, v := range values {
		key := b.node(v.Key)
		value := b.node(v.Value)
		if key.Kind != Scalar {
			continue
		}
		if first, twice := seen[key.Value]; twice {
			b.ps.Errorf(key.Pos, "key %q stands here for the second time; the first is %s", key.Value, first)
			continue
		}
		seen[key.Value] = key.Pos
		m.Entries = append(m.Entries, Entry{Key: key.Value, KeyPos: key.Pos, Value: value})
	}
	return m
}
