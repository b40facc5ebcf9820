package sign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
)

// signer is a Config ready to run.
type signer struct {
	config      *Config
	host        string // that is sent, "" for that of the request
	service     string
	region      string
	signer      *aws.Signer
	credentials *aws.Credentials
	room        *cloud.Room
	log         *slog.Logger
}

// roomWait is how long a request waits for room for its body.
const roomWait = 5 * time.Second

func (s *signer) adapt(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if s.host != "" {
			r.Host = s.host
		}
		held, digest, err := s.read(r)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		defer s.room.Give(held) // the body is sent when the head of its answer is there
		return s.send(next, r, digest)
	})
}

// send signs and sends, once more with other credentials where AWS does not accept those.
func (s *signer) send(next http.RoundTripper, r *http.Request, digest string) (*http.Response, error) {
	for first := true; ; first = false {
		used, err := s.credentials.Get(r.Context())
		if err != nil {
			closeBody(r)
			return nil, noCredentials(r.Context(), err)
		}
		if err := s.signer.SignHead(r.Context(), r, digest, used.Value, s.region); err != nil {
			closeBody(r)
			return nil, fault.Unexpected.New("", fault.Cause(err))
		}
		res, err := next.RoundTrip(r)
		if err != nil {
			return nil, err //nolint:wrapcheck // the backend's own
		}
		name, _, _ := strings.Cut(exchange.ResponseHead(res).Get("X-Amzn-Errortype"), ":")
		if !refused(res.StatusCode) || !aws.RefusesCaller(name) {
			return res, nil
		}
		told := s.told(res, name)
		if !first || !aws.RefusesCredentials(name) || !s.again(r, used) {
			return nil, told
		}
	}
}

// refused are the statuses with which AWS turns away who has signed.
func refused(status int) bool {
	return status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusBadRequest
}

// again makes r ready to be sent with other credentials, where there are some.
func (s *signer) again(r *http.Request, used cloud.Held[sdk.Credentials]) bool {
	if !s.credentials.Refused(r.Context(), used) {
		return false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	r.Body = body
	return err == nil
}

// mostTold is how much of AWS's own words is told to operators.
const mostTold = 1 << 10

// told is what is said where AWS does not accept the gateway, which is no mistake of the client's.
func (s *signer) told(res *http.Response, name string) error {
	said, _ := io.ReadAll(io.LimitReader(res.Body, mostTold))
	_ = res.Body.Close() // it was read as far as it matters
	return fault.FunctionRefused.New("", fault.Internal("AWS, for %s in %s, answers %d %s: %s", s.service, s.region, res.StatusCode, name, said))
}

// noCredentials tells that there are none.
func noCredentials(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fault.CredentialsMissing.New("", fault.RetryAfter(time.Second), fault.Cause(err))
}

// read reads the body, whose hash is signed, and gives how many bytes of room it holds. What
// the service takes unsigned passes by.
func (s *signer) read(r *http.Request) (held int64, digest string, err error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return 0, aws.Digest(nil), nil
	case aws.TakesUnsigned(s.service):
		return 0, aws.Unsigned, nil
	case r.ContentLength > int64(s.config.Body):
		return 0, "", s.tooLarge()
	}
	held = int64(s.config.Body)
	if r.ContentLength >= 0 {
		held = r.ContentLength
	}
	if err := s.take(r.Context(), held); err != nil {
		return 0, "", err
	}
	body, err := s.whole(r)
	if err != nil {
		s.room.Give(held)
		return 0, "", err
	}
	if extra := held - int64(len(body)); extra > 0 {
		s.room.Give(extra)
	}
	r.ContentLength = int64(len(body))
	exchange.AnnounceTrailers(r, nil) // a body of known length has none
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody() // never fails
	return int64(len(body)), aws.Digest(body), nil
}

// take waits for room.
func (s *signer) take(ctx context.Context, bytes int64) error {
	full := fault.Overloaded.New("", fault.RetryAfter(time.Second), fault.Internal("bodies of other signed requests hold all the room that there is for them, and held it for %v", roomWait))
	ctx, cancel := context.WithTimeoutCause(ctx, roomWait, full)
	defer cancel()
	return s.room.Take(ctx, bytes) //nolint:wrapcheck // a fault or the cause of the context's end
}

// whole reads and closes the request's body.
func (s *signer) whole(r *http.Request) ([]byte, error) {
	defer closeBody(r)
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, int64(s.config.Body)+1))
	}
	if _, isFault := errors.AsType[*fault.Fault](err); isFault || err != nil && r.Context().Err() != nil {
		return nil, err //nolint:wrapcheck // the proxy's own, or the client's end
	}
	if err != nil {
		return nil, fault.MalformedRequest.New("The request's body could not be read.", fault.Cause(err))
	}
	if int64(len(body)) > int64(s.config.Body) {
		return nil, s.tooLarge()
	}
	return body, nil
}

func (s *signer) tooLarge() error {
	return fault.FunctionTooLarge.New(fmt.Sprintf("This backend takes bodies of at most %d bytes.", s.config.Body))
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeBody closes the body of a request that goes no further.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // it was read, or is not to be
	}
}
