// Command command is a guest for tests that runs anew for each request, as CGI runs programs. Build it with GOOS=wasip1
// GOARCH=wasm go build.
package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	switch os.Getenv("PATH_INFO") {
	case "/seen":
		put("Content-Type: text/plain\n\n")
		all := os.Environ()
		slices.Sort(all)
		put(strings.Join(all, "\n"), "\n", strings.Join(os.Args, " "), "\n")
	case "/echo":
		put("Status: 201 Created\r\nX-Length: ", os.Getenv("CONTENT_LENGTH"), "\r\nContent-Length: 9999\r\n\r\n")
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "/moved":
		put("Location: https://shop.dev/\n\n")
	case "/log":
		_, _ = os.Stderr.WriteString("to stderr\n")
		put("Status: 204\n\n")
	case "/files":
		_, err := os.ReadFile("/etc/passwd")
		put("Content-Type: text/plain\n\n", err.Error())

	case "/nothing":
	case "/text":
		put("hello, here I am\n")
	case "/empty-head":
		put("\nbody")
	case "/field":
		put("X Y: 1\n\n")
	case "/status":
		put("Status: fine\n\n")
	case "/long-head":
		put("X: ", strings.Repeat("x", 70<<10), "\n\n")
	case "/exit":
		put("Content-Type: text/plain\n\nhalf")
		os.Exit(3)
	case "/trap":
		panic("out of tea")
	case "/loop":
		for {
		}
	case "/sleep":
		time.Sleep(time.Hour)
	case "/flood":
		put("Content-Type: text/plain\n\n")
		for {
			_, _ = os.Stdout.Write(make([]byte, 1<<20))
		}
	case "/bomb":
		var held [][]byte
		for {
			held = append(held, make([]byte, 1<<20))
			held[len(held)-1][0] = 1
		}
	}
}

func put(texts ...string) {
	for _, text := range texts {
		_, _ = os.Stdout.WriteString(text)
	}
}
