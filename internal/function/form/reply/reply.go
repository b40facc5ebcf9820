// Package reply builds responses from function output that is not HTTP: JSON, or the output of a program. In every form
// it rejects and omits the same things.
package reply

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// New returns the response to r with that status and no body yet.
func New(r *http.Request, status int) (*http.Response, error) {
	if status < 200 || status > 599 {
		return nil, fmt.Errorf("the answer's status is %d, not from 200 to 599", status)
	}
	return exchange.NewResponse(r, status), nil
}

// Check reports whether a header field is valid in a response, and whether it is the function's to set. Fields that
// frame the message or control the connection are the gateway's own and are omitted.
func Check(name, value string) (ours bool, err error) {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return false, fmt.Errorf("the answer's header %q is not valid", name)
	}
	switch strings.ToLower(name) {
	case "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade":
		return false, nil
	}
	return true, nil
}

// Bodyless reports whether responses with that status never have a body (RFC 9110 section 6.4.1).
func Bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// SetBody sets the whole body of res, or no body if its status allows none.
func SetBody(res *http.Response, body []byte) {
	if Bodyless(res.StatusCode) {
		res.ContentLength = 0
		return
	}
	res.ContentLength = int64(len(body))
	if len(body) > 0 {
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	exchange.ResponseHead(res).Set("Content-Length", strconv.Itoa(len(body)))
}
