// Package http1test reads HTTP/1.x requests slowly and plainly, by regular
// expressions that look like the grammar of RFC 9112, so that the fast parser,
// the Sieve, the server and what the proxy sends can be checked against it.
package http1test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Request is one request that was read completely.
type Request struct {
	Method, Target string // the target in origin-form
	Minor          string // "0" or "1"
	Host           string
	Fields         [][2]string
	Body           string
}

// ErrMalformed is the error with which Read ends when the grammar is broken.
var ErrMalformed = errors.New("malformed")

const (
	word  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	path  = `/(?:[\w.~!$&'()*+,;=:@/|\[\]-]|%[0-9A-Fa-f]{2})*`
	query = "(?:\\?[\\w.~!$&'()*+,;=:@/|\\[\\]%?\\\\^`{}-]*)?"
	host  = `(?:[\w.~-]{1,255}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?`
)

var (
	requestLine = regexp.MustCompile(`^(` + word + `) ([^ ]+) HTTP/1\.([01])$`)
	originForm  = regexp.MustCompile(`^` + path + query + `$`)
	absolute    = regexp.MustCompile(`^(?i:https?)://(` + host + `)((?:` + path + `)?` + query + `)$`)
	hostField   = regexp.MustCompile(`^` + host + `$`)
	fieldLine   = regexp.MustCompile(`^(` + word + `):[ \t]*((?:[\x21-\x7e\x{80}-\x{ff}](?:[\t\x20-\x7e\x{80}-\x{ff}]*[\x21-\x7e\x{80}-\x{ff}])?)?)[ \t]*$`)
	plainName   = regexp.MustCompile(`^[0-9A-Za-z-]+$`)
	punctuation = regexp.MustCompile(`[^0-9a-z-]`)
	lengthValue = regexp.MustCompile(`^(?:0|[1-9][0-9]{0,17})$`)
	chunkLine   = regexp.MustCompile(`^([0-9A-Fa-f]{1,15})((?:;` + word + `(?:=(?:` + word + `|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"))?)*)$`)
)

// Read reads requests until raw ends or the grammar is broken. It returns the requests that are complete and valid, and
// what follows them, with io.EOF if that is nothing, io.ErrUnexpectedEOF if it is the beginning of a request, or
// ErrMalformed.
func Read(raw []byte) (requests []Request, rest []byte, err error) {
	r := &reader{text: latin1(raw)}
	for {
		before := r.text
		request, err := r.request()
		if err != nil {
			return requests, Bytes(before), err
		}
		requests = append(requests, request)
	}
}

// latin1 makes one rune of each byte, so that expressions see bytes.
func latin1(raw []byte) string {
	runes := make([]rune, len(raw))
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return string(runes)
}

// Bytes undoes what Read did to the text of fields and bodies: one byte for each rune.
func Bytes(text string) []byte {
	raw := make([]byte, 0, len(text))
	for _, r := range text {
		raw = append(raw, byte(r))
	}
	return raw
}

type reader struct{ text string }

func (r *reader) request() (Request, error) {
	if r.text == "" || r.text == "\r\n" {
		return Request{}, io.EOF
	}
	r.text = strings.TrimPrefix(r.text, "\r\n")
	line, err := r.line()
	if err != nil {
		return Request{}, err
	}
	parts := requestLine.FindStringSubmatch(line)
	if parts == nil {
		return Request{}, ErrMalformed
	}
	request := Request{Method: parts[1], Minor: parts[3]}
	authority, err := request.readTarget(parts[2])
	if err != nil {
		return Request{}, err
	}
	if request.Fields, err = r.fields(); err != nil {
		return Request{}, err
	}
	if err := request.readHost(authority); err != nil {
		return Request{}, err
	}
	if err := request.checkOthers(); err != nil {
		return Request{}, err
	}
	request.Body, err = r.body(request)
	return request, err
}

// line returns the next line without CR LF.
func (r *reader) line() (string, error) {
	line, rest, found := strings.Cut(r.text, "\n")
	if !found {
		return "", io.ErrUnexpectedEOF
	}
	if !strings.HasSuffix(line, "\r") {
		return "", ErrMalformed
	}
	r.text = rest
	return strings.TrimSuffix(line, "\r"), nil
}

func (q *Request) readTarget(target string) (authority string, err error) {
	switch {
	case q.Method == http.MethodConnect:
		return "", ErrMalformed
	case target == "*" && q.Method == http.MethodOptions, originForm.MatchString(target):
		q.Target = target
		return "", nil
	}
	parts := absolute.FindStringSubmatch(target)
	if len(parts) == 0 || !possibleHost(parts[1]) {
		return "", ErrMalformed
	}
	switch {
	case strings.HasPrefix(parts[2], "/"):
		q.Target = parts[2]
	case parts[2] == "" && q.Method == http.MethodOptions:
		q.Target = "*"
	default:
		q.Target = "/" + parts[2]
	}
	return parts[1], nil
}

// possibleHost checks what an expression cannot: addresses and the size of ports.
func possibleHost(host string) bool {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n > 65535 {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && address.Is6()
	}
	return true
}

func (r *reader) fields() ([][2]string, error) {
	var fields [][2]string
	for {
		line, err := r.line()
		if err != nil || line == "" {
			return fields, err
		}
		parts := fieldLine.FindStringSubmatch(line)
		if len(parts) == 0 || alias(parts[1]) {
			return nil, ErrMalformed
		}
		fields = append(fields, [2]string{parts[1], parts[2]})
	}
}

// managedNames are the names of fields that must not come in another spelling.
const managedNames = " connection content-encoding content-length content-type expect http2-settings keep-alive " +
	"proxy-authorization proxy-connection transfer-encoding cf-connecting-ip fastly-client-ip true-client-ip " +
	"x-client-ip x-cluster-client-ip x-real-ip x-request-id x-http-method-override x-http-method x-method-override x-original-host x-original-url " +
	"x-rewrite-url x-original-method x-original-uri "

func alias(name string) bool {
	if plainName.MatchString(name) {
		return false
	}
	folded := punctuation.ReplaceAllString(strings.ToLower(name), "-")
	return strings.HasPrefix(folded, "x-forwarded") || strings.Contains(managedNames, " "+folded+" ")
}

// Values returns all values of a field, whose name is written in lower case.
func (q *Request) Values(name string) []string {
	var values []string
	for _, field := range q.Fields {
		if strings.EqualFold(field[0], name) {
			values = append(values, field[1])
		}
	}
	return values
}

// Closes reports whether the client ends the connection with this request.
func (q *Request) Closes() bool {
	options := strings.ToLower(strings.Join(q.Values("connection"), ","))
	return strings.Contains(options, "close") || q.Minor == "0" && !strings.Contains(options, "keep-alive")
}

func (q *Request) readHost(authority string) error {
	hosts := q.Values("host")
	switch {
	case len(hosts) > 1, len(hosts) == 0 && (q.Minor == "1" || authority != ""):
		return ErrMalformed
	case len(hosts) == 0:
		return nil
	case !hostField.MatchString(hosts[0]) || !possibleHost(hosts[0]):
		return ErrMalformed
	case authority != "" && !strings.EqualFold(authority, hosts[0]):
		return ErrMalformed
	}
	q.Host = hosts[0]
	return nil
}

// checkOthers checks the fields that are neither host nor framing.
func (q *Request) checkOthers() error {
	for _, value := range q.Values("expect") {
		if !strings.EqualFold(value, "100-continue") {
			return fmt.Errorf("%w: expectation", ErrMalformed)
		}
	}
	option := regexp.MustCompile(`^(?:` + word + `)?$`)
	for _, value := range q.Values("connection") {
		for element := range strings.SplitSeq(value, ",") {
			name := strings.ToLower(strings.Trim(element, " \t"))
			if !option.MatchString(name) || slices.Contains([]string{"host", "content-length", "transfer-encoding"}, name) {
				return fmt.Errorf("%w: connection", ErrMalformed)
			}
		}
	}
	return nil
}

func (r *reader) body(q Request) (string, error) {
	lengths, codings := q.Values("content-length"), q.Values("transfer-encoding")
	switch {
	case len(lengths)+len(codings) == 0:
		return "", nil
	case len(lengths)+len(codings) > 1, len(codings) == 1 && (q.Minor == "0" || !strings.EqualFold(codings[0], "chunked")):
		return "", ErrMalformed
	case len(lengths) == 1 && !lengthValue.MatchString(lengths[0]):
		return "", ErrMalformed
	case q.Method == http.MethodTrace && (len(codings) == 1 || lengths[0] != "0"):
		return "", ErrMalformed
	case len(codings) == 1:
		return r.chunks()
	}
	length, err := strconv.ParseInt(lengths[0], 10, 64)
	if err != nil {
		return "", ErrMalformed
	}
	return r.take(length)
}

// take returns the next n bytes.
func (r *reader) take(n int64) (string, error) {
	runes := []rune(r.text)
	if int64(len(runes)) < n {
		return "", io.ErrUnexpectedEOF
	}
	r.text = string(runes[n:])
	return string(runes[:n]), nil
}

const (
	maxExtensions = 256
	maxTrailer    = 4 << 10
)

func (r *reader) chunks() (string, error) {
	var body strings.Builder
	for {
		line, err := r.line()
		if err != nil {
			return "", err
		}
		parts := chunkLine.FindStringSubmatch(line)
		if len(parts) == 0 || len(parts[2]) > maxExtensions {
			return "", ErrMalformed
		}
		size, err := strconv.ParseInt(parts[1], 16, 64)
		if err != nil {
			return "", ErrMalformed
		}
		if size == 0 {
			return body.String(), r.trailer()
		}
		data, err := r.take(size)
		if err != nil {
			return "", err
		}
		body.WriteString(data)
		end, err := r.take(2)
		if err != nil {
			return "", err
		}
		if end != "\r\n" {
			return "", ErrMalformed
		}
	}
}

// notInTrailer are the names that may not stand in a trailer.
const notInTrailer = " authorization cache-control connection content-encoding content-length content-range content-type " +
	"cookie expect forwarded host keep-alive max-forwards pragma proxy proxy-authorization proxy-connection range " +
	"set-cookie te trailer transfer-encoding upgrade via x-real-ip x-request-id "

func (r *reader) trailer() error {
	before := len([]rune(r.text))
	fields, err := r.fields()
	if err != nil {
		return err
	}
	if before-len([]rune(r.text)) > maxTrailer {
		return ErrMalformed
	}
	for _, field := range fields {
		name := strings.ToLower(field[0])
		if strings.Contains(notInTrailer, " "+name+" ") || strings.HasPrefix(name, "if-") || strings.HasPrefix(name, "x-forwarded-") {
			return ErrMalformed
		}
	}
	return nil
}
