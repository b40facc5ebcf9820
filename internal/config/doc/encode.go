package doc

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NodeEncoder is implemented by types that print themselves, because they read themselves (Decoder) or have a short
// form worth keeping. A nil Node omits the field.
type NodeEncoder interface{ EncodeDoc() *Node }

// Encode prints v as YAML in block style, with quotes only where they are needed, so that Parse and Decode read an
// equal value back. v is a *Node or anything that Decode fills: structs with `doc` tags, maps (printed with sorted
// keys), slices and scalars. Encode omits nil pointers, slices and maps, zero fields with the tag option omitzero, and
// texts that Decode would refuse. It prints a Node's Comment at the end of its line. Types that Decode does not support
// panic.
func Encode(v any) []byte {
	n := EncodeNode(v)
	if n == nil {
		return nil
	}
	if n.Kind == Scalar && gluedKey(n.Value) != "" { // a document that looks like a key
		n = &Node{Kind: Scalar, Value: n.Value, Quoted: true, Comment: n.Comment}
	}
	var p printer
	p.node(n, 0, alone)
	return []byte(p.String())
}

// EncodeNode returns the tree that Encode prints, so that comments can be added to it. It is nil if v is nil.
func EncodeNode(v any) *Node {
	if v == nil {
		return nil
	}
	return encode(reflect.ValueOf(v))
}

func encode(v reflect.Value) *Node {
	if isNil(v) {
		return nil
	}
	if n, ok := encodedByItself(v); ok {
		return n
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return encode(v.Elem())
	case reflect.Struct:
		return encodeStruct(v)
	case reflect.Slice, reflect.Array:
		return encodeSlice(v)
	case reflect.Map:
		return encodeMap(v)
	default:
		return encodeScalar(v)
	}
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return v.IsNil()
	default:
		return !v.IsValid()
	}
}

// encodedByItself lets a type that can encode itself print v. Methods of the pointer count, too.
func encodedByItself(v reflect.Value) (*Node, bool) {
	if !v.CanInterface() {
		return nil, false
	}
	if n, ok := reflect.TypeAssert[*Node](v); ok {
		return n, true
	}
	if n, ok := encodeBy(v.Interface()); ok || v.Kind() == reflect.Pointer {
		return n, ok
	}
	pointer := reflect.New(v.Type())
	pointer.Elem().Set(v)
	return encodeBy(pointer.Interface())
}

func encodeBy(v any) (*Node, bool) {
	switch v := v.(type) {
	case NodeEncoder:
		return v.EncodeDoc(), true
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			text = fmt.Append(nil, v)
		}
		return &Node{Kind: Scalar, Value: string(text)}, true
	}
	return nil, false
}

func encodeStruct(v reflect.Value) *Node {
	n := &Node{Kind: Map}
	for _, f := range inspect(v.Type()).fields {
		value := v.FieldByIndex(f.index)
		if (f.omitZero || f.text) && value.IsZero() {
			continue
		}
		if child := encode(value); child != nil {
			n.Entries = append(n.Entries, Entry{Key: f.name, Value: child})
		}
	}
	return n
}

func encodeSlice(v reflect.Value) *Node {
	n := &Node{Kind: List}
	for i := range v.Len() {
		if item := encode(v.Index(i)); item != nil {
			n.Items = append(n.Items, item)
		}
	}
	return n
}

func encodeMap(v reflect.Value) *Node {
	n := &Node{Kind: Map}
	for key, value := range v.Seq2() {
		if child := encode(value); child != nil {
			n.Entries = append(n.Entries, Entry{Key: key.String(), Value: child})
		}
	}
	slices.SortFunc(n.Entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return n
}

func encodeScalar(v reflect.Value) *Node {
	n := &Node{Kind: Scalar}
	switch value := v.Interface().(type) {
	case time.Duration:
		n.Value = durationText(value)
		return n
	case Size:
		n.Value = value.String()
		return n
	}
	switch v.Kind() {
	case reflect.String:
		n.Value = v.String()
		n.Quoted = looksOtherwise(n.Value)
	case reflect.Bool:
		n.Value = strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.Value = strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.Value = strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		n.Value = strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	default:
		panic(fmt.Sprintf("doc: values of type %s are not supported", v.Type()))
	}
	return n
}

// looksOtherwise reports whether another YAML reader would take a text for a number or a bool. Weir would not, but
// other tools read its files, too.
func looksOtherwise(s string) bool {
	switch strings.ToLower(s) {
	case yes, no, "yes", "no", "on", "off", "y", "n":
		return true
	}
	_, err := strconv.ParseFloat(s, 64)
	if err != nil {
		_, err = strconv.ParseInt(s, 0, 64)
	}
	return err == nil
}

// durationText is time.Duration.String without the parts that are zero: 1h, not 1h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
