// Program hyper is the parts of a Kubernetes cluster in one file, built from their modules. No image or archive has
// to be downloaded, and the tests run against the real parts. The first argument chooses the part.
//
// It is a module of its own, because the dependencies of Kubernetes are not dependencies of Weir. test/cluster/build
// builds it.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	parts := map[string]func() *cobra.Command{"kube-apiserver": apiserver.NewAPIServerCommand}
	maps.Copy(parts, node())
	if len(os.Args) < 2 {
		fail(parts, "none")
	}
	name := os.Args[1]
	os.Args = os.Args[1:]
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	part, ok := parts[name]
	if !ok {
		fail(parts, name)
	}
	os.Exit(cli.Run(part()))
}

func fail(parts map[string]func() *cobra.Command, name string) {
	fmt.Fprintf(os.Stderr, "which part? etcd or %v, and not %s\n", slices.Sorted(maps.Keys(parts)), name)
	os.Exit(2)
}
