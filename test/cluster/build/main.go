// Program build builds what the tests of test/cluster run, if it does not exist yet, and prints its path.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/weir-gateway/weir/test/cluster"
)

func main() {
	pods := flag.Bool("pods", false, "with the parts that run pods")
	flag.Parse()
	path, err := cluster.Build(*pods, os.Stderr)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = fmt.Fprintln(os.Stdout, path)
}
