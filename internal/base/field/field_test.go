package field_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/field"
)

// What judges eight bytes at once says the same as a look at each of them, wherever a byte stands.
func TestWordsAreJudgedAsTheirBytes(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				b := bytes.Repeat([]byte("x"), n)
				b[at] = byte(c)
				if got, want := field.IsValue(b), eachMayStand(b); got != want {
					t.Errorf("%q: may stand: %t, want %t", b, got, want)
				}
				if got, want := field.IsWord(b), eachMayStand(b) && !bytes.ContainsAny(b, " \t"); got != want {
					t.Errorf("%q: is one word: %t, want %t", b, got, want)
				}
			}
		}
	}
}

func eachMayStand(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// FuzzValues has every byte of a word differ.
func FuzzValues(f *testing.F) {
	f.Add([]byte("text/html; charset=utf-8"))
	f.Add([]byte("a\x00-Z9\x7f\xff\t "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := field.IsValue(b), eachMayStand(b); got != want {
			t.Errorf("%q: may stand: %t, want %t", b, got, want)
		}
		if got, want := field.IsWord(b), eachMayStand(b) && !bytes.ContainsAny(b, " \t"); got != want {
			t.Errorf("%q: is one word: %t, want %t", b, got, want)
		}
	})
}

func TestNamesAreKnownHoweverTheyAreSpelled(t *testing.T) {
	for name, want := range map[string]field.Known{
		"host": field.Host, "Host": field.Host, "HOST": field.Host, "te": field.TE, "Via": field.Via, "Content-Length": field.ContentLength,
		"x-forwarded-for": field.XForwardedFor, "X-Forwarded": field.XForwarded, "X-Forwarded-Client-Cert": field.XForwardedFamily,
		"x-envoy-original-path": field.XEnvoyFamily, "X-Forwarded-" + strings.Repeat("a", 100): field.XForwardedFamily,
		"Proxy-Authentication-Info": field.ProxyAuthenticationInfo, "X-HTTP-Method-Override": field.XHTTPMethodOverride,
		"": field.Other, "Accept": field.Other, "Hosts": field.Other, "X-Forwarde": field.Other, "Viable": field.Other, "x": field.Other,
		"Proxy-Authentication-Info" + strings.Repeat("-", 30): field.Other,
	} {
		if got := field.Know(name); got != want || field.Know([]byte(name)) != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
		folded := strings.NewReplacer("-", "_").Replace(name)
		if folded == name {
			continue
		}
		if got := field.Know(folded); got.Name() != want || got.IsAlias() != (want != field.Other) {
			t.Errorf("%q is %d, an alias: %t; want %d", folded, got.Name(), got.IsAlias(), want)
		}
	}
}

func TestASetHasWhatWasAdded(t *testing.T) {
	var s field.Set
	s.Add(field.Know("X_Real_Ip"))
	s.Add(field.Know("Accept"))
	s.Add(field.XEnvoyFamily)
	if !s.Has(field.XRealIP) || !s.Has(field.Other) || !s.Has(field.XEnvoyFamily) || s.Has(field.Host) {
		t.Errorf("%b", s)
	}
}

// Whatever a line is made of is what it is read as, and it is sent as it is only where that says the same.
func FuzzLines(f *testing.F) {
	f.Add("Accept", "*/*")
	f.Add("X-Long-"+strings.Repeat("n", 300), strings.Repeat("v", 70000))
	f.Add("a b", "c")
	f.Add("A", " c ")
	f.Add("A", "b\r\nX: y")
	f.Add("Content_Length", "1")
	f.Fuzz(func(t *testing.T, name, value string) {
		line, again := field.Make(name, value), field.Named(name).Line(value)
		if line != again {
			t.Fatalf("it is %q, and %q of a name that was made ready", line, again)
		}
		if made := field.AppendAny([]byte("x"), name, value); string(made[1:]) != string(line) || len(line) != field.Size(name, value) {
			t.Fatalf("%q, and appended %q, of %d bytes", line, made, field.Size(name, value))
		}
		if name == "" {
			if line != "" {
				t.Fatalf("without a name: %q", line)
			}
			return
		}
		if line.Name() != name || line.Value() != value || line.Known() != field.Know(name) || !line.Is(name) || !line.Is(strings.ToUpper(name)) && isASCII(name) {
			t.Fatalf("%q: %q is read as %q, %d, of %q", name, value, line.Value(), line.Known(), line.Name())
		}
		if !line.Says(name, value) || field.Named(name).Line(value) != line || line.Says(name, value+"x") || line.Says(name+"x", value) {
			t.Fatalf("%q does not say what it says", line)
		}
		wire, ok := line.Wire()
		if ok != (field.IsName(name) && field.IsValue([]byte(value)) && strings.Trim(value, " \t") == value) {
			t.Fatalf("%q may be sent: %t", line, ok)
		}
		if n, begins := line.Begins([]byte(wire + "more")); n != len(wire) || !begins {
			t.Fatalf("%q is not what %q begins with", line, wire)
		}
		if _, begins := line.Begins([]byte(wire[:len(wire)-1])); begins {
			t.Fatalf("%q is what a part of it begins with", line)
		}
		if ok {
			if made := field.Line(field.Append(nil, field.Know(name), []byte(name), []byte(value))); made != line {
				t.Fatalf("%q, and appended %q", line, made)
			}
		}
	})
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

func TestNoLineIsNothing(t *testing.T) {
	var none field.Line
	if none.Is("") || none.Is("A") || none.Says("", "") {
		t.Error("it is something")
	}
	if _, begins := none.Begins([]byte("A: b\r\n")); begins {
		t.Error("something begins with it")
	}
}
