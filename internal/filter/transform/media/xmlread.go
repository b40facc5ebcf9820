package media

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The namespaces that have a special meaning here.
const (
	xmlNamespace      = "http://www.w3.org/XML/1998/namespace"
	instanceNamespace = "http://www.w3.org/2001/XMLSchema-instance"
)

// XML reads and writes elements as JSON:
//
//	<order id="7"><item>tea</item><item>pot</item></order>
//	{"order":{"@id":"7","item":["tea","pot"]}}
//
// An element that contains only text becomes that text: "" if it is empty, and null with xsi:nil. Attributes become
// members that begin with '@'; text beside attributes or elements becomes #text, in one piece. Elements of the same
// name become a list if there are several, and always if Lists says so. Every value is a string, as in XML.
//
// Writing is the reverse: members keep their order, and null and empty lists are left out. Comments and processing
// instructions are skipped.
type XML struct {
	// Root is the name of the outermost element: reading removes it from the JSON, and writing adds it.
	Root string
	// Lists are the paths, from the JSON's outermost value, of members that are always lists, with one element, several
	// or none.
	Lists Paths
	// Prefixes keeps the prefixes of names and the namespace declarations. Without it, names are their local parts.
	Prefixes bool
}

// element is an element as it was read.
type element struct {
	name       string // as in the JSON
	space      string // the URI of its namespace
	local      string
	attributes []attribute
	children   []*element
	text       []byte
	null       bool
}

// attribute is an attribute that is included in the JSON.
type attribute struct{ name, value string }

// Decode implements Format.
func (x *XML) Decode(body []byte, _ string) ([]byte, error) {
	root, err := readXML(body, x.Prefixes)
	if err != nil {
		return nil, err
	}
	if x.Root != "" {
		if root.name != x.Root {
			return nil, fmt.Errorf("the outermost element is %s, not %s", shortened(root.name), x.Root)
		}
		return root.append(nil, x.Lists)
	}
	return appendChildren(append([]byte(nil), '{'), []*element{root}, x.Lists, '}')
}

// xmlReader reads one document.
type xmlReader struct {
	decoder  *xml.Decoder
	prefixes bool
	open     []opened
	scope    []declaration
	root     *element
	count    int
}

// opened is an element whose end tag has not been read yet.
type opened struct {
	*element

	raw   xml.Name // with its prefix, to match the end tag
	scope int      // how many declarations there were before it
}

type declaration struct{ prefix, uri string }

// readXML reads a document. The decoder knows no entities except XML's own five. It is asked for raw tokens: in
// translated ones, an undeclared prefix looks like a namespace.
func readXML(body []byte, prefixes bool) (*element, error) {
	r := xmlReader{decoder: xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff")))), prefixes: prefixes}
	r.decoder.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, &charsetError{charset}
	}
	for {
		token, err := r.decoder.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.token(token)
		}
		if err != nil {
			return nil, fmt.Errorf("%w, before byte %d", worded(err), r.decoder.InputOffset())
		}
	}
	if len(r.open) > 0 || r.root == nil {
		return nil, errors.New("it ends too early")
	}
	return r.root, nil
}

// charsetError is the error of a document in a charset other than UTF-8.
type charsetError struct{ charset string }

func (e *charsetError) Error() string {
	return "the charset " + shortened(e.charset) + " is not read, send UTF-8"
}

// worded removes the line number from the decoder's error, because the byte offset is reported instead.
func worded(err error) error {
	if charset, ok := errors.AsType[*charsetError](err); ok {
		return charset
	}
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return errors.New(syntax.Msg)
	}
	return err
}

func (r *xmlReader) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		return r.end(t.Name)
	case xml.CharData:
		if n := len(r.open); n > 0 {
			r.open[n-1].text = append(r.open[n-1].text, t...)
		} else if len(bytes.TrimSpace(t)) > 0 {
			return errors.New("text stands outside of the outermost element")
		}
	case xml.Directive:
		return errors.New("document types are refused")
	}
	return nil
}

func (r *xmlReader) start(t xml.StartElement) error {
	switch {
	case len(r.open) == 0 && r.root != nil:
		return errors.New("there is a second outermost element")
	case len(r.open) == maxDepth:
		return fmt.Errorf("elements are nested deeper than %d", maxDepth)
	}
	if r.count += 1 + len(t.Attr); r.count > maxElements {
		return fmt.Errorf("there are more than %d elements and attributes", maxElements)
	}
	e := opened{element: new(element), raw: t.Name, scope: len(r.scope)}
	if err := r.declare(t.Attr); err != nil {
		return err
	}
	var err error
	if e.space, err = r.uri(t.Name); err != nil {
		return err
	}
	e.local, e.name = t.Name.Local, r.spelled(t.Name)
	if err := r.attributes(e.element, t.Attr); err != nil {
		return err
	}
	if n := len(r.open); n > 0 {
		parent := r.open[n-1]
		parent.children = append(parent.children, e.element)
	} else {
		r.root = e.element
	}
	r.open = append(r.open, e)
	return nil
}

// spelled is the name as written in the JSON.
func (r *xmlReader) spelled(name xml.Name) string {
	if r.prefixes && name.Space != "" {
		return name.Space + ":" + name.Local
	}
	return name.Local
}

// isDeclaration tells whether an attribute declares a namespace, and returns its prefix.
func isDeclaration(name xml.Name) (prefix string, ok bool) {
	if name.Space == "xmlns" {
		return name.Local, true
	}
	return "", name.Space == "" && name.Local == "xmlns"
}

// declare records the namespaces that an element declares (Namespaces in XML 1.0, section 3).
func (r *xmlReader) declare(attributes []xml.Attr) error {
	for _, a := range attributes {
		prefix, ok := isDeclaration(a.Name)
		switch {
		case !ok:
		case prefix != "" && !isNCName(prefix):
			return fmt.Errorf("%s is no prefix", shortened(prefix))
		case prefix == "xmlns" || prefix == "xml" && a.Value != xmlNamespace || prefix != "" && a.Value == "":
			return fmt.Errorf("the prefix %s cannot be declared like that", shortened(prefix))
		case len(r.scope) == maxPrefixes:
			return fmt.Errorf("more than %d prefixes are declared", maxPrefixes)
		default:
			r.scope = append(r.scope, declaration{prefix, a.Value})
		}
	}
	return nil
}

// uri returns the namespace of a name by its prefix, at this place of the document.
func (r *xmlReader) uri(name xml.Name) (string, error) {
	prefix := name.Space
	if strings.Contains(name.Local, ":") || prefix != "" && !isNCName(name.Local) { // the decoder checks only the name as a whole
		return "", fmt.Errorf("%s is no name with a prefix", shortened(name.Local))
	}
	for _, d := range slices.Backward(r.scope) {
		if d.prefix == prefix {
			return d.uri, nil
		}
	}
	switch prefix {
	case "":
		return "", nil
	case "xml":
		return xmlNamespace, nil
	}
	return "", fmt.Errorf("the prefix %s is not declared", shortened(prefix))
}

// attributes adds to e the attributes that are included in the JSON.
func (r *xmlReader) attributes(e *element, list []xml.Attr) error {
	if len(list) == 0 {
		return nil
	}
	seen := make(map[xml.Name]bool, len(list))
	named := make(map[string]bool, len(list))
	for _, a := range list {
		_, declares := isDeclaration(a.Name)
		expanded := xml.Name{Local: a.Name.Local, Space: a.Name.Space}
		if !declares {
			uri, err := r.uri(a.Name)
			if err != nil {
				return err
			}
			if a.Name.Space != "" { // an attribute without a prefix has no namespace
				expanded.Space = uri
			}
		}
		if seen[expanded] {
			return fmt.Errorf("the attribute %s stands twice", shortened(a.Name.Local))
		}
		seen[expanded] = true
		if expanded.Space == instanceNamespace && a.Name.Local == "nil" {
			e.null = a.Value == "true" || a.Value == "1"
			continue
		}
		if declares && !r.prefixes {
			continue
		}
		name := "@" + r.spelled(a.Name)
		if named[name] {
			return fmt.Errorf("two attributes are called %s but for their prefixes", shortened(a.Name.Local))
		}
		named[name] = true
		e.attributes = append(e.attributes, attribute{name, a.Value})
	}
	return nil
}

func (r *xmlReader) end(name xml.Name) error {
	n := len(r.open) - 1
	if n < 0 || r.open[n].raw != name {
		return fmt.Errorf("an end of %s stands where another is expected", shortened(name.Local))
	}
	r.scope = r.scope[:r.open[n].scope]
	r.open = r.open[:n]
	return nil
}

// append writes the element's value as JSON; lists are the paths below it.
func (e *element) append(dst []byte, lists Paths) ([]byte, error) {
	blank := len(bytes.TrimSpace(e.text)) == 0
	switch {
	case e.null && len(e.children) == 0 && blank:
		return append(dst, "null"...), nil
	case len(e.attributes)+len(e.children) == 0 && (len(lists) == 0 || !blank):
		return jsonx.AppendString(dst, string(e.text)), nil
	}
	dst = append(dst, '{')
	for _, a := range e.attributes {
		dst = appendMember(dst, a.name)
		dst = jsonx.AppendString(dst, a.value)
	}
	dst, err := appendChildren(dst, e.children, lists, 0)
	if err != nil {
		return nil, err
	}
	if !blank || len(e.children) == 0 && len(e.text) > 0 {
		dst = appendMember(dst, "#text")
		dst = jsonx.AppendString(dst, string(e.text))
	}
	return append(dst, '}'), nil
}

// appendMember writes a name, after a comma unless it is the first.
func appendMember(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(jsonx.AppendString(dst, name), ':')
}

// appendChildren writes elements as members, those of the same name together where the first one is, then the missing
// members that are always lists, then closing if it is not 0.
func appendChildren(dst []byte, children []*element, lists Paths, closing byte) ([]byte, error) {
	groups, err := grouped(children)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		dst = appendMember(dst, group[0].name)
		below, isList := lists.Below(group[0].name)
		isList = isList || len(group) > 1
		if isList {
			dst = append(dst, '[')
		}
		for i, e := range group {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = e.append(dst, below); err != nil {
				return nil, err
			}
		}
		if isList {
			dst = append(dst, ']')
		}
	}
	for _, name := range lists.Ends() {
		if !slices.ContainsFunc(groups, func(g []*element) bool { return g[0].name == name }) {
			dst = append(appendMember(dst, name), "[]"...)
		}
	}
	if closing != 0 {
		dst = append(dst, closing)
	}
	return dst, nil
}

// grouped puts elements of the same name together. Elements whose names are equal only because their namespaces were
// dropped are refused: one would be mistaken for the other.
func grouped(children []*element) ([][]*element, error) {
	var groups [][]*element
	at := make(map[string]int, len(children))
	for _, e := range children {
		i, known := at[e.name]
		switch {
		case !known:
			at[e.name] = len(groups)
			groups = append(groups, []*element{e})
		case groups[i][0].space != e.space:
			return nil, fmt.Errorf("two elements are called %s but for their namespaces", shortened(e.name))
		default:
			groups[i] = append(groups[i], e)
		}
	}
	return groups, nil
}

// shortened bounds the length of a name from the body, for use in a message.
func shortened(name string) string {
	const most = 40
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "..."
	}
	return name
}
