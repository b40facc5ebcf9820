package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/weir-gateway/weir/internal/cloud"
)

// Caller is the identity in which AWS is called: what the standard chain finds, and possibly a role on top of it. Equal
// callers share their credentials.
type Caller struct {
	Profile    string // of the shared config; "" for that of the environment
	Region     string // the region whose token service is asked
	Role       string // ARN of a role to assume; "" for none
	ExternalID string // required by the role's owner
	Session    string // the session name of the assumed role
}

// CallerOf returns the caller with a profile and, unless role is nil, the role that is assumed on top of it.
func CallerOf(profile, region string, role *Role) Caller {
	who := Caller{Profile: profile, Region: region}
	if role != nil {
		who.Role, who.ExternalID, who.Session = role.ARN, role.ExternalID, role.Session
	}
	return who
}

// DefaultSession is the name of this program in AWS's logs unless the config gives another one.
const DefaultSession = "weir"

// Credentials are the kept credentials of a caller.
type Credentials = cloud.Kept[sdk.Credentials]

// Callers keeps credentials, one for all users of an equal Caller. It is safe for concurrent use.
type Callers struct {
	client sdk.HTTPClient
	kept   cloud.Shared[Caller, *Credentials]
}

// fetchTimeout bounds a fetch, which may need several calls to issuers of credentials.
const (
	fetchTimeout = 20 * time.Second
	callTimeout  = 5 * time.Second
)

// NewCallers returns a Callers that keeps nothing yet.
func NewCallers() *Callers {
	client := awshttp.NewBuildableClient().WithTimeout(callTimeout).WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true // the next call is an hour away
		t.Proxy = unfollowed(t.Proxy)
		t.ForceAttemptHTTP2 = false // an existing HTTP/2 connection would be used without asking Proxy
	})
	return &Callers{client: client}
}

// redirected is the error for a request that an issuer redirects.
type redirected struct{}

func (redirected) Error() string {
	return "it answers with a redirect, which is not followed with credentials"
}

// RetryableError tells the SDK that a retry would get the same answer.
func (redirected) RetryableError() bool { return false }

// unfollowed refuses requests that follow from a redirect. The SDK follows some redirects and wants a client of its own
// type, of which only the transport can be changed. The transport calls its proxy function before each request, so that
// function is where they are refused.
func unfollowed(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if r.Response != nil {
			return nil, redirected{}
		}
		return proxy(r)
	}
}

// Use returns the credentials of a caller. They are kept until Leave was called as often as Use.
func (c *Callers) Use(who Caller, log *slog.Logger) *Credentials {
	return c.kept.Use(who, func() (*Credentials, func()) {
		name := "credentials of aws"
		if who.Role != "" {
			name += " as " + who.Role
		}
		kept := cloud.Keep(c.fetcher(who), cloud.KeptOptions{Name: name, Log: log, Timeout: fetchTimeout})
		return kept, kept.Close
	})
}

// Leave says that one user no longer needs them.
func (c *Callers) Leave(who Caller) { c.kept.Leave(who) }

// fetcher goes through the whole chain each time, because profiles and tokens in files change.
func (c *Callers) fetcher(who Caller) cloud.Fetch[sdk.Credentials] {
	return func(ctx context.Context) (sdk.Credentials, time.Time, error) {
		options := []func(*config.LoadOptions) error{
			config.WithRegion(who.Region), config.WithHTTPClient(c.client),
			// The agents of containers are the only source that the SDK asks with another client.
			config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = c.client }),
		}
		if who.Profile != "" {
			options = append(options, config.WithSharedConfigProfile(who.Profile))
		}
		found, err := config.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return sdk.Credentials{}, time.Time{}, fmt.Errorf("the config of AWS's tools: %w", err)
		}
		provider := found.Credentials
		if who.Role != "" {
			provider = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(found), who.Role, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = who.Session
				if who.ExternalID != "" {
					o.ExternalID = &who.ExternalID
				}
			})
		}
		if provider == nil {
			return sdk.Credentials{}, time.Time{}, errors.New("there are no credentials")
		}
		got, err := provider.Retrieve(ctx)
		if err != nil {
			return sdk.Credentials{}, time.Time{}, fmt.Errorf("the chain of credentials: %w", err)
		}
		if err := bearable(got); err != nil {
			return sdk.Credentials{}, time.Time{}, err
		}
		if !got.CanExpire {
			return got, time.Time{}, nil
		}
		return got, got.Expires, nil
	}
}

// bearable says why requests cannot carry the credentials.
func bearable(c sdk.Credentials) error {
	if err := cloud.CheckToken(c.AccessKeyID); err != nil {
		return fmt.Errorf("the id of the access key, of %s: %w", c.Source, err)
	}
	if c.SessionToken == "" {
		return nil
	}
	if err := cloud.CheckToken(c.SessionToken); err != nil {
		return fmt.Errorf("the session token, of %s: %w", c.Source, err)
	}
	return nil
}
