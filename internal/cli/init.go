package cli

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// starter is what `weir init` writes.
//
//go:embed starter.yaml
var starter string

func initCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "init [FILE]",
		Short:   "Write a commented config to start from.",
		Example: "  weir init            write weir.yaml\n  weir init - | less   print it",
		Args:    args(0, 1, "at most one file name"),
		RunE: func(_ *cobra.Command, given []string) error {
			name := "weir.yaml"
			if len(given) == 1 {
				name = given[0]
			}
			if name == "-" {
				_, err := fmt.Fprint(s.Out, starter)
				return err
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a config is for others to read
			if errors.Is(err, os.ErrExist) {
				return usageError{fmt.Errorf("%s exists and was left alone; name another file", name)}
			}
			if err != nil {
				return err
			}
			if _, err := f.WriteString(starter); err != nil {
				return errors.Join(err, f.Close())
			}
			if err := f.Close(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "wrote %s; next: weir run %s\n", name, strings.TrimPrefix(name, "./"))
			return err
		},
	}
}
