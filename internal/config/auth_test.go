package config_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// FuzzAuthRule holds that a rule that is read is printed as it is read, and that no
// alternative of it is empty: that would let everybody pass.
func FuzzAuthRule(f *testing.F) {
	for _, seed := range []string{"a", "a | b & c | anonymous", "a||b", "&", "|", "a & anonymous", " a&b ", "none", "anonymous", "a |\tb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := func(text string) (config.AuthRule, bool) {
			var r config.AuthRule
			var ps doc.Problems
			r.DecodeDoc(&doc.Node{Kind: doc.Scalar, Value: text}, &ps)
			return r, !ps.Failed()
		}
		r, ok := read(text)
		if !ok {
			return
		}
		if len(r.AnyOf) == 0 {
			t.Fatalf("%q lets everybody pass", text)
		}
		for _, ways := range r.AnyOf {
			if len(ways) == 0 {
				t.Fatalf("an alternative of %q is empty", text)
			}
		}
		if again, ok := read(r.String()); !ok || again.String() != r.String() || strings.Count(again.String(), "|") != strings.Count(text, "|")-duplicates(text) {
			t.Fatalf("%q is printed as %q, and then as %q", text, r, again)
		}
	})
}

// duplicates are the further `anonymous` of a rule, which are printed once.
func duplicates(text string) int {
	n := 0
	for part := range strings.SplitSeq(text, "|") {
		if strings.TrimSpace(part) == config.Anonymous {
			n++
		}
	}
	return max(0, n-1)
}
