package aws

import (
	"context"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
)

// Fetch goes through the chain once.
func (c *Callers) Fetch(ctx context.Context, who Caller) (sdk.Credentials, time.Time, error) {
	return c.fetcher(who)(ctx)
}
