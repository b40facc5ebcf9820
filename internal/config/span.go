package config

import (
	"cmp"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// span is the permitted range of a value, both ends included. Times have an upper bound too, because a time that nobody
// can have meant is a mistake, which is better reported than waited for.
type span[T int | time.Duration] struct{ least, most T }

// hold reports the value of a key of n if it is outside the span. It skips a value that is not written, and one that
// has a problem already. why says what the value is for.
func (s span[T]) hold(n *doc.Node, key string, value T, why string, ps *doc.Problems) {
	at := n.Get(key)
	if at == nil || isNone(at) || s.least <= value && value <= s.most || ps.Has(at.Pos) {
		return
	}
	ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("%s is %s", key, spell(value)), Why: why, Fix: fmt.Sprintf("write %s to %s", spell(s.least), spell(s.most))})
}

// spell writes a value as it is written in a config.
func spell(value any) string { return doc.EncodeNode(value).Value }

// place is where the value of a key stands, or the place of the map if the key is missing.
func place(n *doc.Node, key string) doc.Pos { return cmp.Or(n.Get(key), n).Pos }
