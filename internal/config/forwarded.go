package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// DecodeDoc reads one name, a list of names, or none.
func (f *Forwarded) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		return
	}
	var names []string
	if n.Kind == doc.Scalar {
		names = []string{n.Value}
	} else if !doc.Decode(n, &names, ps) {
		return
	}
	if len(names) == 0 {
		ps.Add(doc.Problem{Pos: n.Pos, What: "forwarded names nothing", Fix: "write none, or name the fields that the backend gets"})
	}
	eachText(n, func(name string, pos doc.Pos) { f.add(name, pos, ps) })
}

func (f *Forwarded) add(name string, pos doc.Pos, ps *doc.Problems) {
	known := forward.Withholdable()
	switch {
	case strings.EqualFold(name, "Via"):
		ps.Add(doc.Problem{Pos: pos, What: "forwarded names Via", Why: "every backend gets it, because loops are found by it", Fix: "remove it"})
	case !slices.Contains(known, name):
		ps.Add(doc.Problem{
			Pos: pos, What: fmt.Sprintf("forwarded names %q", name), Why: "it can name " + strings.Join(known, ", "),
			Fix: suggest(name, known, "headers adds and removes other fields"),
		})
	default:
		f.Names = append(f.Names, name)
	}
}

// forwardedNode returns f as it is written, nil for the default.
func forwardedNode(f *Forwarded) *doc.Node {
	switch {
	case f == nil:
		return nil
	case len(f.Names) == 0:
		return doc.EncodeNode(none)
	default:
		return doc.EncodeNode(f.Names)
	}
}
