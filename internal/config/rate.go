package config

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// rate is a size a second that may be `none`.
type rate int64

func (r *rate) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		*r = rate(NoRate)
		return
	}
	var size doc.Size
	var own doc.Problems
	doc.Decode(n, &size, &own)
	ps.Join(&own)
	if size == 0 && !own.Failed() && n.Kind == doc.Scalar {
		ps.Add(doc.Problem{Pos: n.Pos, What: "a rate of no bytes at all", Why: "it would bound nothing", Fix: "write a size for one second such as 240B, or none for no bound"})
	}
	*r = rate(size)
}

// EncodeDoc implements doc.NodeEncoder.
func (r rate) EncodeDoc() *doc.Node {
	if int64(r) == NoRate {
		return doc.EncodeNode(none)
	}
	return doc.EncodeNode(doc.Size(r))
}

// quota is a number that may be `none`.
type quota int

func (q *quota) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		*q = 0
		return
	}
	var number int
	var own doc.Problems
	doc.Decode(n, &number, &own)
	ps.Join(&own)
	if number <= 0 && !own.Failed() && n.Kind == doc.Scalar {
		ps.Add(doc.Problem{Pos: n.Pos, What: "a bound of " + strconv.Itoa(number), Why: "nobody would be served", Fix: "write a number of 1 or more, or none for no bound"})
	}
	*q = quota(number)
}

// EncodeDoc implements doc.NodeEncoder.
func (q quota) EncodeDoc() *doc.Node {
	if q == 0 {
		return doc.EncodeNode(none)
	}
	return doc.EncodeNode(int(q))
}
