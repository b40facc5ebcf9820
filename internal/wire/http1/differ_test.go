package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

// messages is how many messages TestMessagesAreReadAsByNetHTTP makes.
var messages = flag.Int("messages", 20_000, "how many messages made at random are read by our parser and by net/http")

// FuzzAgainstNetHTTP makes the same comparison with messages that the fuzzer chooses for the code that they reach.
func FuzzAgainstNetHTTP(f *testing.F) {
	for _, raw := range seeds(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, why := newReadings().read(raw); why != "" {
			t.Fatalf("%q: %s", raw, why)
		}
	})
}

// TestMessagesAreReadAsByNetHTTP compares two readings of random messages, which are made from the published attacks
// and a typical request. What both readers accept they must read alike, byte for byte. A message that only one of
// them accepts must break a rule, as a plain look at its text confirms.
func TestMessagesAreReadAsByNetHTTP(t *testing.T) {
	all, seed := seeds(t), rand.Uint64()
	t.Logf("seed %d", seed)
	var left atomic.Int64
	left.Store(int64(*messages))
	var mu sync.Mutex
	var counts outcomes
	begun := time.Now()
	var readers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			m := maker{Rand: rand.New(rand.NewPCG(seed, uint64(worker))), seeds: all}
			p := newReadings()
			var mine outcomes
			for left.Add(-1) >= 0 {
				raw := m.message()
				what, why := p.read(raw)
				if mine[what]++; why != "" {
					t.Errorf("%q: %s", raw, why)
					left.Store(0)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i, n := range mine {
				counts[i] += n
			}
		})
	}
	readers.Wait()
	took, n := time.Since(begun), counts[taken]+counts[refused]+counts[stricter]
	t.Logf("%d messages in %s, %.0f a second: %s", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), counts)
	if n >= 10_000 && (counts[taken] < n/20 || counts[refused] < n/20 || counts[stricter] < n/50) {
		t.Errorf("the messages are too much alike: %s", counts)
	}
}

// The possible results for a message.
const (
	taken    = iota // by both, with the same result
	refused         // by both
	stricter        // only net/http accepts it, and it breaks a rule
	outcomeCount
)

type outcomes [outcomeCount]int

func (o outcomes) String() string {
	return fmt.Sprintf("%d were read alike, %d refused by both, %d by us alone", o[taken], o[refused], o[stricter])
}

// readings are both readers, with buffers that they reuse.
type readings struct {
	in   bytes.Reader
	buf  *bufio.Reader
	head http1.Head
	body []byte
}

func newReadings() *readings { return &readings{buf: bufio.NewReaderSize(nil, 4<<10)} }

// read has both readers read one message, and describes any difference that no rule explains.
func (p *readings) read(raw []byte) (what int, why string) {
	end := bytes.Index(raw, []byte("\r\n\r\n"))
	if end < 0 {
		return refused, ""
	}
	head, rest := raw[:end+4], raw[end+4:]
	reason := p.head.Parse(head, http1.Limits{HeadBytes: len(raw), HeadFields: len(raw), TargetBytes: len(raw)})
	p.in.Reset(raw)
	p.buf.Reset(&p.in)
	theirs, err := http.ReadRequest(p.buf)
	switch {
	case reason != http1.OK && err != nil:
		return refused, ""
	case reason != http1.OK:
		if !explained(reason, string(head)) {
			return stricter, fmt.Sprintf("it is refused, for %q, and nothing in it says so", reason)
		}
		return stricter, ""
	case err != nil:
		return taken, fmt.Sprintf("net/http refuses it: %v", err)
	}
	if why := p.sameHead(head, theirs); why != "" {
		return taken, why
	}
	return p.sameBody(rest, theirs)
}

// sameHead compares what both readers made of a head.
func (p *readings) sameHead(head []byte, theirs *http.Request) string {
	h := &p.head
	switch {
	case theirs.Method != string(h.Method) || theirs.RequestURI != string(h.Target) || theirs.ProtoMajor != 1 || theirs.ProtoMinor != int(h.Minor):
		return fmt.Sprintf("net/http reads %s %s HTTP/%d.%d", theirs.Method, theirs.RequestURI, theirs.ProtoMajor, theirs.ProtoMinor)
	case !strings.EqualFold(theirs.Host, string(h.Host)):
		return fmt.Sprintf("net/http reads the host %q, we %q", theirs.Host, h.Host)
	}
	chunked := slices.Equal(theirs.TransferEncoding, []string{"chunked"})
	if chunked != (h.Framing == http1.ByChunks) || !chunked && theirs.ContentLength != h.Length {
		return fmt.Sprintf("net/http frames it as %v, %d; we as %v, %d", theirs.TransferEncoding, theirs.ContentLength, h.Framing, h.Length)
	}
	_, fields, _ := bytes.Cut(head, []byte("\r\n"))
	seen := map[string]int{}
	for name, value := range http1.Fields(fields) {
		key := http.CanonicalHeaderKey(string(name))
		switch key {
		case "Host", "Transfer-Encoding", "Content-Length", "Trailer":
			continue // net/http keeps them elsewhere; they are compared above
		}
		if values := theirs.Header[key]; len(values) <= seen[key] || values[seen[key]] != string(value) {
			return fmt.Sprintf("field %d %s: net/http reads %q, we %q", seen[key], key, values, value)
		}
		seen[key]++
	}
	for key, values := range theirs.Header {
		if len(values) != seen[key] && key != "Content-Length" && key != "Trailer" && key != "Cache-Control" { // net/http derives Cache-Control from Pragma
			return fmt.Sprintf("net/http reads %d of %s, we %d", len(values), key, seen[key])
		}
	}
	return ""
}

// sameBody compares the content that follows. If only one reader accepts the chunks, whatever ours accepted must be
// correct.
func (p *readings) sameBody(rest []byte, theirs *http.Request) (what int, why string) {
	ours, whole, reason := p.content(rest)
	got, err := io.ReadAll(theirs.Body)
	switch {
	case reason == http1.OK && whole && err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		if p.head.Framing == http1.ByChunks && len(got) <= len(ours) && bytes.Equal(got, ours[:len(got)]) {
			return taken, "" // trailers are not judged here
		}
		return taken, fmt.Sprintf("net/http refuses its content: %v", err)
	case reason != http1.OK || !whole:
		if n := min(len(ours), len(got)); !bytes.Equal(ours[:n], got[:n]) {
			return taken, fmt.Sprintf("content is %q with net/http, and %q with us", got, ours)
		}
		return taken, ""
	case err == nil && !bytes.Equal(got, ours):
		return taken, fmt.Sprintf("content is %q with net/http, and %q with us", got, ours)
	}
	return taken, ""
}

// content returns what our reader takes for the content, and whether that is all of it.
func (p *readings) content(rest []byte) (content []byte, whole bool, reason http1.Reason) {
	switch p.head.Framing {
	case http1.ByLength:
		n := min(int64(len(rest)), p.head.Length)
		return rest[:n], n == p.head.Length, http1.OK
	case http1.ByChunks:
		p.body = p.body[:0]
		var chunks http1.Chunks
		for len(rest) > 0 && !chunks.Done() && reason == http1.OK {
			var piece []byte
			var n int
			piece, n, reason = chunks.Next(rest)
			p.body, rest = append(p.body, piece...), rest[n:]
		}
		return p.body, chunks.Done(), reason
	default:
		return nil, true, http1.OK
	}
}

// The expressions that explain why a head is rejected look at its text: its beginning, its end and what lies between.
// They know nothing of how the parser works.
var explanations = map[http1.Reason]*regexp.Regexp{
	http1.BareLF:           regexp.MustCompile(`(^|[^\r])\n`),
	http1.BareCR:           regexp.MustCompile(`\r([^\n]|$)`),
	http1.BadVersion:       regexp.MustCompile(`^[^ ]+ [^ ]+ HTTP/([^1]\.\d|1\.[^01])\r\n`),
	http1.TargetFragment:   regexp.MustCompile(`^[^ ]+ [^ ]*#`),
	http1.TargetEscape:     regexp.MustCompile(`^[^ ]+ [^ ?]*%([^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f])`),
	http1.ConnectMethod:    regexp.MustCompile(`^CONNECT `),
	http1.TraceContent:     regexp.MustCompile(`(?is)^TRACE .*\n(transfer-encoding:|content-length:[ \t]*[1-9])`),
	http1.LeadingBlank:     regexp.MustCompile(`\n[ \t]`),
	http1.BlankBeforeColon: regexp.MustCompile(`\n[^:\r\n]*[ \t][^:\r\n]*:`),
	http1.BadFieldName:     regexp.MustCompile("\n(:|[^:\r\n]*[^!#$%&'*+.^_`|~0-9A-Za-z:\r\n-][^:\r\n]*:)"),
	http1.BadFieldValue:    regexp.MustCompile(`:[^\r\n]*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`),
	http1.RepeatedHost:     regexp.MustCompile(`(?is)\nhost:.*\nhost:`),
	http1.BadLength:        regexp.MustCompile(`(?i)\ncontent-length:[ \t]*(\r|0[^ \t\r]|[^\r]*[^0-9\r \t]|[0-9]+[ \t]+[0-9]|[0-9]{19})`),
	http1.RepeatedLength:   regexp.MustCompile(`(?is)\ncontent-length:.*\ncontent-length:`),
	http1.RepeatedCoding:   regexp.MustCompile(`(?is)\ntransfer-encoding:.*\ntransfer-encoding:`),
	http1.CodingOnHTTP10:   regexp.MustCompile(`(?is)^[^\n]* HTTP/1\.0\r.*\ntransfer-encoding:`),
	http1.LengthAndCoding:  regexp.MustCompile(`(?is)\n(content-length:.*\ntransfer-encoding:|transfer-encoding:.*\ncontent-length:)`),
	http1.BadConnection:    regexp.MustCompile(`(?i)\nconnection:[^\r]*([^!#$%&'*+.^_|~0-9a-z\r, \t` + "`" + `-]|[^, \t\r][ \t]+[^, \t\r])|\nconnection:([^\r]*[, \t])?(host|content-length|transfer-encoding)[ \t]*[,\r]`),
}

var (
	hostValue    = regexp.MustCompile(`(?i)\nhost:[ \t]*([^\r\n]*?)[ \t]*\r`)
	absoluteForm = regexp.MustCompile(`^[^ ]+ (?i:https?)://([^/?# ]*)`)
	chunkedValue = regexp.MustCompile(`(?i)\ntransfer-encoding:[ \t]*chunked[ \t]*\r`)
	plainHost    = regexp.MustCompile(`^([A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	token        = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
	requestLine  = regexp.MustCompile(`^[^ \r\n]+ ([^ \r\n]+) HTTP/\d\.\d\r\n`)
	targetBytes  = regexp.MustCompile("^[0-9A-Za-z._~!$&'()*+,;=:@/%|\\[\\]-]*(\\?[0-9A-Za-z._~!$&'()*+,;=:@/%|\\[\\]?\\\\^`{}-]*)?$")
	targetForm   = regexp.MustCompile(`^(/|(?i:https?)://)`)
	continuing   = regexp.MustCompile(`(?i)\nexpect:[ \t]*100-continue[ \t]*\r`)
	oddName      = regexp.MustCompile("\n([0-9A-Za-z-]*[!#$%&'*+.^_`|~][!#$%&'*+.^_`|~0-9A-Za-z-]*):")
	punctuation  = regexp.MustCompile("[!#$%&'*+.^_`|~]")
	managedName  = regexp.MustCompile(`^(?i:x-forwarded.*|connection|content-(encoding|length|type)|expect|http2-settings|keep-alive|proxy-(authorization|connection)|transfer-encoding|` +
		`(cf-connecting|(fastly|true|x|x-cluster)-client|x-real)-ip|x-request-id|x-http-method(-override)?|x-method-override|x-original-(host|url|method|uri)|x-rewrite-url)$`)
)

// explained reports whether the text of a head breaks this rule.
func explained(reason http1.Reason, head string) bool {
	host, authority := hostValue.FindStringSubmatch(head), absoluteForm.FindStringSubmatch(head)
	switch reason {
	case http1.BadRequestLine:
		return !requestLine.MatchString(head)
	case http1.BadMethod:
		return !token.MatchString(head)
	case http1.TargetForm:
		line := requestLine.FindStringSubmatch(head)
		return len(line) == 2 && !targetForm.MatchString(line[1]) && (line[1] != "*" || !strings.HasPrefix(head, "OPTIONS "))
	case http1.TargetByte:
		line := requestLine.FindStringSubmatch(head)
		return len(line) != 2 || !targetBytes.MatchString(line[1])
	case http1.NoHost:
		return host == nil && (authority != nil || strings.Contains(head, " HTTP/1.1\r\n"))
	case http1.BadHost:
		return slices.ContainsFunc(hostValue.FindAllStringSubmatch(head, -1), func(m []string) bool { return oddHost(m[1]) })
	case http1.TargetAuthority:
		return len(authority) == 2 && oddHost(authority[1])
	case http1.HostMismatch:
		return len(host) == 2 && len(authority) == 2 && !strings.EqualFold(host[1], authority[1])
	case http1.BadCoding:
		return strings.Count(strings.ToLower(head), "\ntransfer-encoding:") > len(chunkedValue.FindAllString(head, -1))
	case http1.BadExpectation:
		return strings.Count(strings.ToLower(head), "\nexpect:") > len(continuing.FindAllString(head, -1))
	case http1.AliasFieldName:
		return slices.ContainsFunc(oddName.FindAllStringSubmatch(head, -1), func(m []string) bool {
			return managedName.MatchString(punctuation.ReplaceAllString(m[1], "-"))
		})
	}
	expression := explanations[reason]
	return expression != nil && expression.MatchString(head)
}

// TestNothingExplainsWhatIsSound checks that the explanations do not match every message.
func TestNothingExplainsWhatIsSound(t *testing.T) {
	for _, text := range sound {
		head, _, _ := strings.Cut(text, "\r\n\r\n")
		for reason := http1.BareLF; reason <= http1.BadExpectation; reason++ {
			if explained(reason, head+"\r\n\r\n") {
				t.Errorf("%q: %s", head, reason)
			}
		}
	}
}

// oddHost reports whether a host is not a usual one: a name, an address, a port.
func oddHost(host string) bool {
	if !plainHost.MatchString(host) {
		return true
	}
	_, port, numbered := strings.Cut(host[strings.LastIndexByte(host, ']')+1:], ":")
	address, isAddress := strings.CutPrefix(host, "[")
	address, _, _ = strings.Cut(address, "]")
	parsed, err := netip.ParseAddr(address)
	return isAddress && (err != nil || !parsed.Is6()) || numbered && len(port) == 5 && port > "65535"
}

// sound are messages that both readers accept.
var sound = []string{
	typicalHead,
	"POST /a?b=%20 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n",
	"PUT http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close, te\r\n\r\nhello",
	"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
	"GET /%7Ea/../b;c=d?e=f&g HTTP/1.0\r\nConnection: keep-alive\r\nPragma: no-cache\r\nX: 1\r\nx: 2\r\n\r\n",
}

// seeds returns the messages that others are made from; the last ones are sound.
func seeds(tb testing.TB) (all [][]byte) {
	tb.Helper()
	for _, c := range http1test.Corpus(tb, "testdata") {
		all = append(all, c.Raw())
	}
	for _, text := range sound {
		all = append(all, []byte(text))
	}
	return all
}

// maker makes messages.
type maker struct {
	*rand.Rand

	seeds [][]byte
	raw   []byte
}

// words are texts on which readers have differed.
var words = []string{
	"\r\n", "\n", "\r", " ", "\t", ":", ",", ";", "\x00", "\x0b", "\x7f", "\xa0", "\xff", "0", "1", "+", "-", "_", "#", "%", "%2e", "//", "[::1]", "@", "\"",
	"Host: a\r\n", "Host: b\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length:\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n",
	"Transfer-Encoding: gzip, chunked\r\n", "Connection: close\r\n", "Connection: host\r\n", "Expect: 100-continue\r\n", "Trailer: A\r\n", "Pragma: no-cache\r\n", " folded\r\n",
	"Content_Length: 5\r\n", "X-Forwarded_For: a\r\n", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "http://a", "https://b/", "GET ", "CONNECT ", "TRACE ", "OPTIONS * ", "chunked", "xchunked",
	"5\r\nhello\r\n", "0\r\n\r\n", ";a=b", ";a=\"\\\"\"", "0x5", "00000000000000005", "\r\n\r\n",
}

// message returns one of the seeds, changed in some places. It is valid until the next call.
func (m *maker) message() []byte {
	from := m.seeds
	if m.IntN(2) == 0 {
		from = from[len(from)-len(sound):]
	}
	m.raw = append(m.raw[:0], from[m.IntN(len(from))]...)
	for range m.IntN(4) {
		m.change()
	}
	if len(m.raw) > 4<<10 {
		m.raw = m.raw[:4<<10]
	}
	return m.raw
}

// change changes one place.
func (m *maker) change() {
	at := m.IntN(len(m.raw) + 1)
	end := min(len(m.raw), at+m.IntN(12))
	switch m.IntN(7) {
	case 0: // a byte
		m.raw = slices.Replace(m.raw, at, min(at+1, len(m.raw)), byte(m.IntN(256)))
	case 1:
		m.raw = slices.Delete(m.raw, at, end)
	case 2: // in another case
		copy(m.raw[at:end], bytes.ToUpper(m.raw[at:end]))
	case 3: // twice
		m.raw = slices.Insert(m.raw, at, m.raw[at:end]...)
	case 4: // the end of another message
		other := m.seeds[m.IntN(len(m.seeds))]
		m.raw = append(m.raw[:at], other[m.IntN(len(other)+1):]...)
	case 5: // a word at the beginning of a line
		if line := bytes.IndexByte(m.raw[at:], '\n'); line >= 0 {
			at += line + 1
		}
		fallthrough
	default:
		m.raw = slices.Insert(m.raw, at, []byte(words[m.IntN(len(words))])...)
	}
}
