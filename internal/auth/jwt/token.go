package jwt

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The bounds of a token. They are checked before any of it is read.
const (
	longestToken = 16 << 10
	deepestToken = 16 // levels of its JSON
)

// token is a JWT in the compact form (RFC 7519 section 3, RFC 7515 section 7.1), parsed but not verified yet.
type token struct {
	header

	head      string // the header as it came
	signed    []byte // header and payload as they came
	signature []byte
	claims    jsonx.Value
	registered
}

// registered holds claims of RFC 7519 section 4.1, found in one pass. Missing ones are zero Values.
type registered struct{ iss, sub, aud, exp, nbf, iat jsonx.Value }

func registeredIn(claims jsonx.Value) (r registered) {
	for name, value := range claims.Members() {
		switch name {
		case "iss":
			r.iss = value
		case "sub":
			r.sub = value
		case "aud":
			r.aud = value
		case "exp":
			r.exp = value
		case "nbf":
			r.nbf = value
		case "iat":
			r.iat = value
		}
	}
	return r
}

// header holds the members of a token's header that affect how the token is checked.
type header struct {
	algorithm algorithm
	kid       string
	typ       string // in lower case, without "application/" (RFC 7515 section 4.1.9); "" for none
}

var errNotCompact = errors.New("it is no JWT of three parts")

// roomFor is how many bytes reading a token takes: its own bytes and those of its decoded parts.
const roomFor = 2 * longestToken

// parse reads a token strictly: a text that two readers could read differently is not a token. headerOf reads its
// header as readHeader does. raw holds the bytes of text, and the decoded parts are written after them, so the token is
// invalid once raw is reused. raw should have a capacity of roomFor bytes.
func parse(raw []byte, text string, headerOf func(string) (header, error)) (token, error) {
	t, payload, err := open(raw, text, headerOf)
	if err != nil {
		return t, err
	}
	if t.claims, err = object(payload); err != nil {
		return t, fmt.Errorf("its claims: %w", err)
	}
	t.registered = registeredIn(t.claims)
	return t, nil
}

// open splits a token into its parts and reads its header (RFC 7515 section 5.2). The payload is decoded but not
// parsed.
func open(raw []byte, text string, headerOf func(string) (header, error)) (t token, payload []byte, err error) {
	if len(text) > longestToken {
		return t, nil, fmt.Errorf("it has %d bytes; %d are read", len(text), longestToken)
	}
	head, rest, ok := strings.Cut(text, ".")
	claims, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || head == "" || claims == "" || strings.Contains(signature, ".") {
		return t, nil, errNotCompact
	}
	if signature == "" {
		return t, nil, errors.New("it has no signature")
	}
	t.signed = raw[:len(head)+1+len(claims)]
	room := raw
	if t.signature, room, err = decode(room, raw[len(t.signed)+1:]); err != nil {
		return t, nil, fmt.Errorf("its signature: %w", err)
	}
	if t.header, err = headerOf(head); err != nil {
		return t, nil, fmt.Errorf("its header: %w", err)
	}
	t.head = head
	if payload, _, err = decode(room, t.signed[len(head)+1:]); err != nil {
		return t, nil, fmt.Errorf("its claims: %w", err)
	}
	return t, payload, nil
}

// spelling is base64url without padding, strict, so that each text has only one encoding (RFC 7515 section 2).
var spelling = base64.RawURLEncoding.Strict()

// decode decodes a part of a token and appends it to room. It returns the decoded part, and room with it.
func decode(room, part []byte) (decoded, with []byte, err error) {
	if bytes.IndexByte(part, '\n') >= 0 || bytes.IndexByte(part, '\r') >= 0 { // which package base64 skips, Strict or not
		return nil, nil, errors.New("it has a line break")
	}
	with, err = spelling.AppendDecode(room, part)
	if err != nil {
		return nil, nil, err
	}
	return with[len(room):], with, nil
}

func object(text []byte) (jsonx.Value, error) {
	v, err := jsonx.Parse(text, jsonx.Options{MaxBytes: longestToken, MaxDepth: deepestToken, Unique: true})
	if err == nil && v.Kind() != jsonx.Object {
		err = fmt.Errorf("it is %s, not an object", v.Kind())
	}
	return v, err
}

// readHeader reads from an encoded header the members that matter. Keys and addresses of keys in it (jwk, jku, x5u,
// x5c) are ignored: keys come from the config alone.
func readHeader(text string) (h header, err error) {
	raw, _, err := decode(nil, []byte(text))
	if err != nil {
		return h, err
	}
	members, err := object(raw)
	if err != nil {
		return h, err
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := members.Get(name); there {
			return h, fmt.Errorf("it has %s, which nothing here understands", name)
		}
	}
	var alg string
	for name, into := range map[string]*string{"alg": &alg, "kid": &h.kid, "typ": &h.typ} {
		value, there := members.Get(name)
		if !there {
			continue
		}
		if value.Kind() != jsonx.String {
			return h, fmt.Errorf("its %s is no text", name)
		}
		*into = value.Text()
	}
	h.typ = typeOf(h.typ)
	var ok bool
	if h.algorithm, ok = algorithmOf(alg); !ok {
		return h, fmt.Errorf("its alg is %s, which is not taken", shorten(alg))
	}
	return h, nil
}

// typeOf returns the type of a token in the form in which it is compared.
func typeOf(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }

// The bounds of the headers that are remembered. An issuer uses few: one for each of its keys.
const (
	mostHeaders   = 64
	longestHeader = 512 // encoded
)

// headers caches the parsed headers of accepted tokens by their encoded bytes, because an issuer writes the same few
// headers into all of its tokens. A header that a stranger wrote never gets in. It is safe for concurrent use.
type headers struct{ *auth.Memory[string, header] }

func newHeaders() headers { return headers{auth.NewMemory[string, header](mostHeaders)} }

// read is readHeader with the cache in front of it.
func (m headers) read(text string) (header, error) {
	if len(text) <= longestHeader {
		if h, ok := m.Get(text); ok {
			return h, nil
		}
	}
	return readHeader(text)
}

// keep remembers the header of a token that was accepted.
func (m headers) keep(t *token) {
	if len(t.head) > longestHeader {
		return
	}
	if _, ok := m.Get(t.head); !ok {
		m.Put(strings.Clone(t.head), t.header) // a clone, because t.head would keep the request's longer text alive
	}
}

// shorten quotes what a stranger wrote, for a log.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
