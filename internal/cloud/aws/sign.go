package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
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
	return &Signer{service: service, signer: v4.NewSigner(), now: time.Now}
}

// Sign adds the fields of a signature to r (Signature Version 4, in the Authorization
// field). All that r has is signed, but for what AWS leaves out; so it must be as it is
// sent, its Host too. body is the whole body.
func (s *Signer) Sign(ctx context.Context, r *http.Request, body []byte, who sdk.Credentials, region string) error {
	exchange.Plain(r) // the SDK looks into the maps
	digest := sha256.Sum256(body)
	if err := s.signer.SignHTTP(ctx, who, r, hex.EncodeToString(digest[:]), s.service, region, s.now()); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}
