// Command web is a function that is called over HTTP. It follows the contract of Cloud Run, which sets PORT, and that of
// Azure's custom handlers, which sets FUNCTIONS_CUSTOMHANDLER_PORT.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", answer)
	http.HandleFunc("/missing", http.NotFound)
	http.HandleFunc("/stream", stream)
	port := cmp.Or(os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), os.Getenv("PORT"))
	log.Fatal(http.ListenAndServe(cmp.Or(os.Getenv("HOST"), "")+":"+port, nil))
}

// answer describes the request.
func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "asked", Value: "1"})
	http.SetCookie(w, &http.Cookie{Name: "answered", Value: "1"})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"method": r.Method, "path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "body": string(body)})
}

// stream sends the response in pieces.
func stream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
	}
}
