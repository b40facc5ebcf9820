// Command storm is a function that misbehaves on request, and by chance when it starts. The variables that it gets tell
// its contract. It checks how many requests it has at once: if it sees a second one, it answers "two at once".
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var atOnce atomic.Int32

func main() {
	start()
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		poll("http://" + api + "/2018-06-01/runtime/invocation/")
		return
	}
	_ = http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status, text := answer(r.URL.Path, string(body))
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
}

// start is slow or fails, depending on its seed and the number of the instance.
func start() {
	h := fnv.New32a()
	_, number, _ := strings.Cut(os.Getenv("WEIR_FUNCTION_INSTANCE"), ".")
	fmt.Fprint(h, os.Getenv("SEED"), " ", number)
	switch chance := h.Sum32() % 100; {
	case chance < 10:
		fmt.Println("this start fails")
		os.Exit(1)
	case chance < 30:
		time.Sleep(time.Duration(chance) * 4 * time.Millisecond)
	}
}

// answer does what the path says, and only one request at a time.
func answer(path, body string) (status int, text string) {
	if atOnce.Add(1) > 1 {
		return 200, "two at once"
	}
	defer atOnce.Add(-1)
	switch path {
	case "/crash":
		os.Exit(3)
	case "/hang":
		select {}
	case "/slow":
		time.Sleep(20 * time.Millisecond)
	case "/refuse":
		status = 418
	}
	return max(status, 200), body
}

// poll asks for events from two sides at once, which a function may not do unless it has asked for several. The Runtime
// API must hand out only one.
func poll(base string) {
	var sides sync.WaitGroup
	for range 2 {
		sides.Go(func() {
			for {
				one(base)
			}
		})
	}
	sides.Wait()
}

func one(base string) {
	res, err := http.Get(base + "next")
	if err != nil {
		os.Exit(1)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK { // the other side has an event that it has not answered
		time.Sleep(time.Millisecond)
		return
	}
	var event struct{ RawPath, Body string }
	if err := json.Unmarshal(raw, &event); err != nil {
		panic(err)
	}
	id := res.Header.Get("Lambda-Runtime-Aws-Request-Id")
	if event.RawPath == "/error" {
		post(base+id+"/error", map[string]string{"errorType": "Storm", "errorMessage": "as it was asked to"})
		return
	}
	status, text := answer(event.RawPath, event.Body)
	post(base+id+"/response", map[string]any{"statusCode": status, "body": text})
}

func post(url string, what any) {
	payload, _ := json.Marshal(what)
	res, err := http.Post(url, "application/json", bytes.NewReader(payload))
	if err != nil {
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
}
