// Package sigv4 checks requests that are signed as AWS specifies (Signature Version 4, AWS4-HMAC-SHA256), in the
// Authorization header field or, presigned, in the query.
//
// A check has two halves, so that no body is read from a client that is refused anyway: Verifier.Open reads the
// signature and checks everything that needs no body, and Claim.Confirm compares the signature once the body's digest
// is known. Any deviation is refused. Errors have the codes and texts of AWS, by which its SDKs decide whether to try
// again.
//
//   - sigv4.go: the check.
//   - read.go: where a signature is and what it consists of.
//   - canonical.go: what is signed.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
)

// Request is what a signature covers, as it arrived.
type Request struct {
	Method string
	Path   string // still percent-encoded, as the client wrote it
	Query  string // without '?', as the client wrote it
	Host   string // the authority, port included
	Head   exchange.Head
	Length int64 // of the body, -1 if unknown
}

// Key is what one caller signs with.
type Key struct {
	ID     string
	Secret secret.Value
	// Token is what must accompany the signature of a temporary key. If it is empty, no token may be sent.
	Token secret.Value
}

// Verifier checks signatures for one service. It is immutable and safe for
// concurrent use.
type Verifier struct {
	service string
	region  string
	keys    map[string]*holder
	now     func() time.Time
}

// holder is a key with the signing key last derived from it, because a client uses the same one for a day.
type holder struct {
	Key

	made atomic.Pointer[derived]
}

// derived is the key that is used for signatures of one day, region and service.
type derived struct {
	scope string
	key   []byte
}

// New makes a Verifier. region is the only one that signatures may be for, "" for any: the client chooses the region,
// and nothing here is stored by region.
func New(service, region string, keys []Key) *Verifier {
	v := &Verifier{service: service, region: region, keys: make(map[string]*holder, len(keys)), now: time.Now}
	for _, k := range keys {
		v.keys[k.ID] = &holder{Key: k}
	}
	return v
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// skew is the tolerated difference between clocks.
	skew = 5 * time.Minute
	// longestPresigned is the longest lifetime of a presigned request: AWS's limit of a week.
	longestPresigned = 7 * 24 * time.Hour
	// timeForm is the basic format of ISO 8601, in which signatures are dated.
	timeForm = "20060102T150405Z"
)

// The codes of Error, which AWS's SDKs know.
const (
	MissingToken     = "MissingAuthenticationTokenException"
	Incomplete       = "IncompleteSignatureException"
	UnknownKey       = "UnrecognizedClientException"
	InvalidSignature = "InvalidSignatureException"
	ExpiredToken     = "ExpiredTokenException"
)

// Error is the reason why a request is refused.
type Error struct {
	Code    string // one of the codes above
	Message string // for the client
	// Detail is for operators: the text that was signed, as Weir computes it. It holds no secret.
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Message + ": " + e.Detail
}

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Claim is a signature that is valid, except for what depends on the body.
type Claim struct {
	KeyID string

	request  Request
	s        *signature
	key      *holder
	declared string // the body's digest as the client declared it, "" if it did not
}

// Open reads the signature of r and checks everything that needs no body: the key, the time and the scope. It also
// checks the signature itself if the client has declared the body's digest, as all AWS SDKs do except the SDK for Go.
// The error is an *Error. r.Head must not change until Confirm.
func (v *Verifier) Open(r Request) (*Claim, error) {
	s, err := read(r)
	if err != nil {
		return nil, err
	}
	if err := v.inScope(s); err != nil {
		return nil, err
	}
	if err := v.inTime(s); err != nil {
		return nil, err
	}
	if err := s.covers(r); err != nil {
		return nil, err
	}
	declared, err := declaredDigest(r)
	if err != nil {
		return nil, err
	}
	key, known := v.keys[s.keyID]
	if !known || !sameText(key.Token.Reveal(), s.token) {
		return nil, refuse(UnknownKey, "The security token included in the request is invalid.")
	}
	c := &Claim{KeyID: key.ID, request: r, s: s, key: key, declared: declared}
	if declared != "" { // so that knowing a key's id is not enough to have a body read
		if err := c.hold(declared); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Confirm checks that the body with this SHA-256 is the one that was signed. The error is an *Error.
func (c *Claim) Confirm(body [sha256.Size]byte) error {
	digest := hex.EncodeToString(body[:])
	switch {
	case c.declared == "":
		return c.hold(digest)
	case !sameText(c.declared, digest):
		return refuse(InvalidSignature, "The value of x-amz-content-sha256 is not the digest of the body that arrived.")
	}
	return nil
}

// hold compares the signature with the one computed for a body of that digest.
func (c *Claim) hold(digest string) error {
	canonical := c.s.canonical(c.request, digest)
	signed := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithm, c.s.date, c.s.scope(), hex.EncodeToString(signed[:])}, "\n")
	want := mac(c.key.signingKey(c.s), text)
	if subtle.ConstantTimeCompare(want, c.s.value) != 1 {
		e := refuse(InvalidSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
		e.Detail = fmt.Sprintf("canonical string %q, string to sign %q", c.s.withoutToken(canonical), text)
		return e
	}
	return nil
}

// withoutToken removes the token of a temporary key from a text for operators.
func (s *signature) withoutToken(text string) string {
	if s.token == "" {
		return text
	}
	return strings.NewReplacer(s.token, "(token)", encode(s.token, 0), "(token)").Replace(text)
}

// inScope checks what a signature is for.
func (v *Verifier) inScope(s *signature) error {
	switch {
	case s.day != s.date[:len(s.day)]:
		return refuse(InvalidSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			s.day, s.date[:len(s.day)], s.date)
	case v.region != "" && s.region != v.region:
		return refuse(InvalidSignature, "Credential should be scoped to a valid region, not '%s'.", s.region)
	case s.service != v.service:
		return refuse(InvalidSignature, "Credential should be scoped to correct service: '%s'.", v.service)
	}
	return nil
}

// inTime checks when a signature is valid.
func (v *Verifier) inTime(s *signature) error {
	now := v.now().UTC()
	form := func(t time.Time) string { return t.UTC().Format(timeForm) }
	if s.time.After(now.Add(skew)) {
		return refuse(InvalidSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)", s.date, form(now.Add(skew)), form(now))
	}
	if s.expires > 0 {
		if end := s.time.Add(s.expires); now.After(end) {
			return refuse(InvalidSignature, "Signature expired: %s is now earlier than %s (it was presigned for %s)", form(end), form(now), s.expires)
		}
		return nil
	}
	if s.time.Before(now.Add(-skew)) {
		return refuse(InvalidSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)", s.date, form(now.Add(-skew)), form(now))
	}
	return nil
}

// amzPrefix is the prefix of the header fields that tell AWS what to do.
const amzPrefix = "x-amz-"

// covers checks that the host is signed, and every header field that a service acts on: anyone could have added one
// that is not signed.
func (s *signature) covers(r Request) error {
	if !slices.Contains(s.headers, "host") {
		return refuse(InvalidSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for _, name := range r.Head.Names() {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, amzPrefix) && !slices.Contains(s.headers, name) {
			return refuse(InvalidSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	for _, name := range s.headers {
		if _, there := field(r, name); !there {
			return refuse(InvalidSignature, "The signed header '%s' is missing in the request.", name)
		}
	}
	return nil
}

// declaredDigest returns the digest of the body that the client declares, "" if it declares none. Unsigned bodies are
// refused, because anyone could replace them, and so are bodies signed in chunks, which are for S3.
func declaredDigest(r Request) (string, error) {
	switch values := r.Head.Values("X-Amz-Content-Sha256"); {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", refuse(InvalidSignature, "There is more than one x-amz-content-sha256.")
	case values[0] == "UNSIGNED-PAYLOAD":
		return "", refuse(InvalidSignature, "UNSIGNED-PAYLOAD is not accepted: sign the body, whose SHA-256 x-amz-content-sha256 tells.")
	case strings.HasPrefix(values[0], "STREAMING-"):
		return "", refuse(InvalidSignature, "Bodies that are signed in chunks (%.64s) are not accepted: sign the body as a whole.", values[0])
	default:
		return values[0], nil
	}
}

// sameText compares two texts by their digests, so that the time it takes reveals neither content nor length.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// signingKey returns the key that s is made with if it is valid.
func (h *holder) signingKey(s *signature) []byte {
	scope := s.scope()
	if made := h.made.Load(); made != nil && made.scope == scope {
		return made.key
	}
	made := &derived{scope, s.signingKey(h.Secret.Reveal())}
	h.made.Store(made)
	return made.key
}

func (s *signature) signingKey(secret string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.day, s.region, s.service, terminator} {
		key = mac(key, part)
	}
	return key
}
