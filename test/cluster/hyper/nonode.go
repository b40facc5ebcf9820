//go:build !node

package main

import "github.com/spf13/cobra"

// node returns nothing if only the control plane is wanted, which takes half as long to build.
func node() map[string]func() *cobra.Command { return nil }
