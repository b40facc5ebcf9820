package cli

import (
	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
)

func expandCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "expand CONFIG",
		Short:   "Print the long form of a config, with defaults and where each came from.",
		Example: "  weir expand weir.yaml",
		Args:    args(1, 1, "one file or folder"),
		RunE: func(_ *cobra.Command, given []string) error {
			checked, _, err := s.check(given[0])
			if err != nil {
				return err
			}
			_, err = s.Out.Write(config.Expand(checked.Config, app.Parts().Vocabulary()))
			return err
		},
	}
}
