// Package scenario_test runs one-file scenarios against the real binary. It sends raw bytes over a socket, and
// compares the responses and what the backend received with the file. See README.md for the format.
package scenario_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/test/weirtest"
)

var update = flag.Bool("update", false, "write the expected sections anew")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScenario(t, file)
		})
	}
}

// scenario is a running scenario file.
type scenario struct {
	t        *testing.T
	archive  *txtar.Archive
	folder   string
	backends map[string]*backend
	gateway  *weirtest.Gateway
	client   net.Conn // kept between requests of one connection
	head     bool     // the last request was a HEAD request, whose response has no body
	reader   *bufio.Reader
}

func runScenario(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{t: t, archive: archive, folder: t.TempDir(), backends: map[string]*backend{}}
	s.startBackends()
	s.writeFiles()
	arguments := []string{"--state", t.TempDir()}
	if *update {
		arguments = append(arguments, "--engine", exact)
	}
	s.gateway = weirtest.Start(t, filepath.Join(s.folder, "weir.yaml"), arguments...)
	for i := range archive.Files {
		s.step(i)
	}
	s.hangUp()
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// placeholder matches a backend's address in the config, such as $users.
var placeholder = regexp.MustCompile(`\$[a-z]+\b`)

// startBackends makes one backend for each placeholder of the config.
func (s *scenario) startBackends() {
	for _, f := range s.archive.Files {
		if f.Name != "weir.yaml" {
			continue
		}
		for _, name := range placeholder.FindAllString(string(f.Data), -1) {
			if s.backends[name[1:]] == nil {
				s.backends[name[1:]] = startBackend(s.t)
			}
		}
	}
	for _, f := range s.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "backend "); ok {
			b := s.backends[name]
			if b == nil {
				s.t.Fatalf("section %q: the config has no $%s", f.Name, name)
			}
			b.script = append(b.script, wire(f.Data))
		}
	}
}

// writeFiles writes the config and every other plain file into the folder.
func (s *scenario) writeFiles() {
	for _, f := range s.archive.Files {
		if strings.Contains(f.Name, " ") || slices.Contains([]string{"request", "response", "close"}, f.Name) {
			continue
		}
		data := placeholder.ReplaceAllStringFunc(string(f.Data), func(name string) string { return s.backends[name[1:]].address })
		path := filepath.Join(s.folder, filepath.FromSlash(f.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *scenario) step(i int) {
	f := &s.archive.Files[i]
	kind, name, _ := strings.Cut(f.Name, " ")
	switch kind {
	case "request":
		s.send(wire(f.Data))
	case "response":
		s.compare(f, s.receive())
	case "upstream":
		s.compare(f, s.backends[name].next(s.t))
	case "untouched":
		if n := s.backends[name].waiting(); n > 0 {
			s.t.Errorf("backend %s got %d requests, want none: %q", name, n, s.backends[name].next(s.t))
		}
	case "close":
		s.hangUp()
	}
}

// exact is the engine that always writes header fields in the same order, which is that of the sections.
const exact = string(config.StdEngine)

// compare compares a masked message with its section.
func (s *scenario) compare(f *txtar.File, got []byte) {
	s.t.Helper()
	text := readable(got)
	if *update {
		f.Data = []byte(text)
		return
	}
	want := string(f.Data)
	if weirtest.Engine() != exact { // engines may differ in the order and spelling of header fields
		text, want = inOrder(text), inOrder(want)
	}
	if text != want {
		s.t.Errorf("%s\n--- got\n%s--- want\n%s", f.Name, text, want)
	}
}

// inOrder returns a message with its header fields sorted by name, and the names in net/http's spelling.
func inOrder(message string) string {
	head, content, _ := strings.Cut(message, "\n\n")
	first, fields, _ := strings.Cut(head, "\n")
	lines := strings.Split(fields, "\n")
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		lines[i] = textproto.CanonicalMIMEHeaderKey(name) + ":" + value
	}
	slices.Sort(lines)
	return first + "\n" + strings.Join(lines, "\n") + "\n\n" + content
}

// patience is how long a response may take: a function may have to be built first.
const patience = 6 * time.Minute

func (s *scenario) send(raw []byte) {
	s.t.Helper()
	s.head = bytes.HasPrefix(raw, []byte("HEAD "))
	if s.client == nil {
		conn, err := net.Dial("tcp", s.gateway.Address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.client, s.reader = conn, bufio.NewReader(conn)
	}
	if err := s.client.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.Write(raw); err != nil {
		s.t.Fatalf("send: %v", err)
	}
}

// receive reads one response, or everything to the end if the gateway closes the connection.
func (s *scenario) receive() []byte {
	s.t.Helper()
	raw, err := readMessage(s.reader, bodiless(s.head))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		s.hangUp()
		return append(raw, "(cut)\n"...)
	}
	if err != nil {
		s.t.Fatalf("receive: %v after %q", err, raw)
	}
	if bytes.Contains(bytes.ToLower(raw), []byte("connection: close")) {
		rest, _ := io.ReadAll(s.reader) // a reset after the last byte is an end too
		raw = append(raw, rest...)
		s.hangUp()
		raw = append(raw, "(closed)\n"...)
	}
	return raw
}

func (s *scenario) hangUp() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

// backend is a raw server. It records each request byte by byte and answers with its script, whose last entry
// repeats, or with a plain 200.
type backend struct {
	address string
	script  [][]byte

	mu       sync.Mutex
	served   int
	requests chan []byte
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: l.Addr().String(), requests: make(chan []byte, 64)}
	var serving sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			serving.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return b
}

func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		raw, err := readMessage(r, hasBody)
		if err != nil {
			return
		}
		b.requests <- raw
		if _, err := conn.Write(b.answer()); err != nil {
			return
		}
	}
}

func (b *backend) answer() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.served++
	if len(b.script) == 0 {
		return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
	return b.script[min(b.served, len(b.script))-1]
}

func (b *backend) waiting() int { return len(b.requests) }

func (b *backend) next(t *testing.T) []byte {
	t.Helper()
	return await.From(t, "a request at the backend", b.requests)
}

// readMessage reads the bytes of one HTTP/1.1 message: its head, and the body that the head announces.
func readMessage(r *bufio.Reader, noBody func(head string) bool) ([]byte, error) {
	var raw []byte
	for {
		line, err := r.ReadBytes('\n')
		raw = append(raw, line...)
		if err != nil {
			return raw, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	head := strings.ToLower(string(raw))
	switch {
	case noBody(head):
		return raw, nil
	case strings.Contains(head, "\r\ntransfer-encoding: chunked"):
		return readChunks(r, raw)
	}
	_, after, ok := strings.Cut(head, "\r\ncontent-length: ")
	if !ok {
		return raw, nil
	}
	length, _, _ := strings.Cut(after, "\r\n")
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		return raw, err
	}
	body := make([]byte, n)
	got, err := io.ReadFull(r, body)
	return append(raw, body[:got]...), err
}

// bodiless returns a function that reports which responses end with their head: those to HEAD, 1xx, 204 and 304 (RFC
// 9112 section 6.3).
func bodiless(head bool) func(string) bool {
	return func(message string) bool {
		return head || slices.ContainsFunc([]string{" 1", " 204", " 304"}, func(status string) bool {
			return strings.HasPrefix(message, "http/1.1"+status)
		})
	}
}

func hasBody(string) bool { return false }

func readChunks(r *bufio.Reader, raw []byte) ([]byte, error) {
	for {
		line, err := r.ReadBytes('\n')
		raw = append(raw, line...)
		if err != nil {
			return raw, err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return raw, err
		}
		if size == 0 {
			return readTrailer(r, raw)
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return raw, err
		}
		raw = append(raw, chunk...)
	}
}

func readTrailer(r *bufio.Reader, raw []byte) ([]byte, error) {
	for {
		line, err := r.ReadBytes('\n')
		raw = append(raw, line...)
		if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return raw, err
		}
	}
}

// wire turns a section into bytes: lines end in CRLF, and the escapes \r \n \t \xHH \\ are replaced. A backslash at
// the end of a line joins it with the next.
func wire(section []byte) []byte {
	text := strings.ReplaceAll(string(section), "\\\n", "")
	text = strings.ReplaceAll(text, "\n", "\r\n")
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		switch text[i] {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'x':
			b, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				panic("\\x wants two hexadecimal digits: " + text[i-1:i+3])
			}
			out = append(out, byte(b))
			i += 2
		default:
			out = append(out, text[i])
		}
	}
	return out
}

// masks replace what differs from run to run.
var masks = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`(?m)^Date: .*\r\n`), ""},
	{regexp.MustCompile(`(?mi)^(X-Request-Id: |X-Amzn-Requestid: ).*\r`), "${1}(id)\r"},
	{regexp.MustCompile(`("request_id":")[^"]*"`), `${1}(id)"`},
	{regexp.MustCompile(`(?mi)^(Last-Modified: |Etag: ).*\r`), "${1}(masked)\r"},
	{regexp.MustCompile(`(?mi)^(Set-Cookie: weir-[0-9a-f]{8}=)[\w-]{22};`), "${1}(endpoint);"},
	{regexp.MustCompile(`(?mi)^(Retry-After: )\d+\r`), "${1}(s)\r"},
	{regexp.MustCompile(`("Retry-After":")\d+"`), `${1}(s)"`},
	{regexp.MustCompile(`;t=\d+`), ";t=(s)"},
	{regexp.MustCompile(`[0-9a-f]{48}`), "(job)"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:(port)"},
}

// readable is the reverse of wire, for human readers, with masks.
func readable(raw []byte) string {
	text := string(raw)
	for _, m := range masks {
		text = m.find.ReplaceAllString(text, m.replace)
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", `\r`)
	if !strings.HasSuffix(text, "\n") {
		text += "\\\n"
	}
	return text
}

// TestReadMessage tests the harness itself: if the reader lost bytes, no scenario could be trusted.
func TestReadMessage(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
	} {
		r := bufio.NewReader(strings.NewReader(raw + "GET /next HTTP/1.1\r\n\r\n"))
		got, err := readMessage(r, hasBody)
		if err != nil || string(got) != raw {
			t.Errorf("got %q, %v, want %q", got, err, raw)
		}
		if next, err := http.ReadRequest(r); err != nil || next.URL.Path != "/next" {
			t.Errorf("after %q: %v, %v", raw, next, err)
		}
	}
}
