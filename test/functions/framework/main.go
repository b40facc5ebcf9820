// Command framework is a function for tests, written with Google's own library.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
)

func main() {
	functions.HTTP("Echo", echo)
	if err := funcframework.StartHostPort(os.Getenv("HOST"), os.Getenv("PORT")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/panic" {
		panic("out of tea")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body) //nolint:gosec // G705: no browser asks it
}
