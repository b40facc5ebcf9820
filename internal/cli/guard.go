package cli

import (
	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/function/local"
)

// guardCommand ends the processes of functions after the gateway was killed: see
// package function/local. It is no command for people.
func guardCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use: local.GuardArgument, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, given []string) error { return local.GuardMain(given, s.In, s.Out) },
	}
}
