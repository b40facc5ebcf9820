// Program pod is a backend of the tests. It answers with the name of its pod. When it is told to end it goes on for a
// while, as a program does that shuts down gracefully. With the argument `pause` it holds the network of a pod, and
// does nothing else.
package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	end, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		<-end.Done()
		return
	}
	name, _ := os.Hostname()
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name)
	})}
	go func() { _ = server.ListenAndServe() }()
	<-end.Done()
	<-time.After(2 * time.Second) // meanwhile everything is told that it ends
	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = server.Shutdown(last)
}
