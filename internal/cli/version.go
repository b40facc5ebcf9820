package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func versionCommand(version string, s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version.",
		Example: "  weir version",
		Args:    args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, version)
			return err
		},
	}
}
