package proxyproto_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/proxyproto"
)

func header(source, destination string) proxyproto.Header {
	return proxyproto.Header{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination)}
}

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 builds a header by hand.
func v2(command, kind byte, body string) string {
	return signature + string([]byte{command, kind, byte(len(body) >> 8), byte(len(body))}) + body
}

const (
	inet  = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x1f\x90\x01\xbb" // 192.0.2.1:8080 198.51.100.2:443
	inet6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x1f\x90\x01\xbb"
)

// withSum adds the checksum field.
func withSum(head string, wrong uint32) string {
	b := []byte(head)
	b = append(b, 3, 0, 4, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-16))
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[len(b)-4:], sum^wrong)
	return string(b)
}

func TestHeadersAreRead(t *testing.T) {
	four, six := header("192.0.2.1:8080", "198.51.100.2:443"), header("[2001:db8::1]:8080", "[2001:db8::2]:443")
	for text, want := range map[string]proxyproto.Header{
		"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n":       four,
		"PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n":      six,
		"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 8080 443\r\n": header("192.0.2.1:8080", "[2001:db8::2]:443"),
		"PROXY UNKNOWN\r\n": {},
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 1 2\r\n": {},
		v2(0x21, 0x11, inet):                              four,
		v2(0x21, 0x11, inet+"\x04\x00\x02xx\x05\x00\x00"): four, // with fields
		withSum(v2(0x21, 0x11, inet), 0):                  four,
		v2(0x21, 0x21, inet6):                             six,
		v2(0x21, 0x31, strings.Repeat("x", 216)):          {},
		v2(0x21, 0x00, "what this is, nobody knows"):      {},
		v2(0x20, 0x00, ""):                                {},
		v2(0x20, 0x11, inet):                              {}, // the proxy's own connection
		v2(0x20, 0xff, "what this is, nobody knows"):      {},
	} {
		for _, rest := range []string{"", "GET / HTTP/1.1\r\n"} {
			if got, n, err := proxyproto.Parse([]byte(text + rest)); err != nil || n != len(text) || got != want {
				t.Errorf("%q: got %v, %d, %v, want %v, %d", text+rest, got, n, err, want, len(text))
			}
		}
		for i := range text { // its prefixes are not complete yet
			if got, n, err := proxyproto.Parse([]byte(text[:i])); err != nil || n != 0 || got != (proxyproto.Header{}) {
				t.Errorf("%q: got %v, %d, %v, want to wait", text[:i], got, n, err)
			}
		}
	}
}

func TestWhatIsNoHeaderIsRefused(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\n", "\x16\x03\x01", "PROXZ", "POST / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\n", "\r\r", "\x00",
		"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\n", "PROXY \r\n", "PROXY\r\n", "PROXY  TCP4 192.0.2.1 198.51.100.2 8080 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 \r\n", "PROXY TCP4 192.0.2.1 198.51.100.2  8080 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 8080 65536\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 08080 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 +8080 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
		"PROXY TCP4 192.0.2.01 198.51.100.2 8080 443\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 8080 443\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n",
		"PROXY TCP4 host 198.51.100.2 8080 443\r\n", "PROXY TCP6 fe80::1%eth0 2001:db8::2 8080 443\r\n", "PROXY UDP4 192.0.2.1 198.51.100.2 8080 443\r\n", "PROXY UNKNOWNS\r\n", "proxy unknown\r\n",
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", "PROXY UNKNOWN" + strings.Repeat(" ", 200),
		v2(0x11, 0x11, inet), v2(0x22, 0x11, inet), v2(0x21, 0x12, inet), v2(0x21, 0x41, inet), v2(0x21, 0x10, inet), v2(0x21, 0x02, inet),
		v2(0x21, 0x11, inet[:11]), v2(0x21, 0x21, inet), v2(0x21, 0x31, inet6), v2(0x21, 0x11, inet+"\x04"), v2(0x21, 0x11, inet+"\x04\x00\x02x"),
		withSum(v2(0x21, 0x11, inet), 1), v2(0x21, 0x11, inet+"\x03\x00\x03sum"), v2(0x21, 0x11, strings.Repeat("x", proxyproto.MaxBytes)),
	} {
		if h, n, err := proxyproto.Parse([]byte(text)); !errors.Is(err, proxyproto.ErrMalformed) || n != 0 || h != (proxyproto.Header{}) {
			t.Errorf("%q: got %v, %d, %v", text, h, n, err)
		}
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	for _, h := range []proxyproto.Header{
		header("192.0.2.1:8080", "198.51.100.2:443"), header("[2001:db8::1]:8080", "[2001:db8::2]:0"),
		header("192.0.2.1:8080", "[2001:db8::2]:443"), header("[2001:db8::1]:1", "192.0.2.1:65535"),
		{}, {Source: netip.MustParseAddrPort("192.0.2.1:8080")},
	} {
		want := h
		if !h.Destination.IsValid() {
			want = proxyproto.Header{}
		}
		for version, text := range map[int][]byte{1: h.AppendV1(nil), 2: h.AppendV2(nil)} {
			if got, n, err := proxyproto.Parse(text); err != nil || n != len(text) || got != want {
				t.Errorf("version %d of %v: %q is read as %v, %d, %v", version, h, text, got, n, err)
			}
		}
	}
	if got := string(header("192.0.2.1:8080", "198.51.100.2:443").AppendV1(nil)); got != "PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n" {
		t.Errorf("got %q", got)
	}
	if got := string(header("192.0.2.1:8080", "198.51.100.2:443").AppendV2(nil)); got != v2(0x21, 0x11, inet) {
		t.Errorf("got %q", got)
	}
}

// FuzzParse checks that a header is judged by its own bytes alone, whatever precedes and follows its end, and that it
// can be written again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\nGET", "PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n", "PROXY UNKNOWN\r\n", "PROXY TCP4 1",
		v2(0x21, 0x11, inet) + "GET", v2(0x21, 0x21, inet6+"\x04\x00\x01x"), withSum(v2(0x21, 0x11, inet), 0), v2(0x20, 0, ""), v2(0x21, 0x31, strings.Repeat("x", 216)),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := proxyproto.Parse(b)
		if err != nil && (n != 0 || h != (proxyproto.Header{})) || n > len(b) || n > proxyproto.MaxBytes {
			t.Fatalf("got %v, %d, %v", h, n, err)
		}
		if h.Source.Addr().Is4In6() || h.Destination.Addr().Is4In6() {
			t.Errorf("%v is not unmapped", h)
		}
		if err != nil || n == 0 {
			return
		}
		for i := range n {
			if _, early, err := proxyproto.Parse(b[:i]); early != 0 || err != nil {
				t.Errorf("the first %d of %d bytes: got %d, %v", i, n, early, err)
			}
		}
		if again, m, err := proxyproto.Parse(bytes.Clone(b[:n])); again != h || m != n || err != nil {
			t.Errorf("without what follows: got %v, %d, %v, want %v, %d", again, m, err, h, n)
		}
		for _, text := range [][]byte{h.AppendV1(nil), h.AppendV2(nil)} {
			if again, m, err := proxyproto.Parse(text); again != h || m != len(text) || err != nil {
				t.Errorf("written as %q: got %v, %d, %v, want %v", text, again, m, err, h)
			}
		}
	})
}
