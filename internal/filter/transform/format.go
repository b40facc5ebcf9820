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

// Format is one, a name or a map of one name to what is said about it.
type Format struct {
	Name string
	Pos  doc.Pos
	Options
}

// Options are what is said about a format.
type Options struct {
	Root     string `doc:"root,omitzero" help:"the outermost element, which the JSON does not have" example:"order"`
	Lists    []Path `doc:"lists,oneormany,omitzero" help:"paths of what is always a list, be it one or none" example:"order.items.item"`
	Prefixes bool   `doc:"prefixes,omitzero" help:"keeps the prefixes of names and the declarations of namespaces"`
	Action   string `doc:"action,omitzero" help:"the SOAPAction" example:"urn:orders#GetOrder"`
	Version  string `doc:"version,omitzero" help:"1.1 or 1.2; 1.1 unless told" example:"1.2"`
}

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

// DecodeDoc reads a name, or a map of one.
func (f *Format) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	f.Pos = n.Pos
	switch {
	case n.Kind == doc.Scalar:
		f.Name = n.Value
	case n.Kind == doc.Map && len(n.Entries) == 1:
		f.Name, f.Pos = n.Entries[0].Key, n.Entries[0].KeyPos
		doc.Decode(n.Entries[0].Value, &f.Options, ps)
	case n.Kind != 0:
		ps.Add(doc.Problem{Pos: n.Pos, What: "this is no format", Why: "a format is a name, or a map of one name to what is said about it", Fix: "for example `xml`, or `xml: { root: order }`"})
		return
	}
	if f.Name != "" && !slices.Contains(media.Names(), f.Name) {
		p := doc.Problem{Pos: f.Pos, What: fmt.Sprintf("there is no format %q", f.Name), Why: "there are " + strings.Join(media.Names(), ", ")}
		if near, ok := doc.Suggest(f.Name, media.Names()); ok {
			p.Fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.Add(p)
	}
}

// DocSchema implements doc.SchemaWriter.
func (Format) DocSchema() *doc.Schema {
	s := doc.SchemaOr[Options](&doc.Schema{Enum: media.Names()})
	options := s.AnyOf[1]
	properties := make(doc.Properties, 0, len(media.Names()))
	for _, name := range media.Names() {
		properties = append(properties, doc.Property{Name: name, Schema: options})
	}
	s.AnyOf[1] = &doc.Schema{Type: doc.Types{"object"}, Properties: properties, AdditionalProperties: false}
	return s
}

// EncodeDoc writes the format as it is read.
func (f Format) EncodeDoc() *doc.Node {
	name := &doc.Node{Kind: doc.Scalar, Pos: f.Pos, Value: f.Name}
	options := doc.EncodeNode(f.Options)
	if len(options.Entries) == 0 {
		return name
	}
	return &doc.Node{Kind: doc.Map, Pos: f.Pos, Entries: []doc.Entry{{Key: f.Name, KeyPos: f.Pos, Value: options}}}
}

// problems tells which options are none of the format.
func (f *Format) problems() []doc.Problem {
	var list []doc.Problem
	of := func(option string, said bool, formats ...string) {
		if said && !slices.Contains(formats, f.Name) {
			list = append(list, doc.Problem{Pos: f.Pos, What: fmt.Sprintf("the format %s has no %s", f.Name, option), Why: option + " is for " + strings.Join(formats, ", "), Fix: "remove it"})
		}
	}
	of("root", f.Root != "", media.NameXML)
	of("lists", len(f.Lists) > 0, media.NameXML, media.NameSOAP, media.NameForm, media.NameMultipart)
	of("prefixes", f.Prefixes, media.NameXML, media.NameSOAP)
	of("action", f.Action != "", media.NameSOAP)
	of("version", f.Version != "", media.NameSOAP)
	if f.Version != "" && f.Version != "1.1" && f.Version != "1.2" {
		list = append(list, doc.Problem{Pos: f.Pos, What: fmt.Sprintf("there is no SOAP %s", f.Version), Fix: "write 1.1 or 1.2"})
	}
	if !httpx.IsFieldValue(f.Action) || strings.ContainsAny(f.Action, `"\`) {
		list = append(list, doc.Problem{Pos: f.Pos, What: "the action holds a quote, a backslash or a control character", Fix: "write a URI"})
	}
	for _, path := range f.Lists {
		if !path.plain() {
			list = append(list, doc.Problem{Pos: path.Pos, What: fmt.Sprintf("the path %q is not names alone", path.Text), Why: "it says which elements are lists", Fix: "name them"})
		}
	}
	return list
}

// codec makes the format ready.
func (f *Format) codec() codec {
	lists := make(media.Paths, 0, len(f.Lists))
	for i := range f.Lists {
		lists = append(lists, f.Lists[i].names())
	}
	made := codec{name: f.Name, action: f.Action, soap12: f.Version == "1.2"}
	xml := media.XML{Root: f.Root, Lists: lists, Prefixes: f.Prefixes}
	switch f.Name {
	case media.NameXML:
		made.Format = &xml
	case media.NameSOAP:
		made.Format = &media.SOAP{XML: xml, Version: f.Version}
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

// codecs makes the formats ready, json where there are none.
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

// names are those of the formats, for notes.
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
