// Command handler is a custom handler of Azure Functions. The Functions host posts to it what it makes of a request, and
// makes the response from the handler's answer.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

// invocation is the part of the payload that is needed here.
type invocation struct {
	Data struct {
		Req struct {
			Params struct{ Name string }
		}
	}
}

func main() {
	http.HandleFunc("POST /Greet", func(w http.ResponseWriter, r *http.Request) {
		var in invocation
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Outputs": map[string]any{"res": map[string]any{
			"headers": map[string]string{"Content-Type": "application/json"},
			"body": map[string]string{
				"greeting": "Hallo, " + in.Data.Req.Params.Name, "from": "Go, as an Azure Functions app",
			},
		}}})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), nil))
}
