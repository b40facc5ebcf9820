package jwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The bounds of a token, held before anything of it is read.
const (
	longestToken = 16 << 10
	deepestToken = 16 // levels of its JSON
)

// token is a JWT in the compact form (RFC 7519 section 3, RFC 7515 section 7.1), taken
// apart and not believed yet.
type token struct {
	signed    []byte // header and payload as they came
	signature []byte
	algorithm algorithm
	kid       string
	typ       string
	claims    jsonx.Value
}

var errNotCompact = errors.New("it is no JWT of three parts")

// parse reads a token strictly: what two readers could read differently is no token.
func parse(text string) (token, error) {
	t, payload, err := open(text)
	if err != nil {
		return t, err
	}
	if t.claims, err = object(payload); err != nil {
		return t, fmt.Errorf("its claims: %w", err)
	}
	return t, nil
}

// open takes a token apart and reads its header (RFC 7515 section 5.2).
func open(text string) (t token, payload string, err error) {
	if len(text) > longestToken {
		return t, "", fmt.Errorf("it has %d bytes; %d are read", len(text), longestToken)
	}
	head, rest, ok := strings.Cut(text, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || head == "" || payload == "" || strings.Contains(signature, ".") {
		return t, "", errNotCompact
	}
	if signature == "" {
		return t, "", errors.New("it has no signature")
	}
	if t.signature, err = decode(signature); err != nil {
		return t, "", fmt.Errorf("its signature: %w", err)
	}
	t.signed = []byte(text[:len(head)+1+len(payload)])
	header, err := object(head)
	if err != nil {
		return t, "", fmt.Errorf("its header: %w", err)
	}
	err = t.readHeader(header)
	return t, payload, err
}

// decode is base64url without padding, in the one spelling that each text has (RFC 7515
// section 2).
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") { // which package base64 skips, Strict or not
		return nil, errors.New("it has a line break")
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

func object(part string) (jsonx.Value, error) {
	raw, err := decode(part)
	if err != nil {
		return jsonx.Value{}, err
	}
	v, err := jsonx.Parse(raw, jsonx.Options{MaxBytes: longestToken, MaxDepth: deepestToken, Unique: true})
	if err == nil && v.Kind() != jsonx.Object {
		err = fmt.Errorf("it is %s, not an object", v.Kind())
	}
	return v, err
}

// readHeader takes what decides from the header. Keys and addresses of keys in it (jwk, jku,
// x5u, x5c) are not looked at: keys come from the config alone.
func (t *token) readHeader(header jsonx.Value) error {
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := header.Get(name); there {
			return fmt.Errorf("its header has %s, which nothing here understands", name)
		}
	}
	var alg string
	for name, into := range map[string]*string{"alg": &alg, "kid": &t.kid, "typ": &t.typ} {
		value, there := header.Get(name)
		if !there {
			continue
		}
		if value.Kind() != jsonx.String {
			return fmt.Errorf("%s in its header is no text", name)
		}
		*into = value.Text()
	}
	var ok bool
	if t.algorithm, ok = algorithmOf(alg); !ok {
		return fmt.Errorf("its algorithm is %s, which is not taken", shorten(alg))
	}
	return nil
}

// shorten quotes what a stranger wrote, for a log.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
