package cli

import _ "embed"

// starter is what `weir init` writes.
//
//go:embed starter.yaml
var starter string
