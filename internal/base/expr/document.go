package expr

import (
	"fmt"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// documentDepth is more than a config and what stands in its leaves are nested.
const documentDepth = 512

var errDocument = fmt.Errorf("the JSON is larger than %d bytes", maxOutput)

// Document is JSON made ready: texts that are always the same, and what is computed
// between them. It is made by Literal and Computed, and from then on safe for
// concurrent use.
type Document struct{ parts []piece }

// Computed is a value of a Document: a *Program, or what its maker knows a shorter way to.
type Computed interface {
	Source() string
	// Value gives what jsonx.Append can write.
	Value(in *Input) (any, error)
}

// Sized is implemented by what knows how long its JSON will be.
type Sized interface{ Size(in *Input) int }

// piece is a text, and a value behind it where one is not nil.
type piece struct {
	text string
	one  Computed
}

// Literal adds a part of the JSON text that is always the same.
func (d *Document) Literal(text string) {
	if n := len(d.parts); n > 0 && d.parts[n-1].one == nil {
		d.parts[n-1].text += text
		return
	}
	d.parts = append(d.parts, piece{text: text})
}

// Computed adds a value.
func (d *Document) Computed(one Computed) {
	if n := len(d.parts); n > 0 && d.parts[n-1].one == nil {
		d.parts[n-1].one = one
		return
	}
	d.parts = append(d.parts, piece{one: one})
}

// Size is how much room the JSON takes, but for what is not known.
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

// Append writes the JSON to dst. What comes with an error is a part of it.
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

// Value gives the JSON as a body that expressions can read.
func (d *Document) Value(in *Input) (jsonx.Value, error) {
	text, err := d.Append(nil, in)
	if err != nil {
		return jsonx.Value{}, err
	}
	return jsonx.Parse(text, jsonx.Options{MaxBytes: maxOutput, MaxDepth: documentDepth})
}
