package http2_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/wire/http2"
)

// blockOf encodes fields, which alternate between name and value.
func blockOf(t testing.TB, fields ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: i%3 == 0}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// again refers n times to one field of the dynamic table.
func again(n int) []byte { return bytes.Repeat([]byte{0x80 | 62}, n) }

// endsFor returns the reason why a Meter ends a connection on which these frames arrive in pieces of the given sizes.
func endsFor(sizes []byte, frames ...string) http2.Reason {
	all := http2.Preface + strings.Join(frames, "")
	m := http2.NewMeter(&pieces{left: []byte(all), sizes: sizes}, &http2.Options{HeadBytes: 64 << 10, HeadFields: 10}, false, never)
	_, _ = io.Copy(io.Discard, m) // Reason says how it ended
	return m.Reason()
}

func TestTooManyFieldsEndTheConnection(t *testing.T) {
	const most = 10 * http2.MaxFields
	first := blockOf(t, "bomb", strings.Repeat("a", 1000))
	long := blockOf(t, "cookie", strings.Repeat("\x00", 10_000))
	const whole = http2.EndHeaders | http2.EndStream
	const withPriority = 0x20
	for name, test := range map[string]struct {
		frames []string
		ends   bool
	}{
		"a long one":                         {frames: []string{frameOf(http2.Headers, whole, 1, string(long))}},
		"as many as may be":                  {frames: []string{frameOf(http2.Headers, whole, 1, string(first)+string(again(most-1)))}},
		"one more":                           {frames: []string{frameOf(http2.Headers, whole, 1, string(first)+string(again(most)))}, ends: true},
		"two blocks of as many as may be":    {frames: []string{frameOf(http2.Headers, whole, 1, string(again(most))), frameOf(http2.Headers, whole, 3, string(again(most)))}},
		"too many in pieces":                 {frames: []string{frameOf(http2.Headers, 0, 1, string(again(most))), frameOf(http2.Continuation, http2.EndHeaders, 1, string(again(1)))}, ends: true},
		"as many as may be, in pieces":       {frames: []string{frameOf(http2.Headers, 0, 1, string(again(most-1))), frameOf(http2.Continuation, http2.EndHeaders, 1, string(again(1)))}},
		"padding is no field":                {frames: []string{frameOf(http2.Headers, whole|http2.Padded, 1, "\xc8"+string(again(most))+strings.Repeat("\xbe", 200))}},
		"nor is a priority":                  {frames: []string{frameOf(http2.Headers, whole|withPriority, 1, "\xbe\xbe\xbe\xbe\xbe"+string(again(most)))}},
		"padding, priority and one too many": {frames: []string{frameOf(http2.Headers, whole|withPriority|http2.Padded, 1, "\x02\xbe\xbe\xbe\xbe\xbe"+string(again(most+1))+"\xbe\xbe")}, ends: true},
		"changes of the table's size":        {frames: []string{frameOf(http2.Headers, whole, 1, strings.Repeat("\x3f\xe1\x1f", most+1))}, ends: true},
		"empty names and values":             {frames: []string{frameOf(http2.Headers, whole, 1, strings.Repeat("\x00\x00\x00", most+1))}, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {0}, {8, 255}, {8, 3, 12}} {
				want := http2.None
				if test.ends {
					want = http2.HeaderBlock
				}
				if got := endsFor(sizes, test.frames...); got != want {
					t.Errorf("in pieces of %v: the connection ended for %v, want %v", sizes, got, want)
				}
			}
		})
	}
}

// FuzzFieldsAreCounted compares the Meter with the decoder of golang.org/x/net. In a block that the decoder accepts,
// the Meter finds as many fields, however the block is cut into pieces. Table size updates may be added to them,
// because the decoder does not report those.
func FuzzFieldsAreCounted(f *testing.F) {
	f.Add(blockOf(f, ":method", "GET", ":path", "/", "cookie", strings.Repeat("b", 300), "x", ""), []byte{0})
	f.Add(append([]byte{0x3f, 0xe1, 0x1f}, again(100)...), []byte{4})
	f.Add([]byte{0xff, 0x80, 0x80, 0x80, 0x00, 0x0f, 0x2f, 0x7f, 0x80, 0x00}, []byte{1})
	f.Fuzz(func(t *testing.T, block, sizes []byte) {
		const most = 1 << 11 * http2.MaxFields
		count, changes := 0, slices.ContainsFunc(block, func(b byte) bool { return b&0xe0 == 0x20 })
		decoder := hpack.NewDecoder(4096, func(hpack.HeaderField) { count++ })
		if _, err := decoder.Write(block); err != nil || decoder.Close() != nil || len(block) > most {
			return
		}
		for extra := range 2 {
			all := append(bytes.Clone(block), bytes.Repeat([]byte{0x82}, most-count+extra)...)
			half := len(all) / 2
			frames := frameOf(http2.Headers, 0, 1, string(all[:half])) + frameOf(http2.Continuation, http2.EndHeaders, 1, string(all[half:]))
			m := http2.NewMeter(&pieces{left: []byte(http2.Preface + frames), sizes: sizes}, &http2.Options{HeadBytes: 1 << 20, HeadFields: most / http2.MaxFields}, false, never)
			_, _ = io.Copy(io.Discard, m) // Reason says how it ended
			if ended := m.Reason() == http2.HeaderBlock; ended != (extra > 0) && (!changes || !ended) {
				t.Fatalf("%d fields behind %x by %v, ended: %v", most+extra, block, sizes, ended)
			}
		}
	})
}
