package media

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

const (
	xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	xmlType = "application/xml; charset=utf-8"
)

// Append implements Format.
func (x *XML) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	w := xmlWriter{dst: append(dst, xmlHead...), most: len(dst) + room(v)}
	if x.Root != "" {
		if v.Kind() == jsonx.List || v.Kind() == jsonx.Null {
			return nil, "", fmt.Errorf("the element %s cannot be %s", x.Root, v.Kind())
		}
		return w.dst, xmlType, w.element(x.Root, v)
	}
	name, inner, err := single(v)
	if err != nil {
		return nil, "", err
	}
	err = w.element(name, inner)
	return w.dst, xmlType, err
}

// single returns the only member of the outermost object.
func single(v jsonx.Value) (string, jsonx.Value, error) {
	for name, inner := range v.Members() {
		if v.Len() != 1 || inner.Kind() == jsonx.List || inner.Kind() == jsonx.Null {
			break
		}
		return name, inner, nil
	}
	return "", jsonx.Value{}, errors.New("XML has one outermost element, so the JSON is an object with one member that is no list; or write root")
}

// xmlWriter writes one document.
type xmlWriter struct {
	dst      []byte
	prefixes []string // those in scope
	depth    int
	most     int // the largest length of dst
}

// element writes a value as elements of that name: none for null, several for a list.
func (w *xmlWriter) element(name string, v jsonx.Value) error {
	switch v.Kind() {
	case jsonx.Null:
		return nil
	case jsonx.List:
		for e := range v.Elements() {
			if e.Kind() == jsonx.List {
				return fmt.Errorf("a list in the list %s has no form in XML", shortened(name))
			}
			if err := w.element(name, e); err != nil {
				return err
			}
		}
		return nil
	}
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("elements would be nested deeper than %d", maxDepth)
	}
	declared := len(w.prefixes)
	err := w.one(name, v)
	if err == nil && len(w.dst) > w.most {
		err = errTooLong(w.most)
	}
	w.prefixes = w.prefixes[:declared]
	w.depth--
	return err
}

// one writes one element.
func (w *xmlWriter) one(name string, v jsonx.Value) error {
	if !isQName(name) {
		return fmt.Errorf("%q is no name of an element", shortened(name))
	}
	w.dst = append(append(w.dst, '<'), name...)
	if err := w.attributes(v); err != nil {
		return err
	}
	if err := w.declared(name); err != nil {
		return err
	}
	w.dst = append(w.dst, '>')
	if v.Kind() != jsonx.Object {
		if err := w.text(v, false); err != nil {
			return err
		}
	}
	for member, inner := range v.Members() {
		var err error
		switch {
		case strings.HasPrefix(member, "@"):
		case member == "#text":
			err = w.text(inner, false)
		default:
			err = w.element(member, inner)
		}
		if err != nil {
			return err
		}
	}
	w.dst = append(append(append(w.dst, "</"...), name...), '>')
	return nil
}

// attributes writes the attributes of an object. The declarations among them apply to all of them.
func (w *xmlWriter) attributes(v jsonx.Value) error {
	for member := range v.Members() {
		if prefix, ok := strings.CutPrefix(member, "@xmlns:"); ok {
			if len(w.prefixes) == maxPrefixes {
				return fmt.Errorf("more than %d prefixes would be declared", maxPrefixes)
			}
			w.prefixes = append(w.prefixes, prefix)
		}
	}
	for member, value := range v.Members() {
		name, ok := strings.CutPrefix(member, "@")
		if !ok || value.Kind() == jsonx.Null {
			continue
		}
		if !isQName(name) {
			return fmt.Errorf("%q is no name of an attribute", shortened(name))
		}
		if err := w.declared(name); err != nil {
			return err
		}
		w.dst = append(append(append(w.dst, ' '), name...), `="`...)
		if err := w.text(value, true); err != nil {
			return err
		}
		w.dst = append(w.dst, '"')
	}
	return nil
}

// declared requires that the prefix of a name is declared.
func (w *xmlWriter) declared(name string) error {
	prefix, _, ok := strings.Cut(name, ":")
	if !ok || prefix == "xmlns" || prefix == "xml" || slices.Contains(w.prefixes, prefix) {
		return nil
	}
	return fmt.Errorf("the prefix %s is not declared; write %q beside what uses it", shortened(prefix), "@xmlns:"+prefix)
}

// text writes a value that is neither an object nor a list.
func (w *xmlWriter) text(v jsonx.Value, attribute bool) error {
	switch v.Kind() {
	case jsonx.Null:
		return nil
	case jsonx.String:
		return w.escaped(v.Text(), attribute)
	case jsonx.Number, jsonx.Bool:
		w.dst = append(w.dst, v.Raw()...)
		return nil
	default:
		return fmt.Errorf("%s stands where XML has text", v.Kind())
	}
}

// escaped writes the characters that XML can contain (XML 1.0 section 2.2). Whitespace that a reader would change is
// written as numeric references.
func (w *xmlWriter) escaped(s string, attribute bool) error {
	for _, c := range s {
		switch {
		case c == '&':
			w.dst = append(w.dst, "&amp;"...)
		case c == '<':
			w.dst = append(w.dst, "&lt;"...)
		case c == '>':
			w.dst = append(w.dst, "&gt;"...)
		case c == '"' && attribute:
			w.dst = append(w.dst, "&quot;"...)
		case c == '\r':
			w.dst = append(w.dst, "&#xD;"...)
		case c == '\n' && attribute:
			w.dst = append(w.dst, "&#xA;"...)
		case c == '\t' && attribute:
			w.dst = append(w.dst, "&#x9;"...)
		case c < ' ' && c != '\n' && c != '\t' || c == 0xFFFE || c == 0xFFFF:
			return fmt.Errorf("XML cannot hold the character U+%04X", c)
		default:
			w.dst = utf8.AppendRune(w.dst, c)
		}
	}
	return nil
}

// isQName holds for names with or without a prefix (Namespaces in XML 1.0, section 4).
func isQName(s string) bool {
	prefix, local, ok := strings.Cut(s, ":")
	return isNCName(prefix) && (!ok || isNCName(local))
}

// isNCName holds for a name without a colon.
func isNCName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		switch {
		case c >= utf8.RuneSelf:
			return isReadAsName(s)
		case !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')):
			return false
		}
	}
	return s != ""
}

// isReadAsName asks the XML reader, because it knows which non-ASCII letters names may have.
func isReadAsName(s string) bool {
	if strings.ContainsAny(s, "<>/=&?! \t\r\n\"'") {
		return false
	}
	token, err := xml.NewDecoder(strings.NewReader("<" + s + "/>")).RawToken()
	start, ok := token.(xml.StartElement)
	return err == nil && ok && start.Name.Local == s
}
