// Command extension is an external extension as AWS documents it: it registers, listens, subscribes to what its
// environment says, and fetches its events until the last one. It writes what it is told to a file, one item per line.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

var base = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")

func main() {
	id := call(http.MethodPost, "/2020-01-01/extension/register", "", `{"events":["INVOKE","SHUTDOWN"]}`).Get("Lambda-Extension-Identifier")
	told := &file{path: os.Getenv("TELEMETRY")}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	destination := `{"protocol":"HTTP","URI":"http://sandbox.localdomain:` + port + `/telemetry"}`
	if os.Getenv("PROTOCOL") == "TCP" {
		destination = `{"protocol":"TCP","port":` + port + `}`
		go takeLines(listener, told)
	} else {
		go func() { must(http.Serve(listener, told)) }()
	}
	if elsewhere := os.Getenv("DESTINATION"); elsewhere != "" {
		destination = `{"protocol":"HTTP","URI":"` + elsewhere + `"}`
	}
	call(http.MethodPut, os.Getenv("SUBSCRIBE"), id, fmt.Sprintf(
		`{"schemaVersion":%q,"types":["platform","function","extension"],"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},"destination":%s}`,
		os.Getenv("SCHEMA"), destination))
	must(os.WriteFile(os.Getenv("READY"), nil, 0o600))
	for {
		req, err := http.NewRequest(http.MethodGet, base+"/2020-01-01/extension/event/next", nil)
		must(err)
		req.Header.Set("Lambda-Extension-Identifier", id)
		res, err := http.DefaultClient.Do(req)
		if err != nil { // the instance has ended
			return
		}
		var event struct{ EventType string }
		must(json.NewDecoder(res.Body).Decode(&event))
		_ = res.Body.Close()
		if event.EventType == "SHUTDOWN" {
			told.add([]byte(`{"type":"shutdown"}`))
		}
	}
}

func call(method, path, id, body string) http.Header {
	req, err := http.NewRequest(method, base+path, bytes.NewBufferString(body))
	must(err)
	if id != "" {
		req.Header.Set("Lambda-Extension-Identifier", id)
	} else {
		req.Header.Set("Lambda-Extension-Name", "collector")
	}
	res, err := http.DefaultClient.Do(req)
	must(err)
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		panic(fmt.Sprintf("%s %s: %s %s", method, path, res.Status, text))
	}
	return res.Header
}

// file collects records.
type file struct {
	path string
	mu   sync.Mutex
}

func (f *file) add(record []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	_, err = out.Write(append(record, '\n'))
	must(err)
	must(out.Close())
}

func (f *file) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var records []json.RawMessage
	must(json.NewDecoder(r.Body).Decode(&records))
	for _, one := range records {
		f.add(one)
	}
}

func takeLines(listener net.Listener, to *file) {
	for {
		conn, err := listener.Accept()
		must(err)
		go func() {
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				to.add(bytes.Clone(lines.Bytes()))
			}
		}()
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
