//go:build unix

package cli

import (
	"os"
	"syscall"
)

// upgradeSignals ask for another process that takes over.
func upgradeSignals() []os.Signal { return []os.Signal{syscall.SIGUSR2} }
