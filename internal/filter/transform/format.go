package transform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// Formats are the formats that a body may have, the preferred one first.
type Formats []Format

// Format is one format: a name, or a map from that name to its options.
type Format struct {
	Name      string
	Pos       doc.Pos
	XML       *XML       `doc:"xml,omitzero" help:"XML, with elements as members"`
	SOAP      *SOAP      `doc:"soap,omitzero" help:"the contents of the body of a SOAP envelope"`
	Form      *Form      `doc:"form,omitzero" help:"application/x-www-form-urlencoded"`
	Multipart *Multipart `doc:"multipart,omitzero" help:"multipart/form-data"`
}

// XML has the options of xml.
type XML struct {
	Root     string `doc:"root,omitzero" help:"the outermost element, which the JSON does not contain" example:"order"`
	Lists    []Path `doc:"lists,oneormany,omitzero" help:"paths of elements that are always a list, even if there is only one or none" example:"order.items.item"`
	Prefixes bool   `doc:"prefixes,omitzero" help:"whether to keep name prefixes and namespace declarations"`
}

// SOAP has the options of soap.
type SOAP struct {
	Action   string `doc:"action,omitzero" help:"the SOAPAction of messages that are written" example:"urn:orders#GetOrder"`
	Version  string `doc:"version,omitzero" help:"1.1 or 1.2, for messages that are written; 1.1 by default" example:"1.2"`
	Lists    []Path `doc:"lists,oneormany,omitzero" help:"paths of elements that are always a list, even if there is only one or none" example:"GetOrderResponse.item"`
	Prefixes bool   `doc:"prefixes,omitzero" help:"whether to keep name prefixes and namespace declarations"`
}

// Form has the options of form.
type Form struct {
	Lists []Path `doc:"lists,oneormany,omitzero" help:"names that are always a list, even if there is only one value or none" example:"tag"`
}

// Multipart has the options of multipart.
type Multipart Form

// DecodeDoc reads a format, or a list of them.
func (f *Formats) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	nodes := []*doc.Node{n}
	if n.Kind == doc.List {
		nodes = n.Items
	}
	*f = nil
	for _, item := range nodes {
		var one Format
		one.DecodeDoc(item, ps)
		if slices.ContainsFunc(*f, func(before Format) bool { return before.Name == one.Name }) {
			ps.Add(doc.Problem{Pos: item.Pos, What: fmt.Sprintf("the format %s stands twice", one.Name), Fix: "keep one of them"})
		}
		*f = append(*f, one)
	}
	if len(nodes) == 0 {
		ps.Add(doc.Problem{Pos: n.Pos, What: "the list of formats is empty", Fix: "write one of " + strings.Join(media.Names(), ", ")})
	}
}

// DocSchema implements doc.SchemaWriter.
func (Formats) DocSchema() *doc.Schema {
	one := Format{}.DocSchema()
	return &doc.Schema{AnyOf: []*doc.Schema{one, doc.ListSchema(one)}}
}

// DecodeDoc reads a name, or a map with one name.
func (f *Format) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	f.Pos = n.Pos
	switch {
	case n.Kind == doc.Scalar:
		f.Name = n.Value
	case n.Kind == doc.Map && len(n.Entries) == 1:
		f.Name, f.Pos = n.Entries[0].Key, n.Entries[0].KeyPos
		type long Format
		doc.Decode(n, (*long)(f), ps)
		return
	case n.Kind != 0:
		ps.Add(doc.Problem{Pos: n.Pos, What: "this is no format", Why: "a format is a name, or a map of one name to what is said about it", Fix: "for example `xml`, or `xml: { root: order }`"})
		return
	}
	if n.Kind == doc.Scalar && !slices.Contains(media.Names(), f.Name) {
		p := doc.Problem{Pos: f.Pos, What: fmt.Sprintf("there is no format %q", f.Name), Why: "there are " + strings.Join(media.Names(), ", ")}
		if near, ok := doc.Suggest(f.Name, media.Names()); ok {
			p.Fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.Add(p)
	}
}

// DocSchema implements doc.SchemaWriter.
func (Format) DocSchema() *doc.Schema {
	type long Format
	return doc.SchemaOr[long](&doc.Schema{Enum: media.Names()})
}

// EncodeDoc writes the format as it is read.
func (f Format) EncodeDoc() *doc.Node {
	type long Format
	if n := doc.EncodeNode(long(f)); len(n.Entries) > 0 {
		return n
	}
	return &doc.Node{Kind: doc.Scalar, Pos: f.Pos, Value: f.Name}
}

// lists are the paths of members that are always lists.
func (f *Format) lists() []Path {
	switch {
	case f.XML != nil:
		return f.XML.Lists
	case f.SOAP != nil:
		return f.SOAP.Lists
	case f.Form != nil:
		return f.Form.Lists
	case f.Multipart != nil:
		return f.Multipart.Lists
	default:
		return nil
	}
}

// problems tells what is wrong with the options of the format.
func (f *Format) problems(written bool) []doc.Problem {
	var list []doc.Problem
	if s := f.SOAP; s != nil {
		switch {
		case !written && (s.Action != "" || s.Version != ""):
			list = append(list, doc.Problem{Pos: f.Pos, What: "action and version are of what is written", Why: "both versions are read", Fix: "move them to write"})
		case s.Version != "" && s.Version != "1.1" && s.Version != "1.2":
			list = append(list, doc.Problem{Pos: f.Pos, What: fmt.Sprintf("there is no SOAP %s", s.Version), Fix: "write 1.1 or 1.2"})
		case !httpx.IsFieldValue(s.Action) || strings.ContainsAny(s.Action, `"\`):
			list = append(list, doc.Problem{Pos: f.Pos, What: "the action holds a quote, a backslash or a control character", Fix: "write a URI"})
		}
	}
	for _, path := range f.lists() {
		switch flat := f.Form != nil || f.Multipart != nil; {
		case written:
			list = append(list, doc.Problem{Pos: path.Pos, What: "lists are of what is read", Why: "what is written is a list where the JSON has one", Fix: "move them to read"})
		case !path.plain() || flat && len(path.segments) > 1:
			list = append(list, doc.Problem{Pos: path.Pos, What: fmt.Sprintf("the path %q does not name a list", path.Text), Fix: "write names alone, of a form one"})
		}
	}
	return list
}

// codec makes the format ready.
func (f *Format) codec() codec {
	lists := make(media.Paths, 0, len(f.lists()))
	for _, path := range f.lists() {
		lists = append(lists, path.names())
	}
	made := codec{name: f.Name}
	switch f.Name {
	case media.NameXML:
		x := &media.XML{Lists: lists}
		if f.XML != nil {
			x.Root, x.Prefixes = f.XML.Root, f.XML.Prefixes
		}
		made.Format = x
	case media.NameSOAP:
		s := &media.SOAP{XML: media.XML{Lists: lists}}
		if f.SOAP != nil {
			s.Version, s.Prefixes, made.action = f.SOAP.Version, f.SOAP.Prefixes, f.SOAP.Action
		}
		made.Format, made.soap12 = s, s.Version == "1.2"
	case media.NameForm:
		made.Format = &media.Form{Lists: lists}
	case media.NameMultipart:
		made.Format = &media.Multipart{Lists: lists}
	case media.NameText:
		made.Format = &media.Text{}
	case media.NameBytes:
		made.Format = &media.Bytes{}
	default:
		made.Format = &media.JSON{}
	}
	return made
}

// codec is a format ready to run.
type codec struct {
	media.Format

	name   string
	action string
	soap12 bool
}

// codecs makes the formats ready, json by default.
func (f Formats) codecs() []codec {
	if len(f) == 0 {
		f = Formats{{Name: media.NameJSON}}
	}
	list := make([]codec, len(f))
	for i := range f {
		list[i] = f[i].codec()
	}
	return list
}

// names are the names of the formats, for notes.
func names(list []codec) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = c.name
	}
	return strings.Join(texts, " or ")
}

// types are the media types of the formats.
func types(list []codec) string {
	var texts []string
	for _, c := range list {
		texts = append(texts, media.Types(c.name)...)
	}
	return strings.Join(texts, ", ")
}
