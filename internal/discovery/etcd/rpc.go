package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The methods that are called.
const (
	methodRange        = "/etcdserverpb.KV/Range"
	methodWatch        = "/etcdserverpb.Watch/Watch"
	methodAuthenticate = "/etcdserverpb.Auth/Authenticate"
)

// The gRPC status codes that are used here.
const (
	codePermissionDenied = 7
	codeInternal         = 13
	codeUnauthenticated  = 16
)

// statusError is the status of a failed gRPC call.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return "gRPC status " + strconv.Itoa(e.code)
	}
	return e.message
}

// largestMessage limits a message: about 300,000 instances of one service.
const largestMessage = 64 << 20

// frame returns a message as gRPC sends it: uncompressed, preceded by its length.
func frame(message []byte) []byte {
	b := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// readFrame reads one message.
func readFrame(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err //nolint:wrapcheck // io.EOF is the end of the messages
	}
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return nil, errMessage // compression was not negotiated
	case size > largestMessage:
		return nil, fmt.Errorf("it sent a message of %d bytes, and %d are read", size, largestMessage)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, noEOF(err)
	}
	return message, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// start sends a request with the messages of body, and returns the response once its head has arrived. The token is
// that of authenticate, "" if there is none.
func start(ctx context.Context, via *transport.Transport, server, method, token string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Scheme: "http", Host: server, Path: method}).String(), body)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names what it was
	}
	fields := []exchange.Field{
		{Name: "Content-Type", Value: "application/grpc"}, {Name: "Te", Value: "trailers"}, {Name: "User-Agent", Value: "weir"},
		// A member that has lost the majority ends the call instead of staying silent (clientv3.WithRequireLeader).
		{Name: "Hasleader", Value: "true"},
	}
	if token != "" {
		fields = append(fields, exchange.Field{Name: "Token", Value: token})
	}
	exchange.SetFields(exchange.RequestHead(req), fields...)
	res, err := via.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the server
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close() // nobody reads it
		return nil, fmt.Errorf("the answer is %d, and no gRPC", res.StatusCode)
	}
	if err := statusOf(exchange.ResponseHead(res)); err != nil { // a call that fails at once has only this
		_ = res.Body.Close() // it is empty
		return nil, err
	}
	return res, nil
}

// statusOf reads the status of a call; nil if it succeeded or there is no status.
func statusOf(head exchange.Head) error {
	text := head.Get("Grpc-Status")
	if text == "" || text == "0" {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		code = codeInternal
	}
	message := head.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &statusError{code, discovery.Line(message)}
}

// unary calls a method that answers with one message.
func unary(ctx context.Context, via *transport.Transport, server, method, token string, message []byte) ([]byte, error) {
	res, err := start(ctx, via, server, method, token, bytes.NewReader(frame(message)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read to its end
	answer, err := readFrame(res.Body)
	if err == nil || errors.Is(err, io.EOF) {
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1)) // the trailers come after it
		if failed := statusOf(exchange.ResponseTrailer(res)); failed != nil {
			return nil, failed
		}
	}
	return answer, noEOF(err)
}
