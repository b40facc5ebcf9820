package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// signature is a parsed signature.
type signature struct {
	keyID, day, region, service string
	date                        string // as it is signed
	time                        time.Time
	expires                     time.Duration // of a presigned one; 0: none
	headers                     []string      // signed, in lower case and sorted
	token                       string        // of a temporary key, "" if there is none
	value                       []byte
	presigned                   bool
}

// mostHeaders bounds the number of header fields that a signature names.
const mostHeaders = 100

// read finds the signature of r. It must be in one place only, as otherwise it is unclear which one counts.
func read(r Request) (*signature, error) {
	authorizations := r.Head.Values("Authorization")
	_, inQuery := httpx.QueryLookup(r.Query, "X-Amz-Signature")
	if !inQuery {
		_, inQuery = httpx.QueryLookup(r.Query, "X-Amz-Algorithm")
	}
	switch {
	case len(authorizations) > 1, len(authorizations) == 1 && inQuery:
		return nil, refuse(Incomplete, "The request is signed more than once.")
	case inQuery:
		return readQuery(r)
	case len(authorizations) == 0 || strings.TrimSpace(authorizations[0]) == "":
		return nil, refuse(MissingToken, "Missing Authentication Token")
	}
	return readField(r, authorizations[0])
}

// readField reads
//
//	AWS4-HMAC-SHA256 Credential=ID/DAY/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX
func readField(r Request, field string) (*signature, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(field), " ")
	if kind != algorithm {
		return nil, refuse(Incomplete, "Unsupported AWS 'algorithm': '%.40s'.", kind)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice {
			return nil, refuse(Incomplete, "Authorization header is not a list of key=value pairs, each of them once.")
		}
		parts[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			return nil, refuse(Incomplete, "Authorization header requires '%s' parameter.", name)
		}
	}
	if len(parts) != len([]string{"Credential", "Signature", "SignedHeaders"}) {
		return nil, refuse(Incomplete, "Authorization header has parameters that are not known.")
	}
	s := &signature{}
	if err := s.take(parts["Credential"], parts["SignedHeaders"], parts["Signature"]); err != nil {
		return nil, err
	}
	if err := s.datedByField(r); err != nil {
		return nil, err
	}
	tokens := r.Head.Values("X-Amz-Security-Token")
	switch {
	case len(tokens) > 1:
		return nil, refuse(Incomplete, "There is more than one X-Amz-Security-Token.")
	case len(tokens) == 1:
		s.token = strings.TrimSpace(tokens[0])
	}
	return s, nil
}

// datedByField reads X-Amz-Date, or Date if there is none.
func (s *signature) datedByField(r Request) error {
	dates := r.Head.Values("X-Amz-Date")
	switch len(dates) {
	case 1:
		return s.dated(strings.TrimSpace(dates[0]))
	case 0:
	default:
		return refuse(Incomplete, "There is more than one X-Amz-Date.")
	}
	dates = r.Head.Values("Date")
	if len(dates) != 1 {
		return refuse(Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	t, err := http.ParseTime(strings.TrimSpace(dates[0]))
	if err != nil {
		return s.dated(strings.TrimSpace(dates[0]))
	}
	s.time, s.date = t.UTC(), t.UTC().Format(timeForm)
	return nil
}

// readQuery reads the signature of a presigned request.
func readQuery(r Request) (*signature, error) {
	parts := map[string]string{}
	for _, name := range []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
	} {
		values := slices.Collect(httpx.QueryValues(r.Query, name))
		switch {
		case len(values) > 1:
			return nil, refuse(Incomplete, "The query parameter '%s' stands there more than once.", name)
		case len(values) == 1 && values[0] != "":
			parts[name] = values[0]
		case name != "X-Amz-Security-Token" && name != "X-Amz-Expires":
			return nil, refuse(Incomplete, "AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	if parts["X-Amz-Algorithm"] != algorithm {
		return nil, refuse(Incomplete, "Unsupported AWS 'algorithm': '%.40s'.", parts["X-Amz-Algorithm"])
	}
	if r.Head.Get("X-Amz-Security-Token") != "" || r.Head.Get("X-Amz-Date") != "" {
		return nil, refuse(Incomplete, "The request is signed in its query, and has fields of a signature beside.")
	}
	s := &signature{presigned: true, token: parts["X-Amz-Security-Token"]}
	if err := s.take(parts["X-Amz-Credential"], parts["X-Amz-SignedHeaders"], parts["X-Amz-Signature"]); err != nil {
		return nil, err
	}
	if err := s.dated(parts["X-Amz-Date"]); err != nil {
		return nil, err
	}
	if parts["X-Amz-Expires"] == "" { // it is valid as long as a signature in the head
		return s, nil
	}
	seconds, err := strconv.ParseUint(parts["X-Amz-Expires"], 10, 32)
	s.expires = time.Duration(seconds) * time.Second
	if err != nil || s.expires <= 0 || s.expires > longestPresigned {
		return nil, refuse(Incomplete, "X-Amz-Expires must be a number of seconds from 1 to %d.", int(longestPresigned.Seconds()))
	}
	return s, nil
}

func (s *signature) dated(text string) error {
	t, err := time.Parse(timeForm, text)
	if err != nil || len(text) != len(timeForm) {
		return refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got '%.40s'.", text)
	}
	s.time, s.date = t, text
	return nil
}

func (s *signature) take(credential, headers, value string) error {
	scope := strings.Split(credential, "/")
	const parts = 5 // apart from the key's id, which may contain slashes
	if len(scope) < parts {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	s.keyID, scope = strings.Join(scope[:len(scope)-parts+1], "/"), scope[len(scope)-parts+1:]
	s.day, s.region, s.service = scope[0], scope[1], scope[2]
	const day = len("20060102")
	if s.keyID == "" || len(s.day) != day || s.region == "" {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if scope[3] != terminator {
		return refuse(InvalidSignature, "Credential should be scoped with a valid terminator: '%s', not '%.40s'.", terminator, scope[3])
	}
	s.headers = strings.Split(headers, ";")
	if len(s.headers) > mostHeaders {
		return refuse(Incomplete, "SignedHeaders names more than %d fields.", mostHeaders)
	}
	for i, name := range s.headers {
		if !httpx.IsToken(name) || name != strings.ToLower(name) || i > 0 && s.headers[i-1] >= name {
			return refuse(Incomplete, "SignedHeaders must be names in lower case, in order and each of them once.")
		}
	}
	var err error
	if s.value, err = hex.DecodeString(value); err != nil || len(s.value) != sha256.Size {
		return refuse(InvalidSignature, "The signature must be %d hexadecimal digits.", hex.EncodedLen(sha256.Size))
	}
	return nil
}

// scope is the credential without the key's id.
func (s *signature) scope() string {
	return strings.Join([]string{s.day, s.region, s.service, terminator}, "/")
}
