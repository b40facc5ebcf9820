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

// Signer signs requests to one service. It is safe for concurrent use, and keeps the key
// that it derives for a day.
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

// Unsigned stands for the hash of a body that is not signed, which few services take.
const Unsigned = "UNSIGNED-PAYLOAD"

// TakesUnsigned tells whether a service takes requests whose body is not signed: S3 and VPC
// Lattice do. Function URLs and API Gateway do not.
func TakesUnsigned(service string) bool { return service == "s3" || service == "vpc-lattice-svcs" }

// fieldPrefix is that of fields that must be signed.
const fieldPrefix = "x-amz-"

// own are the fields of a signature, and what a client may have sent of its own.
var own = []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}

// SignHead adds the fields of a signature to r, of which it signs method, path, query, host
// and the fields that AWS asks for; all others may still be changed. digest is the SHA-256 of
// the body in hex, or Unsigned.
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

// Spell writes r's query in the one form that all read in the same way.
func Spell(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%20") }

// RefusesCredentials tells whether an error of AWS's says that credentials do not count, where
// others may.
func RefusesCredentials(name string) bool {
	switch name {
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException":
		return true
	default:
		return false
	}
}

// RefusesCaller tells whether an error of AWS's says that whoever has signed may not.
func RefusesCaller(name string) bool {
	switch name {
	case "AccessDeniedException", "IncompleteSignatureException", "MissingAuthenticationTokenException", "MissingAuthenticationToken":
		return true
	default:
		return RefusesCredentials(name)
	}
}

// Digest is the hash of a body as signatures have it.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Sign adds the fields of a signature to r (Signature Version 4, in the Authorization
// field). All that r has is signed, but for what AWS leaves out; so it must be as it is
// sent, its Host too. body is the whole body.
func (s *Signer) Sign(ctx context.Context, r *http.Request, body []byte, who sdk.Credentials, region string) error {
	exchange.Plain(r) // the SDK looks into the maps
	if err := s.signer.SignHTTP(ctx, who, r, Digest(body), s.service, region, s.now()); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}
