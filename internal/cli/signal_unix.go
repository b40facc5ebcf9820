//go:build unix

package cli

import (
	"os"
	"syscall"
)

// upgradeSignals returns the signals that ask for another process to take over.
func upgradeSignals() []os.Signal { return []os.Signal{syscall.SIGUSR2} }
