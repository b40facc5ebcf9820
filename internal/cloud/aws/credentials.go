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

// Caller is in whose name AWS is called: what the standard chain finds, and a role on
// top of it. Callers that are equal share their credentials.
type Caller struct {
	Profile    string // of the shared config, "" for that of the environment
	Region     string // whose token service is asked
	Role       string // ARN of a role to assume, "" for none
	ExternalID string // that the role's owner asks for
	Session    string // the name under which the role is assumed
}

// CallerOf is whoever has a profile, or the role that is assumed on top of it, nil for none.
func CallerOf(profile, region string, role *Role) Caller {
	who := Caller{Profile: profile, Region: region}
	if role != nil {
		who.Role, who.ExternalID, who.Session = role.ARN, role.ExternalID, role.Session
	}
	return who
}

// DefaultSession is what AWS's logs call this program where nothing else is said.
const DefaultSession = "weir"

// Credentials are those of a caller, kept.
type Credentials = cloud.Kept[sdk.Credentials]

// Callers keeps credentials for all who call in the same names. It is safe for
// concurrent use.
type Callers struct {
	client sdk.HTTPClient
	kept   cloud.Shared[Caller, *Credentials]
}

// fetchTimeout bounds a fetch, which may need several calls to issuers of credentials.
const (
	fetchTimeout = 20 * time.Second
	callTimeout  = 5 * time.Second
)

// NewCallers makes one that keeps nothing yet.
func NewCallers() *Callers {
	client := awshttp.NewBuildableClient().WithTimeout(callTimeout).WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true // the next call is an hour away
		t.Proxy = unfollowed(t.Proxy)
		t.ForceAttemptHTTP2 = false // a connection of HTTP/2 that is there would not ask Proxy
	})
	return &Callers{client: client}
}

// redirected is why no request is sent to where an issuer leads.
type redirected struct{}

func (redirected) Error() string {
	return "it answers with a redirect, which is not followed with credentials"
}

// RetryableError tells the SDK that it would be answered so again.
func (redirected) RetryableError() bool { return false }

// unfollowed refuses requests that follow from a redirect. The SDK follows some, and wants a
// client of its own kind, whose transport alone is ours: it is asked for a proxy before each
// request.
func unfollowed(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if r.Response != nil {
			return nil, redirected{}
		}
		return proxy(r)
	}
}

// Use gives the credentials of a caller, which are kept until Leave was called as often.
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

// Leave tells that one user less has need of them.
func (c *Callers) Leave(who Caller) { c.kept.Leave(who) }

// fetcher goes through the chain anew each time, for profiles and tokens in files change.
func (c *Callers) fetcher(who Caller) cloud.Fetch[sdk.Credentials] {
	return func(ctx context.Context) (sdk.Credentials, time.Time, error) {
		options := []func(*config.LoadOptions) error{
			config.WithRegion(who.Region), config.WithHTTPClient(c.client),
			// Agents of containers are the one source that the SDK asks by another client.
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

// bearable says what of credentials keeps requests from bearing them.
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
