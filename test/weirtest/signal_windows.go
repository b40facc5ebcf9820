package weirtest

import "os"

// terminate kills, because Windows has no SIGTERM for other processes.
var terminate = os.Kill //nolint:gochecknoglobals // it is a constant in spirit
