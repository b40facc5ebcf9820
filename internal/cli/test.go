package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/expect"
	"github.com/weir-gateway/weir/internal/control/source"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

func testCommand(s Streams) *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test CONFIG",
		Short: "Run the tests of a config, without sending anything.",
		Long: `Run the tests in a config: which route, which backend and which status of the gateway a
request gets. The same code decides as when requests are served, but nothing is sent,
and a request that is passed on counts as 200. A running gateway also runs the tests
before each change, and refuses the change if one fails.

--record adds a test of today's behaviour for each route that has no such test yet, to
the file or, if CONFIG is a folder, to its tests.yaml.`,
		Example: `  weir test weir.yaml
  weir test weir.yaml --run orders -v
  weir test --record weir.yaml`,
		Args: args(1, 1, "one file or folder"),
		RunE: func(_ *cobra.Command, given []string) error {
			only, err := regexp.Compile(o.run)
			if err != nil {
				return usageError{fmt.Errorf("--run: %w", err)}
			}
			checked, compiled, err := s.check(given[0])
			if err != nil {
				return err
			}
			tests := slices.DeleteFunc(slices.Clone(checked.Config.Tests), func(t config.Test) bool { return !only.MatchString(expect.Name(t)) })
			results := expect.Run(compiled, tests)
			if o.json {
				err = s.testsAsJSON(results)
			} else if !o.record {
				s.tests(results, o.verbose)
			}
			if failed := expect.Problems(results); err == nil && len(failed) > 0 {
				if o.record {
					s.tell(failed, checked.Sources)
					_, _ = fmt.Fprintln(s.Err, "nothing was recorded: first fix or remove the tests that fail")
				}
				err = errSaid
			}
			if err == nil && o.record {
				err = s.record(given[0], checked, compiled)
			}
			return err
		},
	}
	c.Flags().StringVar(&o.run, "run", "", "run only tests whose request matches this regular `expression`")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "also print tests that pass")
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
	c.Flags().BoolVar(&o.record, "record", false, "add tests of today's behaviour")
	return c
}

type testOptions struct {
	run                   string
	verbose, json, record bool
}

// tests prints results in the form of go test.
func (s Streams) tests(results []expect.Result, verbose bool) {
	failed := 0
	for _, r := range results {
		if len(r.Failures) == 0 {
			if verbose {
				_, _ = fmt.Fprintf(s.Out, "--- PASS: %s (%s)\n", expect.Name(r.Test), r.Test.Origin)
			}
			continue
		}
		failed++
		_, _ = fmt.Fprintf(s.Out, "%s %s (%s)\n", s.color(red, "--- FAIL:"), expect.Name(r.Test), r.Test.Origin)
		for _, text := range r.Failures {
			_, _ = fmt.Fprintf(s.Out, "    %s: %s\n", r.Test.Origin, text)
		}
	}
	switch {
	case failed > 0:
		_, _ = fmt.Fprintf(s.Out, "FAIL: %d of %s\n", failed, count(len(results), "test"))
	case len(results) == 0:
		_, _ = fmt.Fprintln(s.Out, "ok: no tests; `weir test --record` writes some")
	default:
		_, _ = fmt.Fprintf(s.Out, "ok: %s\n", count(len(results), "test"))
	}
}

// testOutcome is a result as JSON.
type testOutcome struct {
	Test     string       `json:"test"`
	At       string       `json:"at"`
	Passed   bool         `json:"passed"`
	Failures []string     `json:"failures,omitempty"`
	Found    expect.Found `json:"found"`
}

func (s Streams) testsAsJSON(results []expect.Result) error {
	list := make([]testOutcome, len(results))
	for i, r := range results {
		list[i] = testOutcome{expect.Name(r.Test), r.Test.Origin.String(), len(r.Failures) == 0, r.Failures, r.Found}
	}
	encoder := json.NewEncoder(s.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

// recorded is the file of a folder to which tests are added.
const recorded = "tests.yaml"

// record adds tests of what happens today.
func (s Streams) record(path string, checked source.Loaded, compiled *snapshot.Snapshot) error {
	tests, missed := expect.Record(compiled, checked.Config, checked.Config.Tests)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, recorded)
	}
	if len(tests) > 0 {
		if err := addTests(path, checked.Sources, tests); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(s.Out, "recorded %s in %s\n", count(len(tests), "test"), path)
	for _, name := range missed {
		_, _ = fmt.Fprintf(s.Err, "no request was found that leads to %s; write a test for it by hand\n", name)
	}
	return nil
}

func addTests(path string, sources []config.Source, tests []config.Test) error {
	file := config.Source{Path: path}
	if i := slices.IndexFunc(sources, func(s config.Source) bool { return s.Path == path }); i >= 0 {
		file = sources[i]
	}
	text, err := config.AddTests(file, tests)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(path, text, 0o644) //nolint:gosec // a config is for others to read
	}
	return replaceFile(path, text)
}
