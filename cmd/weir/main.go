// Command weir is an API gateway with service discovery built in.
package main

import (
	"os"

	"github.com/weir-gateway/weir/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(cli.Main(os.Args[1:], version, cli.OS()))
}
