package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// run runs the module for c, from its start to its end.
func (s *Sandbox) run(c *call) {
	settings := s.program.settings
	c.mu.Lock()
	if c.abandoned { // before it began
		c.mu.Unlock()
		return
	}
	for name, value := range variables(c.r, len(c.body)) {
		settings = settings.WithEnv(name, value)
	}
	c.mu.Unlock()
	stdout := &bounded{most: mostHead + mostAnswer}
	stderr := &lines{emit: func(text []byte, cut int) { s.out.Line(true, text, cut) }}
	err := s.command(c.ctx, settings.WithStdin(bytes.NewReader(c.body)).WithStdout(stdout).WithStderr(stderr))
	stderr.flush()
	switch {
	case stdout.full:
		c.err = &InvalidError{fmt.Errorf("the response has more than %d MiB", mostAnswer>>20)}
	case err != nil:
		c.err = &CrashError{Why: explain(err)}
	default:
		c.parse(stdout.held)
	}
}

// CrashError says that a command ended by a trap or with a status other than 0.
type CrashError struct{ Why string }

func (e *CrashError) Error() string { return e.Why }

// command runs the module. It returns nil on success.
func (s *Sandbox) command(ctx context.Context, settings wazero.ModuleConfig) error {
	module, err := s.start(ctx, settings, exportStart)
	if module != nil {
		_ = module.Close(context.Background()) // it only frees memory
	}
	if exit, ok := errors.AsType[*sys.ExitError](err); ok && exit.ExitCode() == 0 {
		return nil
	}
	return err
}

// parse makes the response from a command's output.
func (c *call) parse(output []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abandoned {
		return
	}
	res, body, err := Parse(c.r, output)
	if err != nil {
		c.err = &InvalidError{err}
		return
	}
	c.res, c.out = res, body
}

// bounded holds what is written to it, up to most bytes.
type bounded struct {
	held []byte
	most int
	full bool
}

var errFull = errors.New("the output is too long")

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.held)+len(p) > b.most {
		b.full = true
		return 0, errFull
	}
	b.held = append(b.held, p...)
	return len(p), nil
}

// mostHead bounds the head of a command's response.
const mostHead = 64 << 10

// Parse makes the response to r from a CGI response (RFC 3875 section 6): lines of header fields, an empty line, and
// the body. Status is the status; without it the status is 200, or 302 if there is a Location. Lines may end in LF
// alone.
func Parse(r *http.Request, output []byte) (*http.Response, []byte, error) {
	head := exchange.NewHead(r)
	status, location := 0, false
	fields := 0
	rest := output
	for {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		if !ended {
			return nil, nil, errors.New("the output ends before its head does, which is fields, one a line, and an empty line")
		}
		rest = after
		if len(output)-len(rest) > mostHead {
			return nil, nil, fmt.Errorf("the head of the output has more than %d KiB", mostHead>>10)
		}
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			break
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return nil, nil, fmt.Errorf("the line %.60q of the output's head is no field; does the program write something before its response?", line)
		}
		value = strings.Trim(value, " \t")
		if strings.EqualFold(name, "Status") {
			var err error
			if status, err = readStatus(value); err != nil {
				return nil, nil, err
			}
			fields++
			continue
		}
		ours, err := reply.Check(name, value)
		if err != nil {
			return nil, nil, err //nolint:wrapcheck // it names the field
		}
		if ours {
			head.Add(name, value)
		}
		location = location || strings.EqualFold(name, "Location")
		fields++
	}
	if fields == 0 {
		return nil, nil, errors.New("the output begins with an empty line; it needs a Content-Type, a Location or a Status before it")
	}
	switch {
	case status == 0 && location:
		status = http.StatusFound
	case status == 0:
		status = http.StatusOK
	}
	res, err := reply.New(r, status)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it says what it is about
	}
	exchange.CopyAll(exchange.ResponseHead(res), head)
	return res, rest, nil
}

// readStatus reads "404 Not Found".
func readStatus(text string) (int, error) {
	code, _, _ := strings.Cut(text, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 {
		return 0, fmt.Errorf("the Status %.60q does not begin with three digits", text)
	}
	return status, nil
}

// variables returns CGI's variables for r (RFC 3875 section 4.1), and REQUEST_URI, which all servers set. A header
// field Proxy is left out, because HTTP_PROXY means something else to many programs (httpoxy.org).
func variables(r *http.Request, length int) map[string]string {
	x := exchange.Of(r)
	v := map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "weir", "SERVER_PROTOCOL": r.Proto, "REQUEST_METHOD": r.Method,
		"REQUEST_URI": target(r), "SCRIPT_NAME": "", "PATH_INFO": r.URL.Path, "QUERY_STRING": r.URL.RawQuery,
		"SERVER_NAME": x.Host, "SERVER_PORT": serverPort(x), "HTTP_HOST": r.Host,
	}
	if x.Client.IP.IsValid() {
		v["REMOTE_ADDR"], v["REMOTE_HOST"] = x.Client.IP.String(), x.Client.IP.String()
	}
	if x.Client.Scheme == "https" {
		v["HTTPS"] = "on"
	}
	if x.Identity != nil {
		v["AUTH_TYPE"], v["REMOTE_USER"] = x.Identity.Method, x.Identity.Subject
	}
	if length > 0 {
		v["CONTENT_LENGTH"] = strconv.Itoa(length)
	}
	head := exchange.RequestHead(r)
	for _, name := range head.Names() {
		upper := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value := strings.Join(head.Values(name), separator(name))
		switch {
		case upper == "CONTENT_TYPE":
			v[upper] = value
		case slices.Contains([]string{"CONTENT_LENGTH", "TRANSFER_ENCODING", "PROXY"}, upper) || strings.ContainsAny(value, "\x00"):
		default:
			v["HTTP_"+upper] = value
		}
	}
	return v
}

func separator(name string) string {
	if strings.EqualFold(name, "Cookie") {
		return "; "
	}
	return ", "
}

func serverPort(x *exchange.Exchange) string {
	if _, port, err := net.SplitHostPort(x.Client.Host); err == nil {
		return port
	}
	if x.Client.Scheme == "https" {
		return "443"
	}
	return "80"
}
