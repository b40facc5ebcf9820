package cli

import "os"

// upgradeSignals are none: sockets cannot be handed over.
func upgradeSignals() []os.Signal { return nil }
