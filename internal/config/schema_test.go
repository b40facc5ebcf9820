package config_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func TestSchemaHasItsGolden(t *testing.T) {
	text, err := json.MarshalIndent(config.Schema(vocabulary()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/schema.json", string(text)+"\n")
}

// TestSchemaAcceptsWhatLoads holds that an editor marks nothing that Load takes,
// in the short form and in the long one.
func TestSchemaAcceptsWhatLoads(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no good configs", err)
	}
	for _, path := range paths {
		for _, s := range sources(t, path) {
			if err := newSchemaReader(t).file(t, s); err != "" {
				t.Errorf("%s, %s: %s", path, s.Path, err)
			}
		}
	}
}

// TestSchemaSaysWhatMayStandEverywhere holds that no part of it is open, for an
// editor could complete nothing there.
func TestSchemaSaysWhatMayStandEverywhere(t *testing.T) {
	for _, at := range openParts("", newSchemaReader(t).root) {
		t.Errorf("%s says nothing", at)
	}
}

// openParts are the places of a schema where anything is taken without a word.
func openParts(at string, schema map[string]any) []string {
	var open []string
	says := false
	for _, word := range []string{"type", "$ref", "anyOf", "enum", "properties"} {
		_, has := schema[word]
		says = says || has
	}
	if !says {
		open = append(open, at)
	}
	for _, word := range []string{"properties", "$defs"} {
		parts, _ := schema[word].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			part, _ := parts[name].(map[string]any)
			open = append(open, openParts(at+"/"+name, part)...)
		}
	}
	for _, word := range []string{"items", "additionalProperties"} {
		if part, ok := schema[word].(map[string]any); ok {
			open = append(open, openParts(at+"/"+word, part)...)
		}
	}
	options, _ := schema["anyOf"].([]any)
	for i, option := range options {
		part, _ := option.(map[string]any)
		open = append(open, openParts(at+"/"+strconv.Itoa(i), part)...)
	}
	return open
}

func TestSchemaRefusesUnknownKeysAndShapes(t *testing.T) {
	for _, text := range []string{
		"rotues: {}",
		"routes:\n  GET /:\n    to: http://a:1\n    timout: 5s",
		"routes:\n  GET /:\n    to: [{shere: 5%, use: http://a:1}]",
		"routes:\n  GET /:\n    to: [{bearer: {token: x}, use: http://a:1}]",
		"routes:\n  GET /:\n    cors: {origin: x}",
		"routes:\n  GET /:\n    rewrite: {paht: /x}",
		"services:\n  a: {adress: x}",
		"functions:\n  a: {rnu: x}",
		"limits: none",
		"listen: {a: {adress: x}}",
	} {
		if err := newSchemaReader(t).file(t, config.Source{Path: "x.yaml", Data: []byte(text)}); err == "" {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

// schemaReader holds values against the part of JSON Schema that doc writes.
type schemaReader struct{ root map[string]any }

func newSchemaReader(t *testing.T) schemaReader {
	t.Helper()
	text, err := json.Marshal(config.Schema(vocabulary()))
	if err != nil {
		t.Fatal(err)
	}
	var r schemaReader
	if err := json.Unmarshal(text, &r.root); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r schemaReader) file(t *testing.T, s config.Source) string {
	t.Helper()
	var ps doc.Problems
	n := doc.Parse(s.Path, s.Data, &ps)
	if ps.Failed() {
		t.Fatal(lines(ps.Sorted()))
	}
	return r.check(n, r.root)
}

// check says where n is not what schema asks for, "" where it is.
func (r schemaReader) check(n *doc.Node, schema map[string]any) string {
	if ref, ok := schema["$ref"].(string); ok {
		defs, _ := r.root["$defs"].(map[string]any)
		target, ok := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return "no definition " + ref
		}
		return r.check(n, target)
	}
	if options, ok := schema["anyOf"].([]any); ok {
		return r.any(n, options)
	}
	if words, ok := schema["enum"].([]any); ok && !slices.Contains(words, any(n.Value)) {
		return n.Pos.String() + ": " + n.Value + " is none of the words"
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(n.Value) {
		return n.Pos.String() + ": " + n.Value + " does not match " + pattern
	}
	if !r.typed(n, schema["type"]) {
		return n.Pos.String() + ": is " + n.Kind.String()
	}
	return r.children(n, schema)
}

func (r schemaReader) any(n *doc.Node, options []any) string {
	var all []string
	for _, o := range options {
		option, _ := o.(map[string]any)
		err := r.check(n, option)
		if err == "" {
			return ""
		}
		all = append(all, err)
	}
	return "none of [" + strings.Join(all, " | ") + "]"
}

// typed tells whether n may be of one of the types that a schema names.
func (r schemaReader) typed(n *doc.Node, types any) bool {
	list, many := types.([]any)
	if !many {
		if types == nil {
			return true
		}
		list = []any{types}
	}
	return slices.ContainsFunc(list, func(t any) bool {
		_, isInt := strconv.Atoi(n.Value)
		switch t {
		case "object":
			return n.Kind == doc.Map
		case "array":
			return n.Kind == doc.List
		case "integer":
			return n.Kind == doc.Scalar && isInt == nil
		case "boolean":
			return n.Kind == doc.Scalar && (n.Value == "true" || n.Value == "false")
		default:
			return n.Kind == doc.Scalar
		}
	})
}

func (r schemaReader) children(n *doc.Node, schema map[string]any) string {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if k, _ := key.(string); n.Get(k) == nil {
			return n.Pos.String() + ": no " + k
		}
	}
	for _, e := range n.Entries {
		if own, ok := properties[e.Key].(map[string]any); ok {
			if err := r.check(e.Value, own); err != "" {
				return err
			}
			continue
		}
		switch more := schema["additionalProperties"].(type) {
		case bool:
			return e.KeyPos.String() + ": unknown key " + e.Key
		case map[string]any:
			if err := r.check(e.Value, more); err != "" {
				return err
			}
		}
	}
	items, _ := schema["items"].(map[string]any)
	for _, item := range n.Items {
		if err := r.check(item, items); err != "" {
			return err
		}
	}
	return ""
}
