package config

import (
	"cmp"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// orNone reads a value greater than zero, or the word none, for which it returns unbound. nothing is the problem
// reported for zero: some readers take zero for none at all, others for no bound.
func orNone[T cmp.Ordered](n *doc.Node, unbound T, nothing doc.Problem, ps *doc.Problems) T {
	if isNone(n) {
		return unbound
	}
	var value, zero T
	if doc.Decode(n, &value, ps) && value <= zero && n.Kind == doc.Scalar {
		nothing.Pos = n.Pos
		ps.Add(nothing)
	}
	return value
}

// bound is a duration, or `none`.
type bound time.Duration

func (b *bound) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*b = bound(orNone(n, NoTimeout, doc.Problem{
		What: "a time-out of zero", Why: "everything would fail at once", Fix: "write a time such as 5s, or none for no bound",
	}, ps))
}

// volume is a size, or `none`.
type volume int64

func (v *volume) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*v = volume(orNone(n, doc.Size(0), doc.Problem{
		What: "a body limit of 0 bytes", Why: "it could mean no body or no bound", Fix: "write a size such as 10MB, or none for no bound",
	}, ps))
}

// EncodeDoc implements doc.NodeEncoder.
func (v volume) EncodeDoc() *doc.Node {
	if v == 0 {
		return doc.EncodeNode(none)
	}
	return doc.EncodeNode(doc.Size(v))
}

// rate is a size per second, or `none`.
type rate int64

func (r *rate) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*r = rate(orNone(n, doc.Size(NoRate), doc.Problem{
		What: "a rate of 0 bytes", Why: "it would bound nothing", Fix: "write a size for one second such as 240B, or none for no bound",
	}, ps))
}

// EncodeDoc implements doc.NodeEncoder.
func (r rate) EncodeDoc() *doc.Node {
	if int64(r) == NoRate {
		return doc.EncodeNode(none)
	}
	return doc.EncodeNode(doc.Size(r))
}

// quota is a number, or `none`.
type quota int

func (q *quota) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*q = quota(orNone(n, 0, doc.Problem{
		What: "a bound of " + n.Value, Why: "no client would be served", Fix: "write a number of 1 or more, or none for no bound",
	}, ps))
}

// EncodeDoc implements doc.NodeEncoder.
func (q quota) EncodeDoc() *doc.Node {
	if q == 0 {
		return doc.EncodeNode(none)
	}
	return doc.EncodeNode(int(q))
}
