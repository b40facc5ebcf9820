package clients_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The groups of cases are those of the Autobahn TestSuite, with its numbers; the cases are our own. What is correct
// is defined by RFC 6455 and RFC 7692 and is up to the server. A gateway must not change anything: see
// TestWebSocketsBehaveAsWithoutAGateway.

// wsCase is what a client sends after its handshake.
type wsCase struct {
	name string
	sent []byte
	// whole says that the server accepts all of it; otherwise the server fails the connection somewhere in the
	// middle.
	whole bool
	// code is the code of the close frame that the server sends at the end, or "" if the server chooses it.
	code string
	chop int // bytes per write; 0: all at once
	// offer is Sec-WebSocket-Extensions.
	offer string
}

// The opcodes, and the flag bits next to them.
const (
	more, text, bin          = 0x0, 0x1, 0x2
	closing, ping, pong      = 0x8, 0x9, 0xa
	fin, rsv1, rsv2, rsv3    = 0x80, 0x40, 0x20, 0x10
	normal                   = "\x03\xe8" // 1000
	noText                   = "\x03\xef" // 1007
	deflate                  = "permessage-deflate"
	deflateWithoutContext    = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	deflateTail              = "\x00\x00\xff\xff" // left out by the sender (RFC 7692 section 7.2.1)
	autoFragment, aFewOctets = 1300, 997
)

// wsFrame returns a frame of a client. All frames have the same masking key, so that two clients send the same bytes.
func wsFrame(first byte, payload string) []byte {
	const masked = 0x80
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, masked|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, masked|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, masked|127), uint64(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	frame = append(frame, key[:]...)
	at := len(frame)
	frame = append(frame, payload...)
	for i := range frame[at:] {
		frame[at+i] ^= key[i%4]
	}
	return frame
}

// inFragments splits a message into frames of size bytes, with between after each but the last.
func inFragments(first byte, message string, size int, between ...byte) []byte {
	var all []byte
	for {
		n := min(size, len(message))
		piece, rest := message[:n], message[n:]
		if rest == "" {
			return append(all, wsFrame(fin|first, piece)...)
		}
		all = append(append(all, wsFrame(first, piece)...), between...)
		message, first = rest, more
	}
}

func join(frames ...[]byte) []byte { return slices.Concat(frames...) }

// good is a case that the server accepts completely.
func good(name string, frames ...[]byte) wsCase {
	return ends(name, normal, normal, frames...)
}

// noUTF8 is a case that the server reads completely and then rejects as invalid UTF-8.
func noUTF8(name string, frames ...[]byte) wsCase { return ends(name, noText, noText, frames...) }

// ends is a case that ends with a close frame.
func ends(name, payload, code string, frames ...[]byte) wsCase {
	return wsCase{name: name, sent: append(join(frames...), wsFrame(fin|closing, payload)...), whole: true, code: code}
}

// bad is a case in which the server fails the connection.
func bad(name string, frames ...[]byte) wsCase { return wsCase{name: name, sent: join(frames...)} }

func (c wsCase) in(chop int) wsCase {
	c.name, c.chop = fmt.Sprintf("%s, %d bytes at a time", c.name, chop), chop
	return c
}

func (c wsCase) offering(extension string) wsCase {
	c.name, c.offer = c.name+" over "+extension, extension
	return c
}

func wsCases(t *testing.T) []wsCase {
	t.Helper()
	return slices.Concat(framing(), pings(), reservedBits(), opcodes(), fragmentation(), encoding(), closes(), limits(), compression(t))
}

func framing() (cases []wsCase) {
	for _, size := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		cases = append(cases,
			good(fmt.Sprintf("1.1 text of %d bytes", size), wsFrame(fin|text, strings.Repeat("*", size))),
			good(fmt.Sprintf("1.2 binary of %d bytes", size), wsFrame(fin|bin, strings.Repeat("\xfe", size))))
	}
	return append(cases,
		good("1.1.8 text", wsFrame(fin|text, strings.Repeat("*", 65536))).in(aFewOctets),
		good("1.2.8 binary", wsFrame(fin|bin, strings.Repeat("\xfe", 65536))).in(aFewOctets))
}

func pings() []wsCase {
	many := bytes.Repeat(wsFrame(fin|ping, "payload"), 10)
	return []wsCase{
		good("2.1 ping without payload", wsFrame(fin|ping, "")),
		good("2.2 ping", wsFrame(fin|ping, "Hello, world!")),
		good("2.3 ping with bytes", wsFrame(fin|ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		good("2.4 ping of 125 bytes", wsFrame(fin|ping, strings.Repeat("\xfe", 125))),
		bad("2.5 ping of 126 bytes", wsFrame(fin|ping, strings.Repeat("\xfe", 126))),
		good("2.6 ping of 125 bytes", wsFrame(fin|ping, strings.Repeat("\xfe", 125))).in(1),
		good("2.7 pong that nobody asked for", wsFrame(fin|pong, "")),
		good("2.8 pong with payload", wsFrame(fin|pong, "unsolicited pong payload")),
		good("2.9 pong and ping", wsFrame(fin|pong, "unsolicited pong payload"), wsFrame(fin|ping, "ping payload")),
		good("2.10 ten pings", many),
		good("2.11 ten pings", many).in(1),
	}
}

func reservedBits() (cases []wsCase) {
	hello := wsFrame(fin|text, "Hello, world!")
	for bits := byte(rsv3); bits <= rsv1|rsv2|rsv3; bits += rsv3 {
		cases = append(cases,
			bad(fmt.Sprintf("3 bits %#x of text", bits), wsFrame(fin|bits|text, "Hello, world!")),
			bad(fmt.Sprintf("3 bits %#x after text", bits), hello, wsFrame(fin|bits|text, "Hello, world!"), wsFrame(fin|ping, "")),
			bad(fmt.Sprintf("3 bits %#x of text", bits), hello, wsFrame(fin|bits|text, "Hello, world!")).in(1),
			bad(fmt.Sprintf("3 bits %#x of binary", bits), wsFrame(fin|bits|bin, "\x00\xff")),
			bad(fmt.Sprintf("3 bits %#x of a ping", bits), hello, wsFrame(fin|bits|ping, "Hello, world!")),
			bad(fmt.Sprintf("3 bits %#x of a close", bits), wsFrame(fin|bits|closing, normal)))
	}
	return cases
}

func opcodes() (cases []wsCase) {
	hello := wsFrame(fin|text, "Hello, world!")
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases,
			bad(fmt.Sprintf("4 opcode %d", op), wsFrame(fin|op, "")),
			bad(fmt.Sprintf("4 opcode %d with payload", op), wsFrame(fin|op, "reserved opcode payload")),
			bad(fmt.Sprintf("4 opcode %d after text", op), hello, wsFrame(fin|op, ""), wsFrame(fin|ping, "")),
			bad(fmt.Sprintf("4 opcode %d after text", op), hello, wsFrame(fin|op, "reserved opcode payload"), wsFrame(fin|ping, "")).in(1))
	}
	return cases
}

func fragmentation() []wsCase {
	two := inFragments(text, "fragment1fragment2", 9)
	pinged := inFragments(text, "fragment1fragment2", 9, wsFrame(fin|ping, "ping payload")...)
	stray := wsFrame(fin|more, "non-continuation payload")
	return []wsCase{
		bad("5.1 ping in fragments", inFragments(ping, "fragment1fragment2", 9)),
		bad("5.2 pong in fragments", inFragments(pong, "fragment1fragment2", 9)),
		good("5.3 two fragments", two),
		good("5.4 two fragments", two).in(7),
		good("5.5 two fragments", two).in(1),
		good("5.6 a ping between them", pinged),
		good("5.7 a ping between them", pinged).in(7),
		good("5.8 a ping between them", pinged).in(1),
		bad("5.9 an end without a beginning", stray, wsFrame(fin|text, "Hello, world!")),
		bad("5.11 an end without a beginning", stray, wsFrame(fin|text, "Hello, world!")).in(1),
		bad("5.12 a continuation without a beginning", wsFrame(more, "non-continuation payload"), wsFrame(fin|text, "Hello, world!")),
		bad("5.15 a continuation after the end", two, wsFrame(more, "fragment3"), wsFrame(fin|text, "fragment4")),
		bad("5.16 a continuation first, twice", bytes.Repeat(join(wsFrame(more, "fragment1"), wsFrame(text, "fragment2"), wsFrame(fin|more, "fragment3")), 2)),
		bad("5.18 a message within a message", wsFrame(text, "fragment1"), wsFrame(fin|text, "fragment2")),
		good("5.19 five fragments and pings", inFragments(text, strings.Repeat("fragment1", 5), 9, join(wsFrame(fin|ping, "pongme 1!"), wsFrame(fin|ping, "pongme 2!"))...)),
		good("5.20 the same", inFragments(text, strings.Repeat("fragment1", 5), 9, wsFrame(fin|ping, "pongme!")...)).in(1),
		good("5 empty fragments", wsFrame(text, ""), wsFrame(more, ""), wsFrame(fin|more, "")),
		good("5 an empty beginning", wsFrame(text, ""), wsFrame(more, "middle frame payload"), wsFrame(fin|more, "")),
	}
}

func encoding() (cases []wsCase) {
	valid := "Hello-µ@ßöäüàá-UTF-8!!"
	cases = append(cases,
		good("6.1 empty text in fragments", wsFrame(text, ""), wsFrame(more, ""), wsFrame(fin|more, "")),
		good("6.2 UTF-8", wsFrame(fin|text, valid)),
		good("6.2 UTF-8, split between characters", inFragments(text, valid, 7)),
		good("6.2 UTF-8, split within characters", inFragments(text, valid, 1)),
		noUTF8("6.3 κόσμε and a surrogate, at once", wsFrame(fin|text, "κόσμε\xed\xa0\x80edited")),
		noUTF8("6.3 κόσμε and a surrogate, split", inFragments(text, "κόσμε\xed\xa0\x80edited", 1)),
		noUTF8("6.4 beyond the last character, in three", wsFrame(text, "κόσμε"), wsFrame(more, "\xf4\x90\x80\x80"), wsFrame(fin|more, "edited")),
	)
	for _, s := range []string{
		"κόσμε", "\x00", "\u0080", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd",
		"\ufffe", "\U0001fffe", "\U0001ffff", "\U000ffffe", "\u2000\u3000\ufeff",
	} {
		cases = append(cases, good(fmt.Sprintf("6 valid: %x", s), wsFrame(fin|text, s)), good(fmt.Sprintf("6 valid, split: %x", s), inFragments(text, s, 1)))
	}
	for _, s := range []string{
		"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xf4\x90\x80\x80", // too large
		"\x80", "\xbf", "\x80\xbf\x80", "\xc0\x20\xc1\x20", "\xe0\x20\xef\x20", "\xf0\x20\xf7\x20", "\xfe", "\xff", "\xfe\xfe\xff\xff", // not characters
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "κόσμ\xce", // cut off
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80", // overlong
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", // surrogates
	} {
		cases = append(cases, noUTF8(fmt.Sprintf("6 invalid: %x", s), wsFrame(fin|text, s)), noUTF8(fmt.Sprintf("6 invalid, split: %x", s), inFragments(text, s, 1)))
	}
	return cases
}

func closes() []wsCase {
	hello, end := wsFrame(fin|text, "Hello World!"), wsFrame(fin|closing, normal)
	cases := []wsCase{
		good("7.1.1 a message before the end", hello),
		bad("7.1.2 two ends", end, end),
		bad("7.1.3 a ping behind the end", end, wsFrame(fin|ping, "Hello World!")),
		bad("7.1.4 a message behind the end", end, hello),
		bad("7.1.5 the end within a message", wsFrame(text, "fragment1"), end, wsFrame(fin|more, "fragment2")),
		bad("7.1.6 a large message, the end, a message and a ping", wsFrame(fin|text, strings.Repeat("BAsd7&jh23", 26<<10)), end, hello, wsFrame(fin|ping, "")),
		ends("7.3.1 an end without payload", "", ""),
		bad("7.3.2 an end of one byte", wsFrame(fin|closing, "a")),
		good("7.3.3 an end with a code"),
		ends("7.3.4 and a reason", normal+"Hello World!", normal+"Hello World!"),
		ends("7.3.5 and a long one", normal+strings.Repeat("*", 123), normal+strings.Repeat("*", 123)),
		bad("7.3.6 and one that is too long", wsFrame(fin|closing, normal+strings.Repeat("*", 124))),
		bad("7.5.1 a reason that is no UTF-8", wsFrame(fin|closing, normal+"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")),
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		payload := string(binary.BigEndian.AppendUint16(nil, code))
		cases = append(cases, ends(fmt.Sprintf("7.7 code %d", code), payload, payload))
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, bad(fmt.Sprintf("7.9 code %d that may not be sent", code), wsFrame(fin|closing, string(binary.BigEndian.AppendUint16(nil, code)))))
	}
	return cases
}

func limits() (cases []wsCase) {
	for _, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		cases = append(cases,
			good(fmt.Sprintf("9.1 text of %d bytes", size), wsFrame(fin|text, strings.Repeat("*", size))),
			good(fmt.Sprintf("9.2 binary of %d bytes", size), wsFrame(fin|bin, strings.Repeat("\xfe", size))))
	}
	for _, size := range []int{64, 1 << 10, 64 << 10, 1 << 20} {
		cases = append(cases,
			good(fmt.Sprintf("9.3 text in fragments of %d bytes", size), inFragments(text, strings.Repeat("*", 1<<20), size)),
			good(fmt.Sprintf("9.4 binary in fragments of %d bytes", size), inFragments(bin, strings.Repeat("\xfe", 1<<20), size)))
	}
	for _, chop := range []int{64, 256, 2048} {
		cases = append(cases,
			good("9.5 text of 256 KB", wsFrame(fin|text, strings.Repeat("*", 256<<10))).in(chop),
			good("9.6 binary of 256 KB", wsFrame(fin|bin, strings.Repeat("\xfe", 256<<10))).in(chop))
	}
	for _, size := range []int{0, 16, 125, 1024} {
		cases = append(cases, good(fmt.Sprintf("9.7 a thousand messages of %d bytes", size), bytes.Repeat(wsFrame(fin|text, strings.Repeat("*", size)), 1000)))
	}
	return append(cases, good("10.1 text of 64 KB in fragments", inFragments(text, strings.Repeat("*", 65536), autoFragment)))
}

// deflated compresses messages as a client does, with or without keeping its context between messages.
func deflated(t *testing.T, context bool, messages ...string) (all []string) {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range messages {
		b.Reset()
		if !context {
			w.Reset(&b)
		}
		if _, err := w.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSuffix(b.String(), deflateTail))
	}
	return all
}

func compression(t *testing.T) (cases []wsCase) {
	t.Helper()
	line := `{"name": "weir", "kind": "gateway", "numbers": [1, 2, 3, 5, 8, 13, 21]}` + "\n"
	for group, offer := range map[string]string{"12": deflate, "13": deflateWithoutContext} {
		for _, size := range []int{0, 16, 64, 256, 1 << 10, 8 << 10, 128 << 10} {
			message := strings.Repeat(line, size/len(line)+1)[:size]
			var whole, split []byte
			for _, packed := range deflated(t, offer == deflate, slices.Repeat([]string{message}, 20)...) {
				whole = append(whole, wsFrame(fin|rsv1|text, packed)...)
				split = append(split, inFragments(rsv1|bin, packed, max(1, len(packed)/5))...)
			}
			cases = append(cases,
				good(fmt.Sprintf("%s twenty of %d bytes", group, size), whole).offering(offer),
				good(fmt.Sprintf("%s twenty of %d bytes", group, size), whole).offering(offer).in(aFewOctets),
				good(fmt.Sprintf("%s twenty of %d bytes in fragments", group, size), split).offering(offer))
		}
		packed := deflated(t, false, line)[0]
		cases = append(cases,
			good(group+" plain beside packed", wsFrame(fin|text, line), wsFrame(fin|rsv1|text, packed), wsFrame(fin|bin, line)).offering(offer),
			bad(group+" rubbish", wsFrame(fin|rsv1|text, "\xff\xff\xff\xff\xff")).offering(offer),
			bad(group+" the bit within a message", wsFrame(rsv1|text, packed[:9]), wsFrame(fin|rsv1|more, packed[9:])).offering(offer),
			bad(group+" the bit of a ping", wsFrame(fin|rsv1|ping, packed)).offering(offer))
	}
	return cases
}
