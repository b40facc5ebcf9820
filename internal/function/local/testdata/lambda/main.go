// Command lambda is a function for tests that speaks AWS Lambda's Runtime API
// with nothing but the standard library. The event's path tells what it does.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

var base = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime"

type event struct {
	RawPath string `json:"rawPath"`
	Body    string `json:"body"`
}

// version differs in each version of this program that a test makes.
var version = "1"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		select {}
	}
	if extension := os.Getenv("EXTENSION"); extension != "" {
		begin(extension)
	}
	initialise(os.Getenv("INIT"))
	switch version {
	case "broken":
		initialise("error")
	case "hanging":
		fmt.Println("hanging as", os.Getpid())
		initialise("hang")
	}
	for {
		res, err := http.Get(base + "/invocation/next")
		if err != nil {
			os.Exit(1)
		}
		raw, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		var e event
		if err := json.Unmarshal(raw, &e); err != nil {
			panic(err)
		}
		if e.RawPath == "/told" {
			raw, _ = json.Marshal(res.Header)
		}
		handle(res.Header.Get("Lambda-Runtime-Aws-Request-Id"), e, raw)
	}
}

// begin starts an extension, as AWS does before the function, and waits until it is ready.
func begin(extension string) {
	cmd := exec.Command(extension)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(os.Getenv("READY")); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func initialise(how string) {
	switch how {
	case "error":
		post("/init/error", "application/json", strings.NewReader(`{"errorType":"Runtime.ImportModuleError","errorMessage":"no such module"}`))
		os.Exit(1)
	case "exit":
		fmt.Println("cannot find my config")
		os.Exit(7)
	case "hang":
		select {}
	}
}

func handle(id string, e event, raw []byte) {
	answer := func(v any) {
		payload, _ := json.Marshal(v)
		post("/invocation/"+id+"/response", "application/json", bytes.NewReader(payload))
	}
	switch e.RawPath {
	case "/event":
		answer(map[string]any{"statusCode": 200, "headers": map[string]string{"content-type": "application/json"}, "body": string(raw), "cookies": []string{"a=1", "b=2; Path=/"}})
	case "/told": // the header fields that came with the event
		answer(json.RawMessage(raw))
	case "/version":
		answer(map[string]any{"version": version, "pid": os.Getpid()})
	case "/pid":
		answer(map[string]int{"pid": os.Getpid()})
	case "/env":
		answer(map[string]any{"env": os.Environ(), "dir": dir()})
	case "/crash":
		fmt.Fprintln(os.Stderr, "about to crash")
		os.Exit(3)
	case "/hang":
		select {}
	case "/linger": // answers, and then does not ask for another event
		answer("done")
		select {}
	case "/until": // waits until the file that the body names exists
		for {
			if _, err := os.Stat(e.Body); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		answer("until")
	case "/slow":
		time.Sleep(50 * time.Millisecond)
		answer("slow")
	case "/error":
		post("/invocation/"+id+"/error", "application/json", strings.NewReader(`{"errorType":"OrderError","errorMessage":"no such order"}`))
	case "/bad":
		post("/invocation/"+id+"/response", "application/json", strings.NewReader(`{"statusCode":1}`))
	case "/big":
		res := post("/invocation/"+id+"/response", "application/json", strings.NewReader(`"`+strings.Repeat("x", 7<<20)+`"`))
		fmt.Println("big answer got", res)
	case "/loud":
		fmt.Println("one")
		fmt.Println(strings.Repeat("x", 1<<20))
		fmt.Fprintln(os.Stderr, "two")
		answer("loud")
	case "/children":
		answer(map[string]any{"pids": []int{os.Getpid(), child(), child()}})
	case "/children-and-hang":
		fmt.Printf("children %d %d %d\n", os.Getpid(), child(), child())
		select {}
	case "/stream", "/stream-raw", "/stream-error", "/stream-crash", "/stream-forever":
		stream(id, e.RawPath)
	default:
		answer(map[string]any{"statusCode": 200, "body": e.Body})
	}
}

func stream(id, how string) {
	r, w := io.Pipe()
	req, _ := http.NewRequest(http.MethodPost, base+"/invocation/"+id+"/response", r)
	req.Header.Set("Content-Type", "application/vnd.awslambda.http-integration-response")
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": nil, "Lambda-Runtime-Function-Error-Body": nil}
	go func() {
		if how != "/stream-raw" {
			fmt.Fprint(w, `{"statusCode":201,"headers":{"content-type":"text/plain"},"cookies":["s=1"]}`)
			_, _ = w.Write(make([]byte, 8))
		}
		fmt.Fprint(w, "first ")
		switch how {
		case "/stream-crash":
			time.Sleep(20 * time.Millisecond) // lets the part before arrive
			os.Exit(4)
		case "/stream-forever":
			for {
				if _, err := fmt.Fprint(w, "more "); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		case "/stream-error":
			req.Trailer.Set("Lambda-Runtime-Function-Error-Type", "Midway")
			req.Trailer.Set("Lambda-Runtime-Function-Error-Body", "eyJlcnJvck1lc3NhZ2UiOiJvb3BzIn0=")
		default:
			fmt.Fprint(w, "second")
		}
		_ = w.Close()
	}()
	if how == "/stream-raw" {
		req.Header.Set("Content-Type", "text/plain")
	}
	do(req)
}

func post(path, contentType string, body io.Reader) int {
	req, _ := http.NewRequest(http.MethodPost, base+path, body)
	req.Header.Set("Content-Type", contentType)
	return do(req)
}

func do(req *http.Request) int {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusAccepted {
		fmt.Fprintln(os.Stderr, req.URL.Path, res.StatusCode)
	}
	return res.StatusCode
}

func child() int {
	cmd := exec.Command(os.Args[0], "child")
	cmd.Env = os.Environ()
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd.Process.Pid
}

func dir() string {
	d, _ := os.Getwd()
	return d
}
