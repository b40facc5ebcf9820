package expr

import (
	"fmt"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// documentDepth exceeds the nesting of a config together with the values in its leaves.
const documentDepth = 512

var errDocument = fmt.Errorf("the JSON is larger than %d bytes", maxOutput)

// Document is prepared JSON: constant text, with computed values in between. It is built with Literal and Computed;
// after that it is safe for concurrent use.
type Document struct{ parts []piece }

// Computed is a value of a Document: a *Program, or a shortcut that gives the same value.
type Computed interface {
	Source() string
	// Value returns a value that jsonx.Append can write.
	Value(in *Input) (any, error)
}

// Sized is implemented by values that know how long their JSON will be.
type Sized interface{ Size(in *Input) int }

// piece is a text, followed by a value if one is not nil.
type piece struct {
	text string
	one  Computed
}

// Literal adds a constant part of the JSON text.
func (d *Document) Literal(text string) {
	if n := len(d.parts); n > 0 && d.parts[n-1].one == nil {
		d.parts[n-1].text += text
		return
	}
	d.parts = append(d.parts, piece{text: text})
}

// Computed adds a computed value.
func (d *Document) Computed(one Computed) {
	if n := len(d.parts); n > 0 && d.parts[n-1].one == nil {
		d.parts[n-1].one = one
		return
	}
	d.parts = append(d.parts, piece{one: one})
}

// Size is the length of the JSON, without the values whose length is unknown.
func (d *Document) Size(in *Input) int {
	n := 0
	for i := range d.parts {
		n += len(d.parts[i].text)
		if sized, ok := d.parts[i].one.(Sized); ok {
			n += sized.Size(in)
		}
	}
	return min(n, maxOutput)
}

// Append appends the JSON to dst. If it returns an error, the JSON is incomplete.
func (d *Document) Append(dst []byte, in *Input) ([]byte, error) {
	start := len(dst)
	for i := range d.parts {
		dst = append(dst, d.parts[i].text...)
		if d.parts[i].one == nil {
			continue
		}
		value, err := d.parts[i].one.Value(in)
		if err != nil {
			return dst, err
		}
		if dst, err = jsonx.Append(dst, value); err != nil {
			return dst, fmt.Errorf("expression %q: %w", d.parts[i].one.Source(), err)
		}
		if len(dst)-start > maxOutput {
			return dst, errDocument
		}
	}
	return dst, nil
}

// Value returns the JSON as a body that expressions can read.
func (d *Document) Value(in *Input) (jsonx.Value, error) {
	text, err := d.Append(nil, in)
	if err != nil {
		return jsonx.Value{}, err
	}
	return jsonx.Parse(text, jsonx.Options{MaxBytes: maxOutput, MaxDepth: documentDepth})
}
