// Command wasm greets like a CGI program: the request is in its environment variables, and
// the response is what it prints.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
)

func main() {
	fmt.Print("Content-Type: application/json\n\n")
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{
		"greeting": "Salut, " + path.Base(os.Getenv("PATH_INFO")), "from": "Go, as a WebAssembly module",
	})
}
