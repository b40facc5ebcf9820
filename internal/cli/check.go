package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/expect"
	"github.com/weir-gateway/weir/internal/control/source"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

func checkCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check CONFIG",
		Short: "Report all problems of a config, offline and without its secrets.",
		Example: `  weir check weir.yaml
  weir check examples/shop`,
		Args: args(1, 1, "one file or folder"),
		RunE: func(_ *cobra.Command, given []string) error {
			checked, compiled, err := s.check(given[0])
			if err != nil {
				return err
			}
			c := checked.Config
			if failed := expect.Problems(expect.Run(compiled, c.Tests)); len(failed) > 0 {
				s.tell(failed, checked.Sources)
				_, _ = fmt.Fprintf(s.Err, "%d of %s failed\n", len(failed), count(len(c.Tests), "test"))
				return errSaid
			}
			tests := ""
			if len(c.Tests) > 0 {
				tests = ", " + count(len(c.Tests), "test")
			}
			_, _ = fmt.Fprintf(s.Out, "ok: %s, %s, %s%s\n",
				count(len(c.Routes), "route"), count(len(c.Services), "service"), count(len(c.Functions), "function"), tests)
			return nil
		},
	}
}

// check loads and compiles a config without starting anything. It prints the problems; if there are errors among them,
// it returns errSaid.
func (s Streams) check(path string) (source.Loaded, *snapshot.Snapshot, error) {
	return s.checkInput(source.Input{Path: path})
}

func (s Streams) checkInput(in source.Input) (source.Loaded, *snapshot.Snapshot, error) {
	parts := app.Parts()
	loaded, err := in.Load(parts.Vocabulary())
	if err != nil {
		return loaded, nil, err
	}
	problems := loaded.Problems
	var compiled *snapshot.Snapshot
	if loaded.Config != nil {
		checked, more := compile.Check(parts, loaded.Config, loaded.Digest)
		compiled, problems = checked, slices.Concat(problems, more)
	}
	s.tell(problems, loaded.Sources)
	if n := failures(problems); n > 0 {
		_, _ = fmt.Fprintf(s.Err, "%s\n", count(n, "problem"))
		return loaded, nil, errSaid
	}
	return loaded, compiled, nil
}
