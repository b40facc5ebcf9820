// Command custom is an Azure Functions custom handler for tests. Its answer depends on the function's name, as in the
// app's function.json files.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// invocation is what the Functions host posts.
type invocation struct {
	Data     map[string]json.RawMessage
	Metadata map[string]any
}

type result struct {
	Outputs     map[string]any
	Logs        []string
	ReturnValue any
}

func main() {
	// By payload: POST /{FunctionName}.
	http.HandleFunc("POST /Echo", func(w http.ResponseWriter, r *http.Request) {
		got := read(r)
		write(w, result{Outputs: map[string]any{"res": map[string]any{
			"statusCode": 201, "headers": map[string]any{"Content-Type": "application/json", "X-Invocation": r.Header.Get("X-Azure-Functions-InvocationId")},
			"body": got,
		}}})
	})
	http.HandleFunc("POST /Order", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Body string }
		_ = json.Unmarshal(read(r).Data["req"], &request)
		write(w, result{
			Outputs: map[string]any{"message": request.Body, "res": map[string]any{"body": "Order enqueued"}},
			Logs:    []string{"an order has come", "and is done"},
		})
	})
	http.HandleFunc("POST /Returns", func(w http.ResponseWriter, r *http.Request) {
		write(w, result{ReturnValue: `{"statusCode":"202","body":"returned"}`})
	})
	http.HandleFunc("POST /Fails", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no stock", 500) })
	http.HandleFunc("POST /Babbles", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "this is no result") })
	http.HandleFunc("POST /Stalls", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"Outputs":`)
		_ = http.NewResponseController(w).Flush()
		select {}
	})
	http.HandleFunc("POST /Exits", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("POST /Floods", func(w http.ResponseWriter, r *http.Request) {
		for range 8 << 10 {
			_, _ = w.Write(make([]byte, 1<<10))
		}
	})

	// As it is: the original request at its route.
	http.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "target": r.RequestURI, "host": r.Host, "body": string(body), "headers": r.Header,
		})
	})
	http.HandleFunc("/api/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "piece %d\n", i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	http.HandleFunc("/api/env", func(w http.ResponseWriter, r *http.Request) {
		dir, _ := os.Getwd()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"env": os.Environ(), "args": os.Args[1:], "dir": dir})
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT")), nil))
}

func read(r *http.Request) invocation {
	var got invocation
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
		log.Print(err)
	}
	return got
}

func write(w http.ResponseWriter, said result) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(said)
}
