package corpora_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// request is one request as a strict origin reads it.
type request struct {
	method, target string
	fields         [][2]string // names in lower case
	body           string
}

// errShort means that the bytes are only the beginning of a request.
var errShort = errors.New("the request is not complete")

// malformedError says which rule a gateway broke.
type malformedError string

func (e malformedError) Error() string { return string(e) }

func malformed(format string, args ...any) error { return malformedError(fmt.Sprintf(format, args...)) }

const (
	letters   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	hex       = digits + "abcdefABCDEF"
	tokenSet  = letters + digits + "!#$%&'*+-.^_`|~"
	pathSet   = letters + digits + "-._~!$&'()*+,;=:@/%" + "|[]" // browsers do not encode | [ ]
	querySet  = pathSet + "?" + "\\^`{}"                         // nor these in a query
	hostSet   = letters + digits + "-._~:[]"
	neverSent = " keep-alive proxy-connection proxy-authorization http2-settings "
)

// readRequest reads one request strictly by RFC 9112, limited to what a gateway needs to send: origin-form, HTTP/1.1,
// one Host, one framing, chunks without extensions, CR LF at the end of every line. It returns the bytes that follow,
// or all of raw with errShort or a malformedError.
func readRequest(raw []byte) (request, []byte, error) {
	head, rest, err := cutHead(raw)
	if err != nil {
		return request{}, raw, err
	}
	lines := strings.Split(head, "\r\n")
	q, err := readRequestLine(lines[0])
	if err != nil {
		return request{}, raw, err
	}
	if q.fields, err = readFields(lines[1:]); err != nil {
		return request{}, raw, err
	}
	if err := q.checkHost(); err != nil {
		return request{}, raw, err
	}
	if err := q.checkHops(); err != nil {
		return request{}, raw, err
	}
	if q.body, rest, err = q.readBody(rest); err != nil {
		return request{}, raw, err
	}
	return q, rest, nil
}

// cutHead returns the head without its empty line. Bytes that no head may contain are found before the head has
// ended.
func cutHead(raw []byte) (string, []byte, error) {
	head, rest, whole := bytes.Cut(raw, []byte("\r\n\r\n"))
	plain := strings.TrimSuffix(strings.ReplaceAll(string(head), "\r\n", ""), "\r") // the LF may still arrive
	if whole {
		plain = strings.ReplaceAll(string(head), "\r\n", "")
	}
	if i := strings.IndexAny(plain, "\r\n\x00"); i >= 0 {
		return "", nil, malformed("the head holds %q outside an end of a line", plain[i])
	}
	if !whole {
		return "", nil, errShort
	}
	return string(head), rest, nil
}

func readRequestLine(line string) (request, error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !only(parts[0], tokenSet) || parts[2] != "HTTP/1.1" {
		return request{}, malformed("request line %q", line)
	}
	q := request{method: parts[0], target: parts[1]}
	if q.target == "*" && q.method == "OPTIONS" {
		return q, nil
	}
	path, query, asked := strings.Cut(q.target, "?")
	if !strings.HasPrefix(path, "/") || !only(path, pathSet) || asked && query != "" && !only(query, querySet) || !escaped(q.target) {
		return request{}, malformed("target %q", q.target)
	}
	return q, nil
}

func readFields(lines []string) ([][2]string, error) {
	var fields [][2]string
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || !only(name, tokenSet) {
			return nil, malformed("field line %q", line)
		}
		if i := strings.IndexFunc(value, isControl); i >= 0 {
			return nil, malformed("the value of %s holds %q", name, value[i])
		}
		fields = append(fields, [2]string{strings.ToLower(name), strings.Trim(value, " \t")})
	}
	return fields, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (q *request) values(name string) []string {
	var values []string
	for _, f := range q.fields {
		if f[0] == name {
			values = append(values, f[1])
		}
	}
	return values
}

func (q *request) checkHost() error {
	hosts := q.values("host")
	if len(hosts) != 1 || !only(hosts[0], hostSet) {
		return malformed("Host %q", hosts)
	}
	return nil
}

// checkHops rejects fields that belong to one connection only, and names that lenient origins take for a framing or a
// host.
func (q *request) checkHops() error {
	for _, f := range q.fields {
		folded := strings.NewReplacer("_", "-", ".", "-").Replace(f[0])
		if folded != f[0] && slices.Contains([]string{"host", "content-length", "transfer-encoding", "connection"}, folded) {
			return malformed("a field named %q", f[0])
		}
		if strings.Contains(neverSent, " "+f[0]+" ") {
			return malformed("the hop-by-hop field %q", f[0])
		}
	}
	for _, value := range q.values("connection") {
		if option := strings.ToLower(value); option != "close" && option != "upgrade" {
			return malformed("Connection: %q", value)
		}
	}
	return nil
}

func (q *request) readBody(rest []byte) (string, []byte, error) {
	lengths, codings := q.values("content-length"), q.values("transfer-encoding")
	switch {
	case len(lengths)+len(codings) > 1:
		return "", rest, malformed("more than one framing: %q, %q", lengths, codings)
	case len(codings) == 1 && codings[0] != "chunked":
		return "", rest, malformed("Transfer-Encoding %q", codings)
	case len(codings) == 1:
		return readChunks(rest)
	case len(lengths) == 0:
		return "", rest, nil
	}
	n, err := strconv.Atoi(lengths[0])
	if err != nil || !only(lengths[0], digits) {
		return "", rest, malformed("Content-Length %q", lengths)
	}
	if len(rest) < n {
		return "", rest, errShort
	}
	return string(rest[:n]), rest[n:], nil
}

func readChunks(rest []byte) (string, []byte, error) {
	var body strings.Builder
	for {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		if !whole {
			return "", rest, errShort
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || !only(string(line), hex) {
			return "", rest, malformed("chunk size %q", line)
		}
		if size == 0 {
			after, err = readTrailer(after)
			return body.String(), after, err
		}
		if uint64(len(after)) < size+2 {
			return "", rest, errShort
		}
		body.Write(after[:size])
		if string(after[size:size+2]) != "\r\n" {
			return "", rest, malformed("a chunk of %d bytes ends in %q", size, after[size:size+2])
		}
		rest = after[size+2:]
	}
}

func readTrailer(rest []byte) ([]byte, error) {
	for {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		if !whole {
			return rest, errShort
		}
		if len(line) == 0 {
			return after, nil
		}
		fields, err := readFields([]string{string(line)})
		if err != nil {
			return rest, err
		}
		if slices.Contains([]string{"host", "content-length", "transfer-encoding", "authorization", "content-type"}, fields[0][0]) {
			return rest, malformed("%q in a trailer", fields[0][0])
		}
		rest = after
	}
}

// only reports whether text is not empty and contains nothing outside set.
func only(text, set string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(set, r) }) < 0
}

// escaped reports whether each % is followed by two hexadecimal digits.
func escaped(text string) bool {
	for i := range len(text) {
		if text[i] == '%' && (i+2 >= len(text) || !only(text[i+1:i+3], hex)) {
			return false
		}
	}
	return true
}

// TestGrammarRefuses tests the judge itself: if it accepted anything malformed, every payload would pass.
func TestGrammarRefuses(t *testing.T) {
	const host = "Host: a\r\n"
	for _, raw := range []string{
		"GET / HTTP/1.0\r\n" + host + "\r\n",
		"GET  / HTTP/1.1\r\n" + host + "\r\n",
		"GET http://a/ HTTP/1.1\r\n" + host + "\r\n",
		"GET /a\\b HTTP/1.1\r\n" + host + "\r\n",
		"GET /%4 HTTP/1.1\r\n" + host + "\r\n",
		"GET /#f HTTP/1.1\r\n" + host + "\r\n",
		"GET /a\"b HTTP/1.1\r\n" + host + "\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + host + "\r\n",
		"GET / HTTP/1.1\n" + host + "\r\n",
		"GET / HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "A: b\rC: d\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "A : b\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "A: \x01\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Content_Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Connection: x\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Keep-Alive: 5\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\nx",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
	} {
		var bad malformedError
		if q, _, err := readRequest([]byte(raw)); !errors.As(err, &bad) {
			t.Errorf("%q is read as %+v, %v", raw, q, err)
		}
	}
}

func TestGrammarReadsInAnyPieces(t *testing.T) {
	const raw = "POST /a?b=%20 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n"
	for n := range len(raw) {
		if _, _, err := readRequest([]byte(raw[:n])); !errors.Is(err, errShort) {
			t.Errorf("%d bytes: %v, want errShort", n, err)
		}
	}
	q, rest, err := readRequest([]byte(raw + "GET"))
	if err != nil || string(rest) != "GET" || q.method != "POST" || q.target != "/a?b=%20" || q.body != "hello!" {
		t.Errorf("got %+v, %q, %v", q, rest, err)
	}
}
