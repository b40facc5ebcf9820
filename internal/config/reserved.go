package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// reserved are words of the full design that this version cannot serve. They are refused by name, because a guard that
// is ignored leaves the route open. If the Vocabulary knows a filter or scheme, its line here has no effect, so a line
// may stay until somebody tidies up.
//
//nolint:gochecknoglobals // a table
var reserved = struct{ route, file, scheme []string }{
	route: []string{
		"waf", "validate", "compress", "cache", "mirror", "fault",
		"cors", "headers", "respond", "redirect", "rewrite", "breaker", "health", "hedge",
	},
	file:   []string{"certificates", "plugins", "tracing", "store", "providers"},
	scheme: []string{"http", "https", "h2c", "grpc", "k8s", "consul", "etcd", "docker", "dir"},
}

// notYet is the problem of a reserved word at pos.
func notYet(pos doc.Pos, word string) doc.Problem {
	return doc.Problem{
		Pos: pos, What: fmt.Sprintf("%q is not in this version of Weir yet", word),
		Why: "it is refused rather than ignored, because requests would be served without what it should guard or change",
		Fix: "remove it, or wait for the version that has it",
	}
}

// unknownKey is the problem of an unknown key.
func unknownKey(e doc.Entry, known []string) doc.Problem {
	known = slices.Sorted(slices.Values(known))
	p := doc.Problem{Pos: e.KeyPos, What: fmt.Sprintf("unknown key %q", e.Key), Why: "valid here: " + strings.Join(known, ", ")}
	if near, ok := doc.Suggest(e.Key, known); ok {
		p.Fix = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// suggest returns a fix that names the nearest of known, or else the text instead.
func suggest(word string, known []string, instead string) string {
	if near, ok := doc.Suggest(word, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return instead
}

// filter finds the kind of filter with that name.
func (v Vocabulary) filter(name string) (Kind, bool) { return find(v.Filters, name) }

// function finds the kind of function with that name.
func (v Vocabulary) function(name string) (Kind, bool) { return find(v.Functions, name) }

func find(kinds []Kind, name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

func (v Vocabulary) scheme(name string) (Scheme, bool) {
	i := slices.IndexFunc(v.Schemes, func(s Scheme) bool { return s.Name == name })
	if i < 0 {
		return Scheme{}, false
	}
	return v.Schemes[i], true
}

// isInlined reports whether a scheme names functions that need no declaration.
func (v Vocabulary) isInlined(name string) bool {
	s, _ := v.scheme(name)
	return s.Inline != nil
}

func (v Vocabulary) schemeNames() []string {
	names := make([]string, 0, len(v.Schemes)+len(answerSchemes()))
	for _, s := range v.Schemes {
		if s.Missing == "" {
			names = append(names, s.Name)
		}
	}
	return append(names, answerSchemes()...)
}

func kindNames(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

// answering are the filters that answer by themselves, so that the route needs no backend.
func answering() []string { return append(answerSchemes(), "batch") }

// answerSchemes are the answering filters that can be written as a backend, as respond:404.
func answerSchemes() []string { return []string{"redirect", "respond"} }

// split separates the entries of n. Those of known go into a map for doc.Decode, filters are returned in their order,
// and everything else is a problem.
func (v Vocabulary) split(n *doc.Node, known []string, filters func(Kind) bool, ps *doc.Problems) (*doc.Node, []doc.Entry) {
	own := &doc.Node{Kind: doc.Map, Pos: n.Pos}
	var found []doc.Entry
	for _, e := range n.Entries {
		kind, isKind := v.filter(e.Key)
		switch {
		case slices.Contains(known, e.Key):
			own.Entries = append(own.Entries, e)
		case isKind && filters(kind):
			found = append(found, e)
		case isKind:
			ps.Add(doc.Problem{
				Pos: e.KeyPos, What: fmt.Sprintf("%q cannot be on one variant", e.Key),
				Why: "a guard belongs to the route, so that no variant can be reached without it", Fix: "move it up to the route",
			})
		case slices.Contains(reserved.route, e.Key):
			ps.Add(notYet(e.KeyPos, e.Key))
		default:
			ps.Add(unknownKey(e, slices.Concat(known, v.allowed(filters))))
		}
	}
	return own, found
}

func (v Vocabulary) allowed(filters func(Kind) bool) []string {
	var names []string
	for _, k := range v.Filters {
		if filters(k) {
			names = append(names, k.Name)
		}
	}
	return names
}

func everyKind(Kind) bool    { return true }
func perBackend(k Kind) bool { return k.PerBackend }
