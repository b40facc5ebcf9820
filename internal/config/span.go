package config

import (
	"cmp"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// span is what a value may be, both ends included. Times have an end too: one that nobody can
// have meant is a slip, and better told than lived through.
type span[T int | time.Duration] struct{ least, most T }

// hold tells of the value of a key of n that is out of its span; one that is not written, and
// one of which something is wrong already, is left. why is what the value is about.
func (s span[T]) hold(n *doc.Node, key string, value T, why string, ps *doc.Problems) {
	at := n.Get(key)
	if at == nil || isNone(at) || s.least <= value && value <= s.most || ps.Has(at.Pos) {
		return
	}
	ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("%s is %s", key, spell(value)), Why: why, Fix: fmt.Sprintf("write %s to %s", spell(s.least), spell(s.most))})
}

// spell writes a value as a config has it.
func spell(value any) string { return doc.EncodeNode(value).Value }

// place is where the value of a key stands, or the map where there is none.
func place(n *doc.Node, key string) doc.Pos { return cmp.Or(n.Get(key), n).Pos }
