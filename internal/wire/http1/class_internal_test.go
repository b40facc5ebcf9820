package http1

import (
	"bytes"
	"testing"
)

// What judges eight bytes at once says the same as a look at each of them, wherever a byte stands.
func TestWordsAreJudgedAsTheirBytes(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				b := bytes.Repeat([]byte("x"), n)
				b[at] = byte(c)
				if got, want := mayStand(b), all(b, fieldByte); got != want {
					t.Errorf("%q: may stand: %t, want %t", b, got, want)
				}
			}
		}
	}
}

// FuzzWords has every byte of a word differ.
func FuzzWords(f *testing.F) {
	f.Add([]byte("text/html; charset=utf-8"))
	f.Add([]byte("a\x00-Z9\x7f\xff\t "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := mayStand(b), all(b, fieldByte); got != want {
			t.Errorf("%q: may stand: %t, want %t", b, got, want)
		}
	})
}
