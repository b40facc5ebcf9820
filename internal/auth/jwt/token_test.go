package jwt

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jws"
)

// TestHeadersAreRememberedOfAcceptedTokensAlone holds that nobody but the issuer decides what is in memory.
func TestHeadersAreRememberedOfAcceptedTokensAlone(t *testing.T) {
	v := &verifier{
		policy:  policy{way: "customer", issuer: issuer, audience: []string{"shop"}, types: usualTypes(), allowed: publicAlgorithms(), subject: "sub"},
		headers: newHeaders(), fixed: &known{},
	}
	var err error
	if v.fixed.set, err = parseText(string(allIssued()), publicAlgorithms()); err != nil {
		t.Fatal(err)
	}
	verify := func(text string) error {
		_, err := v.verify(t.Context(), []byte(text), text, time.Now(), v.fixed, nil)
		return err
	}
	right := good("p256", "ES256")
	head, rest, _ := strings.Cut(right, ".")
	for name, text := range map[string]string{
		"a stranger's": sealed([]byte(`{"alg":"ES256","kid":"p256","typ":"JWT"}`), claims(), by("ES256", stranger()["p256"])),
		"an expired":   good("p256", "ES256", "exp", 1),
		"a broken":     head + ".e30" + rest,
	} {
		if err := verify(text); err == nil {
			t.Errorf("%s token passes", name)
		}
		if n := v.headers.Len(); n != 0 {
			t.Errorf("%s token's header is remembered", name)
		}
	}
	for range 2 {
		if err := verify(right); err != nil {
			t.Fatal(err)
		}
	}
	long := sealed(encode(map[string]any{"alg": "ES256", "kid": "p256", "x": strings.Repeat("x", longestHeader)}), claims(), by("ES256", issued()["p256"].Private))
	if err := verify(long); err != nil {
		t.Fatal(err)
	}
	if n := v.headers.Len(); n != 1 {
		t.Errorf("%d headers are remembered; one was short enough", n)
	}
	// What is known of a header is known of its very bytes.
	for _, other := range []string{head[:len(head)-1], head + "A", "eyJhbGciOiJub25lIn0", strings.ToLower(head)} {
		if _, err := v.headers.read(other); err == nil {
			t.Errorf("%q is taken for the header %q", other, head)
		}
	}
}

// TestManyHeadersAreNotRemembered holds the bound against an issuer that writes something else into each.
func TestManyHeadersAreNotRemembered(t *testing.T) {
	m := newHeaders()
	for n := range 10 * mostHeaders {
		text := b64(encode(map[string]any{"alg": "ES256", "n": n}))
		h, err := m.read(text)
		if err != nil {
			t.Fatal(err)
		}
		m.keep(&token{header: h, head: text})
	}
	if n := m.Len(); n > mostHeaders {
		t.Errorf("%d are remembered", n)
	}
}

// FuzzToken compares with jwx: what is taken for a token here is one there, and says the same. And
// what is remembered of its header is what its header says.
func FuzzToken(f *testing.F) {
	for name, alg := range map[string]string{"rsa": "RS256", "p256": "ES256", "ed": "EdDSA"} {
		f.Add(good(name, alg))
	}
	for _, parts := range [][2]string{
		{`{"alg":"none"}`, `{}`}, {`{"alg":"RS256","kid":"\u0061","typ":"application/AT+JWT"}`, `{"exp":1e9,"aud":["a","\ud83d\ude00"]}`},
		{`{"alg":"ES256","alg":"HS256"}`, `{}`}, {`{"alg":"ES256","jwk":{"kty":"oct"},"x5c":["AA=="]}`, `{"n":9007199254740993,"m":{"a":[null]}}`},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`}, {` {"typ":"", "alg" : "PS512" } `, ` {"a":1}`}, {`{"alg":"RS256","kid":null}`, `{"a":1,"\u0061":2}`},
	} {
		f.Add(b64([]byte(parts[0])) + "." + b64([]byte(parts[1])) + ".AA")
	}
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := parse([]byte(text), text, readHeader)
		if err != nil {
			return
		}
		if strings.ContainsAny(text, "=+/ \r\n") || strings.Count(text, ".") != 2 || len(text) > longestToken || string(tok.signed)+"."+b64(tok.signature) != text {
			t.Fatalf("%q is taken for a token", text)
		}
		if _, ok := algorithmOf(tok.algorithm.name); !ok {
			t.Fatalf("the algorithm is %q", tok.algorithm.name)
		}
		memory := newHeaders()
		memory.keep(&tok)
		if again, err := parse(append(make([]byte, 0, roomFor), text...), text, memory.read); err != nil || again.header != tok.header || again.claims.Raw() != tok.claims.Raw() {
			t.Fatalf("from memory: %+v, %v", again, err)
		}
		agrees(t, text, &tok)
	})
}

// agrees holds what was read against what jwx reads.
func agrees(t *testing.T, text string, tok *token) {
	t.Helper()
	message, err := jws.ParseString(text, jws.WithCompact())
	if err != nil {
		if strings.Contains(err.Error(), "failed to parse JWK") || strings.Contains(err.Error(), "failed to decode") {
			return // it reads keys in headers, which are none of our matter
		}
		t.Fatalf("jwx refuses %q: %v", text, err)
	}
	head := message.Signatures()[0].ProtectedHeaders()
	alg, _ := head.Algorithm()
	kid, _ := head.KeyID()
	typ, _ := head.Type()
	if alg.String() != tok.algorithm.name || kid != tok.kid || typeOf(typ) != tok.typ || !bytes.Equal(message.Signatures()[0].Signature(), tok.signature) {
		t.Fatalf("jwx reads %q as %s, %q, %q; here it is %+v", text, alg, kid, typ, tok.header)
	}
	var theirs, ours any
	for _, c := range []struct {
		text string
		into *any
	}{{string(message.Payload()), &theirs}, {tok.claims.Raw(), &ours}} {
		decoder := json.NewDecoder(strings.NewReader(c.text))
		decoder.UseNumber()
		if err := decoder.Decode(c.into); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(theirs, ours) {
		t.Fatalf("jwx reads the claims %s; here they are %s", message.Payload(), tok.claims.Raw())
	}
}
