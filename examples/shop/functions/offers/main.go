// Command offers is the shop's offer service: a plain HTTP server that listens
// on $PORT, as on Google Cloud Run.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// offer is a temporary price. Amounts are in cents.
type offer struct {
	Item  string `json:"item"`
	Price int    `json:"price"`
}

func main() {
	server := &http.Server{
		Addr:              net.JoinHostPort(os.Getenv("HOST"), cmp.Or(os.Getenv("PORT"), "8080")),
		Handler:           routes(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Printf("offers on %s", server.Addr)
	log.Fatal(server.ListenAndServe())
}

func routes() http.Handler {
	offers := map[string]offer{
		"tea":  {Item: "Darjeeling, 250 g", Price: 990},
		"pots": {Item: "Tea pot", Price: 2900},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /offers", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, offers) })
	mux.HandleFunc("GET /offers/{name}", func(w http.ResponseWriter, r *http.Request) {
		if o, ok := offers[r.PathValue("name")]; ok {
			answer(w, http.StatusOK, o)
			return
		}
		answer(w, http.StatusNotFound, map[string]string{"error": "there is no such offer"})
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
