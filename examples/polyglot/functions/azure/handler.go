// Command handler is a custom handler of Azure Functions: it is posted what the
// Functions host makes of a request, and answers with what becomes the response.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

// invocation is as much of the payload as is needed here.
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
