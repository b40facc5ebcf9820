package jsonx

import "strings"

// ListBuilder builds one list from values that were parsed separately, without parsing them again. Added values are
// copied, so that their documents can be freed. The zero value is an empty list. It is not safe for concurrent use.
type ListBuilder struct {
	text  strings.Builder
	items []item
	index map[int][]uint32
	at    []uint32 // the elements
}

// Add appends v, or null for the zero Value. The total may be up to 1 GiB.
func (b *ListBuilder) Add(v Value) {
	if len(b.items) == 0 {
		b.items = append(b.items, item{kind: List})
		b.text.WriteByte('[')
	} else {
		b.text.WriteByte(',')
	}
	at := len(b.items)
	b.at = append(b.at, uint32(at))
	text := uint32(b.text.Len())
	if v.doc == nil {
		b.items = append(b.items, item{start: text, end: text + uint32(len(null)), next: uint32(at + 1), kind: Null})
		b.text.WriteString(null)
		return
	}
	it := v.item()
	for i := v.at; i < int(it.next); i++ {
		moved := v.doc.items[i]
		moved.start += text - it.start
		moved.end += text - it.start
		moved.next += uint32(at - v.at)
		b.items = append(b.items, moved)
		if elements, ok := v.doc.index[i]; ok {
			b.setIndex(i-v.at+at, shifted(elements, uint32(at-v.at)))
		}
	}
	b.text.WriteString(v.Raw())
}

const null = "null"

// shifted moves indices of one document to another one. For indices before the value, the unsigned arithmetic wraps
// around, and back.
func shifted(places []uint32, by uint32) []uint32 {
	moved := make([]uint32, len(places))
	for i, at := range places {
		moved[i] = at + by
	}
	return moved
}

func (b *ListBuilder) setIndex(i int, index []uint32) {
	if b.index == nil {
		b.index = make(map[int][]uint32)
	}
	b.index[i] = index
}

// Value returns the list. Nothing may be added after that.
func (b *ListBuilder) Value() Value {
	if len(b.items) == 0 {
		b.items = append(b.items, item{kind: List})
		b.text.WriteByte('[')
	}
	b.text.WriteByte(']')
	head := &b.items[0]
	head.end, head.next, head.size = uint32(b.text.Len()), uint32(len(b.items)), uint32(len(b.at))
	if head.size > large {
		b.setIndex(0, b.at)
	}
	return Value{&document{text: b.text.String(), items: b.items, index: b.index}, 0}
}

// Held is the approximate number of bytes that the document of v takes in memory.
func (v Value) Held() int {
	if v.doc == nil {
		return 0
	}
	n := len(v.doc.text) + cap(v.doc.items)*itemBytes
	for _, list := range v.doc.index {
		n += len(list)*4 + indexBytes
	}
	return n
}

// The sizes of an item and of an entry of the index.
const (
	itemBytes  = 20
	indexBytes = 64
)
