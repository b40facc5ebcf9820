package httpx

import (
	"iter"
	"strings"
	"testing"
)

// texts yields all texts of at most most of those pieces.
func texts(most int, pieces ...string) iter.Seq[string] {
	var more func(so string, left int, yield func(string) bool) bool
	more = func(so string, left int, yield func(string) bool) bool {
		if !yield(so) {
			return false
		}
		for _, piece := range pieces {
			if left > 0 && !more(so+piece, left-1, yield) {
				return false
			}
		}
		return true
	}
	return func(yield func(string) bool) { more("", most, yield) }
}

// What is judged at a glance is what a closer look comes to.
func TestUsualHostsAreJudgedAsAllAre(t *testing.T) {
	long := strings.Repeat("a", maxLabel)
	usual := 0
	for authority := range texts(5, "a", "B", "-", ".", ":", "8", "66000", "[::1]", "é", long) {
		got, err := NormalizeHost(authority)
		want, closer := normalizeHost(authority)
		if got != want || (err == nil) != (closer == nil) {
			t.Fatalf("%q is %q, %v; by a closer look %q, %v", authority, got, err, want, closer)
		}
		if _, ok := usualName(authority); ok {
			usual++
		}
	}
	if usual < 1000 {
		t.Errorf("%d are usual", usual)
	}
	for _, name := range []string{"shop.dev", "shop.dev:8080", "127.0.0.1:80", "a", strings.Repeat(long+".", 3) + strings.Repeat("a", maxName-3*maxLabel-3)} {
		if _, ok := usualName(name); !ok {
			t.Errorf("%q is not seen to be usual", name)
		}
	}
}

func TestUsualPathsAreJudgedAsAllAre(t *testing.T) {
	usual := 0
	for target := range texts(6, "/", "a", ".", "..", ";", "%2f", "%61", "?", "|", "\\") {
		raw, wantQuery, _ := strings.Cut(target, "?")
		path, query, err := NormalizeTarget(target)
		want, closer := normalizePath(raw)
		if path != want || query != wantQuery || (err == nil) != (closer == nil) {
			t.Fatalf("%q is %+v, %q, %v; by a closer look %+v, %v", target, path, query, err, want, closer)
		}
		if path, err := NormalizePath(raw); path != want || (err == nil) != (closer == nil) {
			t.Fatalf("%q is %+v, %v; by a closer look %+v, %v", raw, path, err, want, closer)
		}
		if end := normalUntil(target); end > 0 && (end == len(target) || target[end] == '?') {
			usual++
		}
	}
	if usual < 1000 {
		t.Errorf("%d are usual", usual)
	}
	for _, target := range []string{"/", "/orders/7", "/orders/?a=/./b", "/a.b/c..d"} {
		if end := normalUntil(target); end != len(target) && target[end] != '?' {
			t.Errorf("%q is not seen to be usual", target)
		}
	}
}
