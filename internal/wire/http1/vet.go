package http1

import "net/http"

// Vet applies the rules of a Sieve to a request that came over HTTP/2 or HTTP/3, as far as those protocols have not
// applied them: method, target, host, names, length and expectation. It removes the fields that a Sieve removes.
func Vet(r *http.Request, limits Limits) Reason {
	if reason := vetTarget(r, limits); reason != OK {
		return reason
	}
	if reason := vetHost(r); reason != OK {
		return reason
	}
	fields := 0
	for name, values := range r.Header {
		if fields += len(values); fields > limits.HeadFields {
			return TooManyFields
		}
		if IsAlias(name) {
			return AliasFieldName
		}
	}
	if reason := vetLength(r); reason != OK {
		return reason
	}
	for _, value := range r.Header["Expect"] {
		if !equalFold([]byte(value), "100-continue") {
			return BadExpectation
		}
	}
	delete(r.Header, "Proxy")
	delete(r.Header, "Http2-Settings")
	return OK
}

func vetTarget(r *http.Request, limits Limits) Reason {
	target := []byte(r.RequestURI)
	switch {
	case !isToken([]byte(r.Method)):
		return BadMethod
	case r.Method == http.MethodConnect:
		return ConnectMethod
	case len(target) > limits.TargetBytes:
		return TargetTooLong
	case r.RequestURI == "*" && r.Method == http.MethodOptions:
		return OK
	case len(target) == 0 || target[0] != '/':
		return TargetForm // RFC 9113 section 8.3.1: :path is never in another form
	case r.Method == http.MethodTrace && r.ContentLength != 0:
		return TraceContent
	default:
		return checkPath(target)
	}
}

func vetHost(r *http.Request) Reason {
	if r.Host == "" {
		return NoHost
	}
	if !validHost([]byte(r.Host)) {
		return BadHost
	}
	for _, host := range r.Header["Host"] { // in addition to :authority
		if !equalFoldBytes([]byte(host), []byte(r.Host)) {
			return HostMismatch
		}
	}
	delete(r.Header, "Host")
	return OK
}

// vetLength also refuses a length on a request that ended with its head (RFC 9113
// section 8.1.1): net/http notices only content that is too short or too long.
func vetLength(r *http.Request) Reason {
	var h Head
	for _, value := range r.Header["Content-Length"] {
		if reason := h.contentLength([]byte(value)); reason != OK {
			return reason
		}
	}
	if h.lengths > 1 {
		return RepeatedLength
	}
	if h.Length > 0 && r.ContentLength == 0 {
		return LengthMismatch
	}
	return OK
}
