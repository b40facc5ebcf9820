package expr

import (
	"sync"
	"testing"
)

// TestAnEnvironmentIsSharedFromTheStart is for the race detector: a name that is not
// known is looked up among all that are, beside scopes that come and go.
func TestAnEnvironmentIsSharedFromTheStart(t *testing.T) {
	env, err := newEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	var checks sync.WaitGroup
	for range 4 {
		for _, source := range []string{"nobody", "[1].exists(x, x == 1)"} {
			checks.Go(func() {
				parsed, issues := env.Parse(source)
				if issues.Err() != nil {
					t.Error(issues.Err())
				}
				if _, issues = env.Check(parsed); (issues.Err() != nil) != (source == "nobody") {
					t.Errorf("%s: %v", source, issues.Err())
				}
			})
		}
	}
	checks.Wait()
}
