// Command stock is the shop's store room. It knows how much is left of each item, and which items
// are reserved. It listens on $PORT and keeps everything in memory.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	server := &http.Server{
		Addr:              net.JoinHostPort(os.Getenv("HOST"), cmp.Or(os.Getenv("PORT"), "8080")),
		Handler:           newRoom().routes(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Printf("stock on %s", server.Addr)
	log.Fatal(server.ListenAndServe())
}

// room is the store room.
type room struct {
	mu       sync.Mutex
	left     map[string]int // by item
	aside    map[int]string // items by reservation
	reserved int            // how many reservations there were
}

func newRoom() *room {
	return &room{left: map[string]int{"Darjeeling, 250 g": 40, "Tea pot": 3, "Oolong, 100 g": 0}, aside: map[int]string{}}
}

func (o *room) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock", o.count)
	mux.HandleFunc("POST /reservations", o.reserve)
	mux.HandleFunc("DELETE /reservations/{id}", o.release)
	return mux
}

// count answers how many there are of each item in the query.
func (o *room) count(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := map[string]int{}
	for _, item := range r.URL.Query()["item"] {
		left[item] = o.left[item]
	}
	answer(w, http.StatusOK, left)
}

// reserve sets one piece of an item aside.
func (o *room) reserve(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Item string `json:"item"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&wanted); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left[wanted.Item] == 0 {
		answer(w, http.StatusConflict, map[string]string{"error": "there is none left"})
		return
	}
	o.left[wanted.Item]--
	o.reserved++
	o.aside[o.reserved] = wanted.Item
	answer(w, http.StatusCreated, map[string]any{"id": o.reserved, "item": wanted.Item})
}

// release puts back what was reserved. Releasing a reservation twice does no harm.
func (o *room) release(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, _ := strconv.Atoi(r.PathValue("id"))
	if item, ok := o.aside[id]; ok {
		o.left[item]++
		delete(o.aside, id)
	}
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
