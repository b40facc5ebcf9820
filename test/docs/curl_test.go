package docs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// call is what the arguments of curl ask for.
type call struct {
	method, host, target string
	header               []string
	body                 string
	withHead             bool // -i
}

// parseCurl parses the arguments that the documentation uses.
func parseCurl(arguments []string) (call, error) {
	c := call{}
	for i := 0; i < len(arguments); i++ {
		argument := arguments[i]
		value := func() string {
			if i++; i < len(arguments) {
				return arguments[i]
			}
			return ""
		}
		switch argument {
		case "-s", "--silent":
		case "-i", "--include":
			c.withHead = true
		case "-X", "--request":
			c.method = value()
		case "-H", "--header":
			c.header = append(c.header, value())
		case "-d", "--data":
			c.body = value()
		default:
			if strings.HasPrefix(argument, "-") || c.host != "" {
				return call{}, fmt.Errorf("curl %s is not known here", argument)
			}
			var path string
			c.host, path, _ = strings.Cut(strings.TrimPrefix(argument, "http://"), "/")
			c.target = "/" + path
		}
	}
	switch {
	case c.host == "":
		return call{}, fmt.Errorf("curl %q has no URL", arguments)
	case c.method == "" && c.body != "":
		c.method = http.MethodPost
	case c.method == "":
		c.method = http.MethodGet
	}
	return c, nil
}

// bytes returns the request as curl would send it.
func (c call) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: curl/8.0.0\r\nAccept: */*\r\n", c.method, c.target, c.host)
	for _, line := range c.header {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	if c.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\nContent-Type: application/x-www-form-urlencoded\r\n", len(c.body))
	}
	return append(append(b.Bytes(), "\r\n"...), c.body...)
}

// curl sends a request to one of the shop's addresses, and returns what curl would print, except for the Date field.
func (s *shop) curl(arguments []string) ([]byte, error) {
	c, err := parseCurl(arguments)
	if err != nil {
		return nil, err
	}
	address, ok := s.hosts[c.host]
	if !ok {
		return nil, fmt.Errorf("nothing is known to serve on %s", c.host)
	}
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // the answer was read, or an error is returned
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(c.bytes()); err != nil {
		return nil, err
	}
	return readAnswer(conn, c)
}

// readAnswer reads one response and keeps its head unchanged.
func readAnswer(conn io.Reader, c call) ([]byte, error) {
	var wire bytes.Buffer
	res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &wire)), &http.Request{Method: c.method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if !c.withHead {
		return body, nil
	}
	head, _, _ := bytes.Cut(wire.Bytes(), []byte("\r\n\r\n"))
	lines := slices.DeleteFunc(strings.Split(string(head), "\r\n"), func(l string) bool { return strings.HasPrefix(l, "Date: ") })
	return append([]byte(strings.Join(lines, "\n")+"\n\n"), body...), nil
}

func TestCurlSendsAndShowsWhatCurlDoes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Asked", r.Method+" "+r.Host+r.URL.String()+" "+r.Header.Get("A")+" "+string(body))
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout\n")
	}))
	defer server.Close()
	s := &shop{hosts: map[string]string{"localhost:8080": strings.TrimPrefix(server.URL, "http://")}, paths: strings.NewReplacer()}
	for line, want := range map[string][]string{
		"curl localhost:8080/a": {"short and stout"},
		"curl -i -H 'A: b' 'localhost:8080/a?b=c'": {
			"HTTP/1.1 418 I'm a teapot", "X-Asked: GET localhost:8080/a?b=c b", "Content-Length: 16", "Content-Type: text/plain; charset=utf-8", "", "short and stout",
		},
		"curl -si -d x http://localhost:8080/": nil, // flags must be written one by one
		"curl -s -i -X PUT -d x http://localhost:8080": {
			"HTTP/1.1 418 I'm a teapot", "X-Asked: PUT localhost:8080/  x", "Content-Length: 16", "Content-Type: text/plain; charset=utf-8", "", "short and stout",
		},
		"curl localhost:7/":         nil,
		"curl -L localhost:8080/":   nil,
		"curl":                      nil,
		"jq .":                      nil,
		"weir run examples/shop":    nil,
		"go run ./cmd/other x":      nil,
		"curl a localhost:8080 | x": nil,
	} {
		got, err := s.run(line)
		if (err != nil) != (want == nil) || !slices.Equal(got, want) {
			t.Errorf("%s gives %q (%v), want %q", line, got, err, want)
		}
	}
}
