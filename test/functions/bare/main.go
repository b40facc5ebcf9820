// Command bare is a minimal Lambda Runtime API, with which `make bench-functions` compares Weir. It runs one program,
// gives it the bodies of requests as events, one after the other, and answers with what the program returns. POST
// /end ends the program; the next request starts it again.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

type api struct {
	address string
	events  chan []byte
	answers chan []byte

	mu      sync.Mutex // one request at a time
	program *exec.Cmd  // nil while it is not running
	id      int
}

func main() {
	a := &api{events: make(chan []byte), answers: make(chan []byte)}
	runtime, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	a.address = runtime.Addr().String()
	go serve(runtime, a.runtime())
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, clients.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /end", a.end)
	mux.HandleFunc("/", a.invoke)
	go serve(clients, mux)
	_, _ = io.Copy(io.Discard, os.Stdin) // the process that started it closes stdin
	a.stop()
}

func serve(on net.Listener, by http.Handler) {
	server := &http.Server{Handler: by, ReadHeaderTimeout: time.Minute}
	_ = server.Serve(on) // ends with the program
}

// runtime is the Runtime API, as far as a program without errors needs it.
func (a *api) runtime() http.Handler {
	const base = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-a.events:
			a.id++
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Lambda-Runtime-Aws-Request-Id", strconv.Itoa(a.id))
			h.Set("Lambda-Runtime-Deadline-Ms", "4102444800000")
			h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:bare")
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST "+base+"{id}/response", func(w http.ResponseWriter, r *http.Request) {
		answer, _ := io.ReadAll(r.Body)
		a.answers <- answer
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func (a *api) invoke(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	event, _ := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": r.URL.Path, "body": string(body), "headers": map[string]string{"content-type": "text/plain"},
		"requestContext": map[string]any{"http": map[string]string{"method": r.Method, "path": r.URL.Path}},
	})
	a.mu.Lock()
	a.start()
	a.events <- event
	raw := <-a.answers
	a.mu.Unlock()
	var answer struct {
		StatusCode int
		Body       string
	}
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&answer)
	w.WriteHeader(max(answer.StatusCode, http.StatusOK))
	_, _ = io.WriteString(w, answer.Body)
}

func (a *api) start() {
	if a.program != nil {
		return
	}
	a.program = exec.Command(os.Args[1], os.Args[2:]...) //nolint:gosec // that is what it is for
	a.program.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + a.address, "AWS_LAMBDA_FUNCTION_NAME=bare", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "PATH=/usr/bin:/bin"}
	if err := a.program.Start(); err != nil {
		panic(err)
	}
}

func (a *api) end(http.ResponseWriter, *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stop()
}

func (a *api) stop() {
	if a.program != nil {
		_ = a.program.Process.Kill()
		_ = a.program.Wait() // it was killed
		a.program = nil
	}
}
