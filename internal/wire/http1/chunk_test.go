package http1_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

func TestChunkRules(t *testing.T) {
	const ok = http1.OK
	for _, test := range []struct {
		text  string
		valid int // bytes before the fault or the end; -1: all
		want  http1.Reason
	}{
		{"0\r\n", -1, ok},
		{"000\r\n", -1, ok},
		{"3\r\nabc\r\n0\r\n", -1, ok},
		{"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n", -1, ok},
		{"3\r\nab", -1, ok}, // not complete yet
		{"0\r\n\r\nGET", 3, ok},
		{"3;a;b=c;d=\"e \\\" f\"\r\nabc\r\n0;x\r\n", -1, ok},

		{"\r\n", 0, http1.BadChunkSize},
		{"g\r\n", 0, http1.BadChunkSize},
		{"0x3\r\n", 1, http1.BadChunkSize},
		{" 3\r\n", 0, http1.BadChunkSize},
		{"3 \r\n", 1, http1.BadChunkSize},
		{"-3\r\n", 0, http1.BadChunkSize},
		{"1_0\r\n", 1, http1.BadChunkSize},
		{"3\n", 1, http1.BadChunkSize},
		{"1234567890abcdef\r\n", 15, http1.BadChunkSize},
		{"3\r3", 2, http1.BareCR},
		{"3\r\nabcd\r\n", 6, http1.BadChunkEnd},
		{"3\r\nabc\n", 6, http1.BadChunkEnd},
		{"3\r\nabc\rx", 7, http1.BadChunkEnd},
		{"3;\r\n", 2, http1.BadChunkExtension},
		{"3;a=\r\n", 4, http1.BadChunkExtension},
		{"3; a\r\n", 2, http1.BadChunkExtension},
		{"3;a b\r\n", 3, http1.BadChunkExtension},
		{"3;a\n", 3, http1.BadChunkExtension},
		{"3;a=\"\r\n", 5, http1.BadChunkExtension},
		{"3;a=\"b\"c\r\n", 7, http1.BadChunkExtension},
		{"3;" + strings.Repeat("a", 300), 2 + 256, http1.BadChunkExtension},
		{strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100), 81*207 + 2 + 16384 - 81*201, http1.BadChunkExtension},
		{strings.Repeat("1;a\r\nx\r\n", 5000) + "0\r\n", -1, ok},
	} {
		for _, step := range []int{len(test.text), 1} {
			var chunks http1.Chunks
			valid, reason := scanBy(&chunks, test.text, step)
			want := test.valid
			if want < 0 {
				want = len(test.text)
			}
			if valid != want || reason != test.want {
				t.Errorf("%q by %d: %d valid, %q; want %d, %q", test.text, step, valid, reason, want, test.want)
			}
		}
	}
}

func scanBy(chunks *http1.Chunks, text string, step int) (valid int, reason http1.Reason) {
	for len(text) > 0 && !chunks.Done() {
		n, reason := chunks.Scan([]byte(text[:min(step, len(text))]))
		valid += n
		if reason != http1.OK {
			return valid, reason
		}
		text = text[n:]
	}
	return valid, http1.OK
}

// TestPiecesAreTheData checks that Next advances as far as Scan and returns the data in between.
func TestPiecesAreTheData(t *testing.T) {
	for text, want := range map[string]string{
		"0\r\n": "", "3\r\nabc\r\n0\r\n": "abc", "3\r\nabc\r\n2;a=b\r\nde\r\n0\r\n\r\nGET": "abcde",
		"3\r\nab": "ab", "1\r\nab": "a", "x": "",
	} {
		for _, step := range []int{len(text), 1} {
			var chunks, same http1.Chunks
			valid, reason := scanBy(&same, text, step)
			var got []byte
			rest, stopped := text, http1.OK
			for len(rest) > 0 && !chunks.Done() && stopped == http1.OK {
				piece, n, why := chunks.Next([]byte(rest[:min(step, len(rest))]))
				got, rest, stopped = append(got, piece...), rest[n:], why
			}
			if string(got) != want || len(text)-len(rest) != valid || stopped != reason || chunks != same {
				t.Errorf("%q by %d: got %q and %d bytes, %q; want %q, and %d, %q as by Scan", text, step, got, len(text)-len(rest), stopped, want, valid, reason)
			}
		}
	}
}

func BenchmarkScanChunks(b *testing.B) {
	body := bytes.Repeat([]byte("400\r\n"+strings.Repeat("x", 1024)+"\r\n"), 16)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var chunks http1.Chunks
		if n, reason := chunks.Scan(body); n != len(body) || reason != http1.OK {
			b.Fatal("refused")
		}
	}
}
