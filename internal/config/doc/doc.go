// Package doc reads YAML strictly and keeps the position of everything it reads. It reports each mistake as
// `file:line:col: what, why, what to do`, and all mistakes in one run.
//
// Parse turns a file into a tree of Nodes. It reads the part of YAML 1.2 in which each line shows what it means: maps,
// lists, texts in quotes or behind `|` and `>`, brackets, comments. Anchors, aliases, merge keys, tags, nulls, complex
// keys, directives and further documents are problems. So is a text that continues over several lines without a `|` or
// `>`, which is nearly always a line with wrong indentation. Scalars keep their text (`010`, `no` and `1:30` are just
// that). The field that a scalar is for gives it a meaning.
//
// Weir has its own reader because a reader made for machines stops at the first mistake and cannot say what was meant.
// This one continues after each mistake, has specific messages for the known traps (see trap.go), and takes time and
// memory linear in its input for any input. The tests compare it with a descendant of libyaml.
//
// Decode fills a Go struct from a Node by its `doc` tags. It reports unknown keys as problems with a suggestion. Types
// with a short and a long form implement Decoder. The same tags produce the JSON Schema (SchemaOf) and print a value
// (Encode). Format is what `weir fmt` does.
package doc

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a source; lines and columns begin at 1, columns count runes.
type Pos struct {
	File string // as the user named it
	Line int
	Col  int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Kind is the shape of a Node.
type Kind uint8

// The shapes.
const (
	Scalar Kind = iota + 1
	List
	Map
)

func (k Kind) String() string { return [...]string{"nothing", "a value", "a list", "a map"}[k] }

// Node is one piece of a document. Nodes are immutable after Parse. A Node without a Kind marks a place that could not
// be read and was reported.
type Node struct {
	Kind Kind
	Pos  Pos // of the first character
	// Value is a scalar's text after YAML's own unquoting: `010` stays "010".
	Value string
	// Quoted is true if a scalar was written in quotes or as a block, so "8" and '=x' are meant as text.
	Quoted bool
	// Items are the elements of a List.
	Items []*Node
	// Entries are the pairs of a Map in the order they were written; keys are unique.
	Entries []Entry
	// Comment is printed after the node by Encode, without its `#`. Parse leaves it empty.
	Comment string
}

// Entry is one pair of a Map.
type Entry struct {
	Key    string
	KeyPos Pos
	Value  *Node
}

// Get returns the value under key, or nil.
func (n *Node) Get(key string) *Node {
	for _, e := range n.Entries {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// Under returns the map that n is short for: a map whose only entry is n under key.
func (n *Node) Under(key string) *Node {
	return &Node{Kind: Map, Pos: n.Pos, Entries: []Entry{{Key: key, KeyPos: n.Pos, Value: n}}}
}

// Severity orders problems.
type Severity uint8

// An Error refuses the document; a Warning does not.
const (
	Error Severity = iota
	Warning
)

// Problem is one thing that is wrong: where, what, why and what to do. What, Why and Fix are each a short part of a
// sentence. What is always set; Why and Fix may be empty.
type Problem struct {
	Pos      Pos
	Severity Severity
	What     string // `unknown key "lisen"`
	Why      string // `routes know auth, to, ...`
	Fix      string // `did you mean "listen"?`
}

// String returns the one-line form `file:line:col: what, why, what to do`, without the position if there is none.
func (p Problem) String() string {
	var s strings.Builder
	if p.Pos != (Pos{}) {
		s.WriteString(p.Pos.String() + ": ")
	}
	if p.Severity == Warning {
		s.WriteString("warning: ")
	}
	s.WriteString(p.What)
	for _, part := range []string{p.Why, p.Fix} {
		if part != "" {
			s.WriteString("; " + part)
		}
	}
	return s.String()
}

// Problems collects what is wrong with one or more sources. The zero value is ready to use. It is not safe for
// concurrent use.
type Problems struct{ list []Problem }

// Add appends a problem.
func (ps *Problems) Add(p Problem) { ps.list = append(ps.list, p) }

// Join adds the problems of a part that was checked separately.
func (ps *Problems) Join(part *Problems) { ps.list = append(ps.list, part.list...) }

// Errorf adds an error that consists of its What only.
func (ps *Problems) Errorf(pos Pos, format string, args ...any) {
	ps.Add(Problem{Pos: pos, What: fmt.Sprintf(format, args...)})
}

// Failed reports whether any of the problems is an Error.
func (ps *Problems) Failed() bool { return slices.ContainsFunc(ps.list, Problem.isError) }

func (p Problem) isError() bool { return p.Severity == Error }

// Has reports whether there is an Error at a position.
func (ps *Problems) Has(at Pos) bool {
	return slices.ContainsFunc(ps.list, func(p Problem) bool { return p.Severity == Error && p.Pos == at })
}

// Len returns how many problems were added.
func (ps *Problems) Len() int { return len(ps.list) }

// Sorted returns all problems by file, line and column, each once.
func (ps *Problems) Sorted() []Problem {
	sorted := slices.Clone(ps.list)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return slices.Compact(sorted)
}

// Decoder is implemented by types that read themselves, because they have a short form or are more than a struct.
// DecodeDoc reports problems to ps and then leaves a usable zero value. It never panics, whatever the Node.
type Decoder interface{ DecodeDoc(n *Node, ps *Problems) }
