package sign

import (
	"bytes"
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
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
)

// signer is a Config ready to run.
type signer struct {
	config      *Config
	host        string // the host to send, "" for that of the request
	service     string
	region      string
	signer      *aws.Signer
	credentials *aws.Credentials
	room        *room.Room
	log         *slog.Logger
}

// roomWait is how long a request waits for room for its body.
const roomWait = 5 * time.Second

func (s *signer) adapt(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		s.aim(r)
		held := s.room.Part(exchange.Of(r).Client.Subscriber(), r.Host)
		defer held.Shrink(0) // the body has been sent when the head of the response arrives
		digest, err := s.read(r, &held)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		return s.send(next, r, digest)
	})
}

// aim sets the host of r to the one that is signed.
func (s *signer) aim(r *http.Request) {
	if s.host != "" {
		r.Host = s.host
	}
}

// rehearse applies to r the changes that need no credentials.
func (s *signer) rehearse(r *http.Request) (adds []string, err error) {
	s.aim(r)
	aws.Spell(r)
	return []string{"a signature for " + s.service + " in " + s.region}, nil
}

// send signs and sends. If AWS does not accept the credentials, it sends once more with others.
func (s *signer) send(next http.RoundTripper, r *http.Request, digest string) (*http.Response, error) {
	for first := true; ; first = false {
		used, err := s.credentials.Get(r.Context())
		if err != nil {
			closeBody(r)
			return nil, cloud.Unproved(r.Context(), err) //nolint:wrapcheck // it says what is wrong
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

// refused holds for the statuses with which AWS refuses the identity that signed.
func refused(status int) bool {
	return status == http.StatusForbidden || status == http.StatusUnauthorized || status == http.StatusBadRequest
}

// again prepares r to be sent with other credentials, if there are any.
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

// mostTold is how much of AWS's own message is shown to operators.
const mostTold = 1 << 10

// told is the error if AWS does not accept the gateway, which is not the client's fault.
func (s *signer) told(res *http.Response, name string) error {
	said, _ := io.ReadAll(io.LimitReader(res.Body, mostTold))
	_ = res.Body.Close() // as much as needed was read
	return fault.FunctionRefused.New("", fault.Internal("AWS, for %s in %s, answers %d %s: %s", s.service, s.region, res.StatusCode, name, said))
}

// read reads the body, because its hash is signed, and takes room for it. If the service accepts unsigned bodies, it
// leaves the body alone.
func (s *signer) read(r *http.Request, held *room.Part) (digest string, err error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return aws.Digest(nil), nil
	case aws.TakesUnsigned(s.service):
		return aws.Unsigned, nil
	}
	source := r.Body
	defer func() { _ = source.Close() }() // it was read, or the error that matters is another
	body, err := held.Read(r.Context(), source, r.ContentLength, int64(s.config.Body), roomWait)
	_, isFault := errors.AsType[*fault.Fault](err)
	switch {
	case err == nil:
	case errors.Is(err, room.ErrTooLong):
		return "", s.tooLarge()
	case errors.Is(err, room.ErrFull):
		return "", fault.Overloaded.New("", fault.RetryAfter(time.Second), fault.Internal("bodies of other signed requests hold all the room that there is for them, and held it for %v", roomWait))
	case isFault || r.Context().Err() != nil:
		return "", err // the proxy's own error, or the client is gone
	default:
		return "", fault.MalformedRequest.New("The request's body could not be read.", fault.Cause(err))
	}
	held.Shrink(int64(cap(body)))
	r.ContentLength = int64(len(body))
	exchange.AnnounceTrailers(r, nil) // a body of known length has none
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody() // never fails
	return aws.Digest(body), nil
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
		_ = r.Body.Close() // it was read, or is not needed
	}
}
