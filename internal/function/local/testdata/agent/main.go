// Command agent is an external extension that follows AWS's documentation of the HTTP API: it registers with the name
// of its file, fetches its events and ends with its instance. It writes what it is told to a journal. AGENT selects a
// way to misbehave.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	base = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension/"
	name = filepath.Base(os.Args[0])
	how  = os.Getenv("AGENT")
	id   string
)

func main() {
	journal("begins " + os.Getenv("TMPDIR"))
	for _, variable := range os.Environ() {
		if how == "tells" {
			journal("has " + variable)
		}
	}
	switch how {
	case "never registers":
		select {}
	case "exits":
		fmt.Println("no licence")
		os.Exit(3)
	}
	head, _ := call(http.MethodPost, "register", `{"events":["INVOKE","SHUTDOWN"]}`)
	id = head.Get("Lambda-Extension-Identifier")
	fmt.Println("registered as", name)
	journal("registered")
	switch how {
	case "exits when registered":
		os.Exit(0)
	case "never asks":
		select {}
	case "refuses":
		call(http.MethodPost, "init/error", `{"errorType":"Agent.NoKey","errorMessage":"there is no key"}`)
		os.Exit(1)
	}
	for {
		handle(next())
	}
}

type event struct{ EventType, RequestID, ShutdownReason string }

func handle(e event) {
	switch {
	case e.EventType == "SHUTDOWN":
		journal("shutdown " + e.ShutdownReason)
		if how == "hangs at the end" {
			select {}
		}
		os.Exit(0)
	case how == "exits at work":
		os.Exit(4)
	case how == "hangs at work":
		select {}
	case how == "works slowly":
		time.Sleep(100 * time.Millisecond) // as long as the work takes
	}
	journal("done with " + e.RequestID)
}

func next() (e event) {
	_, body := call(http.MethodGet, "event/next", "")
	if err := json.Unmarshal(body, &e); err != nil {
		panic(err)
	}
	return e
}

func call(method, path, body string) (http.Header, []byte) {
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Lambda-Extension-Name", name)
	req.Header.Set("Lambda-Extension-Identifier", id)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		panic(fmt.Sprint(path, res.Status, string(text), err))
	}
	return res.Header, text
}

func journal(line string) {
	out, err := os.OpenFile(os.Getenv("JOURNAL"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer out.Close()
	if _, err := fmt.Fprintln(out, name, line); err != nil {
		panic(err)
	}
}
