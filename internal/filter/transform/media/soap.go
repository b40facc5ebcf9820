package media

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The namespaces of SOAP's envelopes.
const (
	soap11 = "http://schemas.xmlsoap.org/soap/envelope/"
	soap12 = "http://www.w3.org/2003/05/soap-envelope"
)

// SOAP is XML within an envelope. Its JSON is the content of the Body, an object with a member for each element there.
// Headers are skipped. Both versions are read. Version names the one that is written; "" is "1.1".
type SOAP struct {
	XML

	Version string
}

// FaultError is a Fault in place of an answer.
type FaultError struct{ Code, Reason string }

func (e *FaultError) Error() string {
	return fmt.Sprintf("a SOAP fault, %s: %s", shortened(e.Code), e.Reason)
}

// Decode implements Format. The error is a *FaultError if the Body contains a Fault.
func (s *SOAP) Decode(body []byte, _ string) ([]byte, error) {
	root, err := readXML(body, s.Prefixes)
	if err != nil {
		return nil, err
	}
	if root.local != "Envelope" || root.space != soap11 && root.space != soap12 {
		return nil, fmt.Errorf("the outermost element is %s, and no SOAP envelope", shortened(root.name))
	}
	content := root.children11or12("Body")
	if len(content) != 1 {
		return nil, fmt.Errorf("the envelope has %d bodies", len(content))
	}
	if faults := content[0].children11or12("Fault"); len(faults) > 0 {
		return nil, faults[0].fault()
	}
	return appendChildren(append([]byte(nil), '{'), content[0].children, s.Lists, '}')
}

// children11or12 returns the children of that name in the element's own namespace.
func (e *element) children11or12(local string) []*element {
	var list []*element
	for _, c := range e.children {
		if c.local == local && c.space == e.space {
			list = append(list, c)
		}
	}
	return list
}

// child returns the first child of that name, in any namespace, or an empty element if there is none.
func (e *element) child(local string) *element {
	for _, c := range e.children {
		if c.local == local {
			return c
		}
	}
	return &element{}
}

// fault reads a Fault of either version (SOAP 1.1 section 4.4, SOAP 1.2 section 5.4).
func (e *element) fault() *FaultError {
	if e.space == soap12 {
		return &FaultError{Code: e.child("Code").child("Value").trimmed(), Reason: e.child("Reason").child("Text").trimmed()}
	}
	return &FaultError{Code: e.child("faultcode").trimmed(), Reason: e.child("faultstring").trimmed()}
}

func (e *element) trimmed() string { return strings.TrimSpace(string(e.text)) }

// Append implements Format.
func (s *SOAP) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	if v.Kind() != jsonx.Object {
		return nil, "", fmt.Errorf("the content of a SOAP body is an object with a member for each element, this is %s", v.Kind())
	}
	uri, contentType := soap11, "text/xml; charset=utf-8"
	if s.Version == "1.2" {
		uri, contentType = soap12, "application/soap+xml; charset=utf-8"
	}
	const prefix = "soap"
	w := xmlWriter{dst: append(dst, xmlHead...), prefixes: []string{prefix}, depth: 2, most: len(dst) + room(v)}
	w.dst = append(w.dst, "<soap:Envelope xmlns:soap=\""+uri+"\"><soap:Body>"...)
	for name, inner := range v.Members() {
		if err := w.element(name, inner); err != nil {
			return nil, "", err
		}
	}
	return append(w.dst, "</soap:Body></soap:Envelope>"...), contentType, nil
}
