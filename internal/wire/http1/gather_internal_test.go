package http1

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/weir-gateway/weir/internal/base/field"
)

var wideLimits = Limits{HeadBytes: 1 << 20, HeadFields: 20, TargetBytes: 1 << 10}

// FuzzGather parses heads that follow each other on one connection. Each must be judged and read as if it were the
// first one.
func FuzzGather(f *testing.F) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 1\r\n\r\n"
	for _, after := range []string{
		get, strings.ToLower(get), strings.Replace(get, "*/*", "text/html", 1), strings.Replace(get, "Accept: */*\r\n", "", 1),
		strings.Replace(get, "\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n", 1), strings.Replace(get, "Host: a", "Host:  a ", 1),
		strings.Replace(get, "Content-Length", "Content_Length", 1), strings.Replace(get, "Accept", "Connection", 1), get[:len(get)-10],
	} {
		f.Add([]byte(get), []byte(after))
	}
	f.Add([]byte(manyHeeded), []byte(get))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: b\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"))
	f.Fuzz(func(t *testing.T, before, head []byte) {
		var requests, responses gather
		for n, message := range [][]byte{before, before, head, before, head, head, before} {
			var h, again Head
			var alone gather
			end, reason := h.parse(message, wideLimits, &alone)
			gotEnd, gotReason := again.parse(message, wideLimits, &requests)
			if end != gotEnd || reason != gotReason || !sameHead(&h, &again) {
				t.Fatalf("%d: %q is %d, %v, %+v; after others: %d, %v, %+v", n, message, end, reason, h, gotEnd, gotReason, again)
			}
			compareLines(t, message[:end], reason, &alone, &requests, n == 3)

			var r, second ResponseHead
			alone = gather{}
			end, reason = r.parse(message, wideLimits, &alone)
			gotEnd, gotReason = second.parse(message, wideLimits, &responses)
			if end != gotEnd || reason != gotReason || r != second {
				t.Fatalf("%d: %q is %d, %v, %+v; after others: %d, %v, %+v", n, message, end, reason, r, gotEnd, gotReason, second)
			}
			compareLines(t, message[:end], reason, &alone, &responses, n == 3)
		}
	})
}

// manyHeeded is a head with more lines that the parser acts on than it remembers.
const manyHeeded = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nContent-Length: 7\r\n\r\n"

// All lines of a head that the parser acts on have the same effect in the next head, however many there are.
func TestWhatIsHeededIsHeededAgain(t *testing.T) {
	for heeded, head := range map[int]string{
		6: manyHeeded + manyHeeded, // the first head and the beginning of another
		4: strings.Replace(manyHeeded, "Expect: 100-continue\r\n", "", 1),
		3: "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 7\r\nAccept: */*\r\n\r\n",
	} {
		var g gather
		for n := range 3 {
			var h Head
			end, reason := h.parse([]byte(head), wideLimits, &g)
			if reason != OK || end == 0 || string(h.Host) != "a" || h.Length != 7 || h.Framing != ByLength || h.Rewrites() != strings.Contains(head, "h2c") {
				t.Fatalf("%d heeded, head %d: %v, %+v", heeded, n, reason, h)
			}
			if remembers := len(g.section) > 0; remembers != (heeded <= mostHeeded) {
				t.Errorf("%d heeded: it is remembered: %t", heeded, remembers)
			}
			g.all()
		}
	}
	few, limits := new(gather), Limits{HeadBytes: 1 << 20, HeadFields: 300, TargetBytes: 1 << 10}
	for n, of := range []string{"Host: a\r\n", "Host: bb\r\nHTTP2-Settings: s\r\n", strings.Repeat("Proxy:\r\n", 256) + "Host: c\r\n", "Host: d\r\n"} {
		for range 2 {
			var h Head
			if _, reason := h.parse([]byte("GET / HTTP/1.1\r\n"+of+"\r\n"), limits, few); reason != OK || h.hosts != 1 || h.Rewrites() != (n == 1 || n == 2) {
				t.Fatalf("%.40q: %v, %+v", of, reason, h)
			}
			few.all()
		}
	}
	answer := []byte("HTTP/1.1 200 OK\r\nServer: b\r\nDate: d\r\nContent-Type: t\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n")
	var g gather
	for range 2 {
		var h ResponseHead
		if _, reason := h.parse(answer, wideLimits, &g); reason != OK || h.Length != 2 || len(g.section) == 0 || g.heeds != 1 {
			t.Fatalf("of an answer nothing is heeded but what frames: %v, %+v, %d", reason, h, g.heeds)
		}
		g.all()
	}
}

func sameHead(a, b *Head) bool {
	return bytes.Equal(a.Method, b.Method) && bytes.Equal(a.Target, b.Target) && bytes.Equal(a.Authority, b.Authority) && bytes.Equal(a.Host, b.Host) &&
		a.Minor == b.Minor && a.Framing == b.Framing && a.Length == b.Length && a.lengths == b.lengths && a.codings == b.codings &&
		a.hosts == b.hosts && a.discarded == b.discarded
}

// compareLines also compares with what a reader of the bytes alone finds. Some heads are rejected before their lines
// are made.
func compareLines(t *testing.T, head []byte, reason Reason, alone, after *gather, givenUp bool) {
	t.Helper()
	if len(head) == 0 || reason != OK || givenUp {
		return
	}
	fresh, kept := alone.all(), after.all()
	if !slices.Equal(fresh, kept) {
		t.Fatalf("%q has %q, and %q after another one", head, fresh, kept)
	}
	after.lighten(len(head))
	var want []field.Line
	for name, value := range Fields(head[bytes.IndexByte(head, '\n')+1:]) {
		want = append(want, field.Make(string(name), string(value)))
	}
	if !slices.Equal(fresh, want) {
		t.Fatalf("%q has %q, want %q", head, fresh, want)
	}
}

// A head that differs from the previous one in one line costs only that line.
func TestWhatIsTheSameIsNotMadeAgain(t *testing.T) {
	first := []byte("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nTraceparent: 1\r\nAccept: */*\r\n\r\n")
	second := bytes.Replace(first, []byte("Traceparent: 1"), []byte("Traceparent: 2"), 1)
	var g gather
	for n, head := range [][]byte{first, first, second, first} {
		var h Head
		if end, reason := h.parse(head, wideLimits, &g); end != len(head) || reason != OK {
			t.Fatal(end, reason)
		}
		if got, want := len(g.made), []int{4, 0, 1, 1}[n]; got != want {
			t.Errorf("head %d: %d lines are new, want %d", n, got, want)
		}
		g.all()
	}
	var h Head
	if n := testing.AllocsPerRun(100, func() { h.parse(first, wideLimits, &g); g.all() }); n > 0 {
		t.Errorf("a head that was there before costs %v allocations", n)
	}
}

// However many differing heads there were, the lines that are kept refer to no more texts than a head has lines.
func TestLinesThatStayKeepNoOtherTexts(t *testing.T) {
	var g gather
	const lines = 20
	for stays := range lines { // each head changes all lines but the first few
		head := []byte("GET / HTTP/1.1\r\nHost: a\r\n")
		for i := range lines - 1 {
			head = append(head, fmt.Sprintf("X-%d: %s%d\r\n", i, strings.Repeat("v", 100), max(0, stays-i))...)
		}
		var h Head
		if end, reason := h.parse(append(head, "\r\n"...), wideLimits, &g); end == 0 || reason != OK {
			t.Fatal(end, reason)
		}
		alone := len(g.made)
		all := g.all()
		if alone < lines/2 {
			continue
		}
		for i := 1; i < len(all); i++ { // the texts lie side by side, in any order
			if !slices.ContainsFunc(all, func(before field.Line) bool {
				return unsafe.Add(unsafe.Pointer(unsafe.StringData(string(before))), len(before)) == unsafe.Pointer(unsafe.StringData(string(all[i])))
			}) && unsafe.StringData(string(all[i])) != first(all) {
				t.Fatalf("of %d lines, %d of them new, the one at %d is of another text", len(all), alone, i)
			}
		}
	}
}

// first returns the start of the text that lies first in memory.
func first(lines []field.Line) *byte {
	least := slices.MinFunc(lines, func(a, b field.Line) int {
		return cmp.Compare(uintptr(unsafe.Pointer(unsafe.StringData(string(a)))), uintptr(unsafe.Pointer(unsafe.StringData(string(b)))))
	})
	return unsafe.StringData(string(least))
}

// The lines of a large head are not kept for as long as the connection lasts.
func TestLargeHeadsAreForgotten(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("c", 2*mostGathered) + "\r\n\r\n")
	var g gather
	var h Head
	if _, reason := h.parse(head, wideLimits, &g); reason != OK {
		t.Fatal(reason)
	}
	g.all()
	if g.lighten(len(head)); cap(g.fresh) > 0 || len(g.lines) > 0 {
		t.Errorf("%d bytes are kept", cap(g.fresh))
	}
}

// However a client's heads follow each other, the memory that is kept of them is about what one head may use.
func TestWhatIsGatheredIsBounded(t *testing.T) {
	var g gather
	heldBytes := func() (n int) {
		for _, line := range g.lines[:cap(g.lines)] {
			n += len(line)
		}
		return n
	}
	value := strings.Repeat("v", mostGathered-300)
	for long := 15; long >= 0; long-- { // the lines are long in turn, and each head is shorter than the one before
		head := []byte("GET / HTTP/1.1\r\nHost: a\r\n")
		for i := range long + 1 {
			head = append(head, "X: "...)
			if i == long {
				head = append(head, value...)
			}
			head = append(head, "\r\n"...)
		}
		head = append(head, "\r\n"...)
		var h Head
		if _, reason := h.parse(head, wideLimits, &g); reason != OK {
			t.Fatal(reason)
		}
		g.all()
		if g.lighten(len(head)); heldBytes() > 2*mostGathered {
			t.Fatalf("%d bytes are held", heldBytes())
		}
	}
}
