package docs_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// explains reports whether a page explains keys of configs.
func explains(name string) bool {
	return slices.Contains([]string{"docs/configuration.md", "docs/functions.md", "docs/lambda.md", "docs/google.md", "docs/azure.md"}, name) ||
		strings.HasSuffix(name, "/README.md") && slices.ContainsFunc([]string{"auth", "discovery", "filter", "function"}, func(room string) bool { return strings.HasPrefix(name, "internal/"+room+"/") })
}

// word matches what may be a key within a code span.
var word = regexp.MustCompile(`[a-z_]+`)

func TestEveryKeyOfConfigsIsExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, p := range pages(t) {
		if !explains(p.name) {
			continue
		}
		for _, span := range p.codeSpans() {
			for _, w := range word.FindAllString(span, -1) {
				explained[w] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys())) {
		if !explained[key] {
			t.Errorf("the key %q is on no page: explain it in docs/configuration.md or the filter's README", key)
		}
	}
}

// TestEveryExplainedKeyExists checks the tables whose first column is headed "key".
func TestEveryExplainedKeyExists(t *testing.T) {
	known, seen := keys(), 0
	for _, p := range pages(t) {
		if !explains(p.name) {
			continue
		}
		inTable := false
		for i, line := range p.lines {
			if !strings.HasPrefix(line, "|") {
				inTable = false
				continue
			}
			cell := strings.TrimSpace(strings.Split(line, "|")[1])
			inTable = inTable || cell == "key"
			for _, span := range codeSpan.FindAllString(cell, -1) {
				if !inTable || !p.prose[i] {
					continue
				}
				seen++
				for key := range strings.SplitSeq(strings.Trim(span, "`"), ".") {
					if !known[key] {
						t.Errorf("%s:%d: there is no key %q", p.name, i+1, key)
					}
				}
			}
		}
	}
	if seen == 0 {
		t.Error("there is no table of keys on any page")
	}
}

// keys returns everything that may precede a colon, except names that users choose.
func keys() map[string]bool {
	found := map[string]bool{}
	vocabulary := app.Parts().Vocabulary()
	collectKeys(config.Schema(vocabulary), found)
	for _, kind := range vocabulary.Filters { // the schema of a filter with a short form may list fewer keys
		collectTags(reflect.TypeOf(kind.New()), found)
	}
	return found
}

// collectTags finds the keys that doc.Decode reads into a type.
func collectTags(t reflect.Type, found map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectTags(t.Elem(), found)
	case reflect.Struct:
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("doc"), ",")
			if name != "" && name != "-" {
				found[name] = true
				collectTags(field.Type, found)
			}
		}
	default:
	}
}

func collectKeys(s *doc.Schema, found map[string]bool) {
	if s == nil {
		return
	}
	for _, p := range s.Properties {
		found[p.Name] = true
		collectKeys(p.Schema, found)
	}
	for _, p := range s.Defs { // references are by name and lead here
		collectKeys(p.Schema, found)
	}
	for _, option := range s.AnyOf {
		collectKeys(option, found)
	}
	collectKeys(s.Items, found)
	if more, ok := s.AdditionalProperties.(*doc.Schema); ok {
		collectKeys(more, found)
	}
}

func TestKeysAreFoundAtEveryDepth(t *testing.T) {
	known := keys()
	for _, key := range []string{"listen", "routes", "to", "share", "regex", "exact", "origins", "concurrency", "cert", "proxies", "first_request"} {
		if !known[key] {
			t.Errorf("the schema's key %q was not found", key)
		}
	}
}
