package expr

import (
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// CEL says what a match has cost when it is over, which takes seconds for the first of these.
func TestAPatternIsTriedOnlyOnWhatItCanAfford(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, pattern int
		refused       bool
	}{
		{500_000, 601, true}, {1 << 20, 39, true}, {1 << 20, 38, false}, {0, 10_000, false}, {10_000, 0, false}, {40, 1_000_000, false}, {41, 1_000_000, true},
	} {
		args := []ref.Val{types.String(strings.Repeat("a", c.text)), types.String(strings.Repeat("b", c.pattern))}
		if err := weighMatches(args); (err != nil) != c.refused {
			t.Errorf("a text of %d and a pattern of %d: %v", c.text, c.pattern, err)
		}
	}
	if weights["matches"] == nil {
		t.Error("matches is not weighed")
	}
}
