package conformance

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// clusterName is the name of an object without a namespace.
func clusterName(name string) types.NamespacedName { return types.NamespacedName{Name: name} }

// results is the result of each official test.
type results struct {
	mu    sync.Mutex
	lines []string
}

func (r *results) add(t *testing.T, test suite.ConformanceTest) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	outcome := "pass"
	switch {
	case t.Failed():
		outcome = "FAIL"
	case t.Skipped():
		outcome = "skip"
	}
	features := make([]string, 0, len(test.Features))
	for _, f := range test.Features {
		features = append(features, string(f))
	}
	r.lines = append(r.lines, fmt.Sprintf("%s %s (%s)", outcome, test.ShortName, strings.Join(features, ", ")))
}

// check compares the result of the whole suite with testdata/results.txt, so that a test that begins to be skipped is
// noticed like one that begins to fail.
func (r *results) check(t *testing.T) {
	t.Helper()
	slices.Sort(r.lines)
	golden(t, "testdata/results.txt", strings.Join(r.lines, "\n")+"\n")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run with -update to make it")
	require.Equal(t, string(want), got)
}
