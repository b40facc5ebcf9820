package cli

import "os"

// upgradeSignals returns nil, because sockets cannot be handed over on Windows.
func upgradeSignals() []os.Signal { return nil }
