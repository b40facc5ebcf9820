package cli

import (
	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/process"
)

// guardCommand ends the processes that this program has started if this program is killed: see package process. It is
// not meant for users.
func guardCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use: process.GuardArgument, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, given []string) error { return process.GuardMain(given, s.In, s.Out) },
	}
}
