package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// The protocol (github.com/grpc/grpc/blob/master/doc/health-checking.md).
const (
	checkMethod = "/grpc.health.v1.Health/Check"
	// The only field: of the request the name of a service, of the response a ServingStatus.
	theField = 1
	serving  = 1
	// mostMessage bounds how much is read of an answer, which has two bytes.
	mostMessage = 1 << 10
	framePrefix = 5 // a flag and a length (gRPC over HTTP/2, Length-Prefixed-Message)
	statusOK    = 0
	// unimplemented is what servers answer that do not know the health service; they serve, because they answer.
	unimplemented = 12
)

// servingNames are the names of ServingStatus.
func servingNames() []string {
	return []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
}

func askGRPC(ctx context.Context, t Target, c *Check, by Caller) error {
	req, err := newRequest(ctx, http.MethodPost, t, c, checkMethod)
	if err != nil {
		return err
	}
	question := frame(c.Service)
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(question)), int64(len(question))
	head := exchange.RequestHead(req)
	head.Set("Content-Type", "application/grpc")
	head.Set("TE", "trailers")
	res, err := by.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return judged(res)
}

// judged reads the answer to its end, because the gRPC status may follow it in trailers.
func judged(res *http.Response) error {
	message, err := io.ReadAll(io.LimitReader(res.Body, mostMessage))
	if err != nil {
		return err
	}
	switch code := statusOf(res); {
	case code == unimplemented:
		return nil
	case code != statusOK:
		return fmt.Errorf("gRPC status %d", code)
	}
	status, err := parseAnswer(message)
	if err != nil {
		return err
	}
	if status != serving {
		if names := servingNames(); status < uint64(len(names)) {
			return errors.New(names[status])
		}
		return fmt.Errorf("serving status %d", status)
	}
	return nil
}

// statusOf returns the gRPC status, from the trailers or from the head of a response without content; -1 if there is
// none.
func statusOf(res *http.Response) int {
	for _, head := range []exchange.Head{exchange.ResponseTrailer(res), exchange.ResponseHead(res)} {
		if code, err := strconv.Atoi(head.Get("Grpc-Status")); err == nil {
			return code
		}
	}
	return -1
}

// frame builds the message HealthCheckRequest.
func frame(service string) []byte {
	b := make([]byte, framePrefix)
	if service != "" {
		b = protowire.AppendTag(b, theField, protowire.BytesType)
		b = protowire.AppendString(b, service)
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-framePrefix))
	return b
}

var errAnswer = errors.New("the answer is no HealthCheckResponse")

// parseAnswer reads a HealthCheckResponse from its frame. A missing field means UNKNOWN, as in proto3; of several
// fields the last counts.
func parseAnswer(b []byte) (status uint64, err error) {
	if len(b) < framePrefix || b[0] != 0 || int64(binary.BigEndian.Uint32(b[1:])) != int64(len(b)-framePrefix) {
		return 0, errAnswer
	}
	for b = b[framePrefix:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, errAnswer
		}
		b = b[n:]
		if number == theField && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, errAnswer
		}
		b = b[n:]
	}
	return status, nil
}
