package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 asks for it; nothing is kept secret by it
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Protocol is the name of the protocol in the Upgrade header.
const Protocol = "websocket"

// magic is appended to a client's key (RFC 6455 section 1.3).
const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// keyBytes is the length of a decoded key.
const keyBytes = 16

// Version is the version of the protocol, as written in Sec-WebSocket-Version.
const Version = "13"

// ErrVersion is the error of Asked for a client that speaks another version. The response must tell that client our
// version (RFC 6455 section 4.4).
var ErrVersion = errors.New("the version of WebSocket is " + Version)

// Asked returns the key of a request that asks for a WebSocket (RFC 6455 section 4.2.1). The caller has already checked
// the Upgrade header.
func Asked(r *http.Request) (key string, err error) {
	head := exchange.RequestHead(r)
	keys, versions := head.Values("Sec-Websocket-Key"), head.Values("Sec-Websocket-Version")
	switch {
	case r.Method != http.MethodGet:
		return "", errors.New("a WebSocket is asked for by GET")
	case !r.ProtoAtLeast(1, 1):
		return "", errors.New("a WebSocket is asked for by HTTP/1.1")
	case len(versions) != 1 || versions[0] != Version:
		return "", ErrVersion
	case len(keys) != 1:
		return "", errors.New("a WebSocket has one key")
	}
	if raw, err := base64.StdEncoding.DecodeString(keys[0]); err != nil || len(raw) != keyBytes {
		return "", errors.New("the WebSocket key is not sixteen bytes in base64")
	}
	return keys[0], nil
}

// Accept returns the answer to a key (Sec-WebSocket-Accept).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + magic)) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Offers reports whether the client has offered a subprotocol.
func Offers(r *http.Request, subprotocol string) bool {
	for _, field := range exchange.RequestHead(r).Values("Sec-Websocket-Protocol") {
		for offered := range strings.SplitSeq(field, ",") {
			if strings.TrimSpace(offered) == subprotocol {
				return true
			}
		}
	}
	return false
}
