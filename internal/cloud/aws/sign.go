package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Signer signs requests to one service. It is safe for concurrent use, and caches the key that it derives for a day.
type Signer struct {
	service string
	signer  *v4.Signer
	now     func() time.Time
}

// NewSigner makes a Signer for "lambda", "execute-api" and so on.
func NewSigner(service string) *Signer {
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	return &Signer{service: service, signer: signer, now: time.Now}
}

// Unsigned stands for the hash of a body that is not signed. Few services accept it.
const Unsigned = "UNSIGNED-PAYLOAD"

// TakesUnsigned reports whether a service accepts requests whose body is not signed: S3 and VPC Lattice do. Function
// URLs and API Gateway do not.
func TakesUnsigned(service string) bool { return service == "s3" || service == "vpc-lattice-svcs" }

// fieldPrefix is the prefix of header fields that must be signed.
const fieldPrefix = "x-amz-"

// own are the header fields of a signature. Those that a client has sent are removed.
var own = []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}

// SignHead adds the header fields of a signature to r. It signs the method, path, query, host and the header fields
// that AWS requires; all others may still be changed. digest is the SHA-256 of the body in hex, or Unsigned.
func (s *Signer) SignHead(ctx context.Context, r *http.Request, digest string, who sdk.Credentials, region string) error {
	head := exchange.RequestHead(r)
	for _, name := range own {
		head.Del(name)
	}
	head.Set("X-Amz-Content-Sha256", digest)
	Spell(r)
	target := *r.URL
	shadow := &http.Request{Method: r.Method, URL: &target, Host: r.Host}
	signed := exchange.RequestHead(shadow)
	for name, value := range head.All() {
		if len(name) > len(fieldPrefix) && strings.EqualFold(name[:len(fieldPrefix)], fieldPrefix) {
			signed.Add(name, value)
		}
	}
	if err := s.signer.SignHTTP(ctx, who, shadow, digest, s.service, region, s.now()); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	for _, name := range own {
		if value := signed.Get(name); value != "" {
			head.Set(name, value)
		}
	}
	return nil
}

// Spell writes r's query in a form that every reader decodes in the same way.
func Spell(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%20") }

// RefusesCredentials reports whether an AWS error says that credentials are not valid, and that others may be.
func RefusesCredentials(name string) bool {
	switch name {
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException":
		return true
	default:
		return false
	}
}

// RefusesCaller reports whether an AWS error says that the signer is not allowed to do this.
func RefusesCaller(name string) bool {
	switch name {
	case "AccessDeniedException", "IncompleteSignatureException", "MissingAuthenticationTokenException", "MissingAuthenticationToken":
		return true
	default:
		return RefusesCredentials(name)
	}
}

// Digest returns the hash of a body in the form that signatures use.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Sign adds the header fields of a signature to r (Signature Version 4, in the Authorization header). It signs
// everything in r except what AWS leaves out, so r must already be as it is sent, including its Host. body is the whole
// body.
func (s *Signer) Sign(ctx context.Context, r *http.Request, body []byte, who sdk.Credentials, region string) error {
	exchange.Plain(r) // the SDK reads the maps directly
	if err := s.signer.SignHTTP(ctx, who, r, Digest(body), s.service, region, s.now()); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}
