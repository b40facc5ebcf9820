package coalesce

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// rules are what a response says about who else may have it.
type rules struct {
	none    bool     // no one
	private bool     // only the same caller, if it is known
	vary    []string // only requests with the same values of these fields
}

// endless are types of responses that are read while they are produced, and may never end.
var endless = []string{"text/event-stream", "multipart/x-mixed-replace", "application/grpc"}

// rulesOf reads the rules from a head (RFC 9111 sections 3.5, 4.1 and 5.2.2; RFC 6265 section 3: a cookie is for one
// user agent).
func rulesOf(res *http.Response) rules {
	head := exchange.ResponseHead(res)
	var s rules
	kind, _, _ := mime.ParseMediaType(head.Get("Content-Type"))
	s.none = res.StatusCode < http.StatusOK || len(head.Values("Set-Cookie")) > 0 || exchange.ResponseTrailer(res).Len() > 0 ||
		slices.Contains(endless, kind)
	for _, directive := range list(head.Values("Cache-Control")) {
		name, _, _ := strings.Cut(directive, "=")
		if name = strings.TrimSpace(name); strings.EqualFold(name, "private") || strings.EqualFold(name, "no-store") {
			s.private = true
		}
	}
	s.vary = list(head.Values("Vary"))
	s.none = s.none || slices.Contains(s.vary, "*")
	return s
}

// list returns the members of a list field.
func list(values []string) []string {
	var members []string
	for _, value := range values {
		for member := range strings.SplitSeq(value, ",") {
			if member = strings.TrimSpace(member); member != "" {
				members = append(members, member)
			}
		}
	}
	return members
}

// allow tells whether r, which has the same key as asked, may have the response to asked.
func (s *rules) allow(asked, r *http.Request) bool {
	if s.none {
		return false
	}
	if s.private {
		if one, other := callerOf(asked), callerOf(r); !one.known || one != other {
			return false
		}
	}
	one, other := exchange.RequestHead(asked), exchange.RequestHead(r)
	return !slices.ContainsFunc(s.vary, func(name string) bool { return !slices.Equal(one.Values(name), other.Values(name)) })
}
