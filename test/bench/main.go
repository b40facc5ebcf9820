// Command bench measures Weir, with each of its engines, beside nginx, HAProxy and Caddy. All do the same work in the
// same minute on the same processor, in rounds in which they take turns. It writes docs/benchmarks.md. It fails on
// wrong answers and lost requests, never because of a time.
//
//	go run .                             # what docs/benchmarks.md has
//	go run . -cases rate -rounds 20      # one case, for a narrower interval
//	go run . -peers nginx,own -page ""   # two of them, and print only
//
// Each proxy has one processor of its own, and the others are for the origin and the clients. With -free, no process
// is bound to a processor. Processor time is that of all processes of a proxy, in user space and in the kernel. The
// load of other programs on the machine is measured too. A sample that was taken beside such load is taken again, up
// to twice.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout))
}
