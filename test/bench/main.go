// Command bench measures Weir, with either of its engines, beside nginx, HAProxy and Caddy: the same
// work in the same minute on the same processor, in rounds in which they take turns. It writes
// docs/benchmarks.md, and fails on wrong answers and lost requests, never on a time.
//
//	go run .                             # what docs/benchmarks.md has
//	go run . -cases rate -rounds 20      # one case, for a narrower interval
//	go run . -peers nginx,own -page ""   # two of them, and print only
//
// Each proxy has one processor of its own, and the others are for the origin and the clients;
// with -free nobody is kept anywhere. Processor time is that of the whole session of a proxy, in
// user space and in the kernel. What else runs on the machine is measured too, and what was
// measured beside it is measured again, up to twice.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout))
}
