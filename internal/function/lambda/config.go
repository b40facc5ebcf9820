package lambda

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

// Config is a function of AWS Lambda.
type Config struct {
	Pos      doc.Pos       `doc:"-,pos"`
	Lambda   Name          `doc:"lambda,required" example:"place-order:live" help:"The function: its name or its ARN, with :ALIAS or :VERSION or without."`
	Region   Region        `doc:"region,omitzero" example:"eu-west-1" help:"Where it is. An ARN says it itself."`
	Regions  []Region      `doc:"regions,omitzero" example:"[eu-west-1, eu-central-1]" help:"Where it is, in the order in which the regions are tried. Another one gets a request when it is sure that the one before did not take it, and one of a safe or idempotent method also when that is not sure."`
	Format   apigw.Format  `doc:"format" example:"v1" help:"What it is given, and answers: v2 (API Gateway's payload format 2.0, which function URLs have too), v1 (1.0, that of REST APIs), alb or alb-multi (a load balancer's, the latter with multi-value headers), raw (the request's body, which is JSON; the answer is the response's body)."`
	Mode     Mode          `doc:"mode" example:"stream" help:"How it is invoked: sync (the whole answer is awaited), stream (the answer is passed on as it comes), async (202 as soon as AWS has taken the event) or dry-run (204 where it may be invoked, which it is not)."`
	Role     *Role         `doc:"role" example:"arn:aws:iam::123456789012:role/gateway" help:"The role in which it is invoked, on top of the credentials that are found. A text is its ARN."`
	Profile  string        `doc:"profile,omitzero" example:"production" help:"The profile of AWS's shared config whose credentials are used, rather than what the environment says."`
	Endpoint Endpoint      `doc:"endpoint,omitzero" example:"https://vpce-1a2b.lambda.{region}.vpce.amazonaws.com" help:"Where the API of Lambda is, rather than AWS's own address in the region."`
	Timeout  time.Duration `doc:"timeout" example:"30s" help:"How long an invocation may take, with its attempts: until the answer is complete, of a stream until its head is there."`
	Log      bool          `doc:"log" example:"false" help:"Whether the end of the function's log is asked for, up to 4 KiB, and put into the gateway's: at debug, or as a warning where the function has failed."`
	Limits   Limits        `doc:"limits" help:"How much of the function is used at once."`
}

// Limits bound how much of a function is used. AWS has bounds of its own.
type Limits struct {
	Concurrency int           `doc:"concurrency,omitzero" example:"50" help:"Requests to this function at once; as many as the account has where nothing is said."`
	Queue       int           `doc:"queue" example:"1000" help:"Requests that may wait for one of these to end; one more is answered with 429."`
	Wait        time.Duration `doc:"wait" example:"5s" help:"How long a request may wait; then it is answered with 503."`
	Request     doc.Size      `doc:"request,omitzero" example:"1MiB" help:"The largest event, counted as it is sent (binary bodies as base64): AWS's own bound where nothing is said, which is 6 MiB, and 1 MiB for async."`
}

// Role is a role to assume.
type Role struct {
	ARN        string `doc:"arn,required" example:"arn:aws:iam::123456789012:role/gateway" help:"Its ARN."`
	ExternalID string `doc:"external_id,omitzero" example:"shop-42" help:"What its owner asks for, so that nobody is led to use it for somebody else."`
	Session    string `doc:"session" example:"weir" help:"What AWS's logs call whoever has assumed it."`
}

// DecodeDoc reads an ARN, or a map.
func (r *Role) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*r = Role{Session: aws.DefaultSession}
	at := n
	if n.Kind == doc.Scalar {
		r.ARN = n.Value
	} else {
		type long Role
		doc.Decode(n, (*long)(r), ps)
		at = n.Get("arn")
	}
	if at != nil && at.Kind == doc.Scalar {
		if err := aws.CheckRole(r.ARN); err != nil {
			ps.Add(doc.Problem{Pos: at.Pos, What: "the role is not understood", Why: err.Error(), Fix: "write its ARN, which its page in the console of IAM shows"})
		}
	}
}

// DocSchema implements doc.SchemaWriter.
func (Role) DocSchema() *doc.Schema {
	type long Role
	return doc.SchemaOr[long](doc.TextSchema("the ARN of the role"))
}

// Name is what a function is called by.
type Name struct{ aws.Target }

// UnmarshalText reads a name or an ARN.
func (n *Name) UnmarshalText(text []byte) error {
	var err error
	n.Target, err = aws.ParseTarget(string(text))
	return err //nolint:wrapcheck // it says what is wrong
}

// MarshalText writes it as it is read.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Region is a region of AWS.
type Region string

// UnmarshalText reads a region's name.
func (r *Region) UnmarshalText(text []byte) error {
	*r = Region(text)
	return aws.CheckRegion(string(text)) //nolint:wrapcheck // it says what is wrong
}

// Mode is how a function is invoked.
type Mode string

// The modes.
const (
	Sync   Mode = "sync"
	Stream Mode = "stream"
	Async  Mode = "async"
	DryRun Mode = "dry-run"
)

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	*m = Mode(text)
	return oneOf("a mode", string(text), []string{string(Sync), string(Stream), string(Async), string(DryRun)})
}

func oneOf(what, text string, known []string) error {
	switch near, ok := doc.Suggest(text, known); {
	case slices.Contains(known, text):
		return nil
	case ok:
		return fmt.Errorf("%q is not %s; did you mean %s?", text, what, near)
	default:
		return fmt.Errorf("%q is not %s; known are %s", text, what, strings.Join(known, ", "))
	}
}

// Endpoint is where the API is, "" for AWS's own. {region} in it stands for the region.
type Endpoint string

// regionPlace stands for the region in an endpoint.
const regionPlace = "{region}"

// UnmarshalText reads a URL without a path.
func (e *Endpoint) UnmarshalText(text []byte) error {
	*e = Endpoint(text)
	u, err := url.Parse(strings.ReplaceAll(string(text), regionPlace, "eu-west-1"))
	switch {
	case err != nil:
		return errors.New("it is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it begins with https://, or with http:// where nothing is secret on the way")
	case u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("it is a scheme and a host, and a port where that is another one")
	}
	return nil
}

// in gives the endpoint in a region: whether TLS is spoken there, and its host and port.
func (e Endpoint) in(region string) (secure bool, host string) {
	if e == "" {
		return true, aws.Host(service, region)
	}
	u, _ := url.Parse(strings.ReplaceAll(string(e), regionPlace, region)) // was read before
	return u.Scheme == "https", u.Host
}

// The defaults that are not zero.
const (
	defaultTimeout = 30 * time.Second
	defaultQueue   = 1000
	defaultWait    = 5 * time.Second
)

func defaults() Config {
	return Config{
		Format: apigw.V2, Mode: Sync, Log: true, Timeout: defaultTimeout,
		Limits: Limits{Queue: defaultQueue, Wait: defaultWait},
	}
}

// AWS's bounds of what is sent and comes back (Lambda quotas). Answers of an HTTP
// API come in JSON that may be a little larger than what is counted.
const (
	mostSync     = 6 << 20
	mostAsync    = 1 << 20
	mostAnswer   = 6<<20 + 100
	mostRegions  = 8
	mostTimeout  = 15 * time.Minute // that a function may run
	mostAtOnce   = 100_000
	mostInQueue  = 1_000_000
	leastPayload = 1 << 10
)

// bound is the largest event of a mode.
func (m Mode) bound() int64 {
	if m == Async {
		return mostAsync
	}
	return mostSync
}

// validate tells all that is wrong with the config itself.
func (c *Config) validate() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(c.Format.Known(), "format: %q is none of v2, v1, alb, alb-multi, raw", c.Format)
	regions := c.regions()
	require(len(regions) > 0, "region: say where the function is, as `region: eu-west-1`")
	require(c.Region == "" || len(c.Regions) == 0, "region, regions: keep one of them; the first of regions is where the function is asked first")
	require(c.Lambda.Region == "" || c.Region == "" || string(c.Region) == c.Lambda.Region,
		"region: it is %s, but the ARN or name says %s; remove one of them", c.Region, c.Lambda.Region)
	require(c.Lambda.Region == "" || len(c.Regions) == 0 || slices.Contains(c.Regions, Region(c.Lambda.Region)),
		"regions: they do not hold %s, which the ARN or name says", c.Lambda.Region)
	require(len(regions) <= mostRegions, "regions: %d are more than %d", len(regions), mostRegions)
	require(len(regions) == len(distinct(regions)), "regions: one of them stands there twice")
	require(c.Endpoint == "" || len(regions) < 2 || strings.Contains(string(c.Endpoint), regionPlace),
		"endpoint: with several regions it must hold %s, or each of them would be the same", regionPlace)
	require(c.Timeout > 0 && c.Timeout <= mostTimeout, "timeout: %v is not from more than nothing to %v, which is as long as a function may run", c.Timeout, mostTimeout)
	require(c.Limits.Concurrency >= 0 && c.Limits.Concurrency <= mostAtOnce, "limits.concurrency: %d is not from 1 to %d", c.Limits.Concurrency, mostAtOnce)
	require(c.Limits.Queue >= 0 && c.Limits.Queue <= mostInQueue, "limits.queue: %d is not from 0 to %d", c.Limits.Queue, mostInQueue)
	require(c.Limits.Wait > 0, "limits.wait: it must be more than nothing")
	bound := doc.Size(c.Mode.bound())
	require(c.Limits.Request == 0 || c.Limits.Request >= leastPayload && c.Limits.Request <= bound,
		"limits.request: %v is not from 1KiB to %v, which is AWS's bound for %s", c.Limits.Request, bound, c.Mode)
	return errors.Join(problems...)
}

func distinct(regions []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(regions)))
}

// regions are where the function is, in the order in which they are tried.
func (c *Config) regions() []string {
	switch {
	case len(c.Regions) > 0:
		list := make([]string, len(c.Regions))
		for i, r := range c.Regions {
			list[i] = string(r)
		}
		return list
	case c.Lambda.Region != "":
		return []string{c.Lambda.Region}
	case c.Region != "":
		return []string{string(c.Region)}
	}
	return nil
}

// caller is in whose name a region is called.
func (c *Config) caller(region string) aws.Caller {
	who := aws.Caller{Profile: c.Profile, Region: region}
	if c.Role != nil {
		who.Role, who.ExternalID, who.Session = c.Role.ARN, c.Role.ExternalID, c.Role.Session
	}
	return who
}

// account is whose concurrency is used, as far as the config says it.
func (c *Config) account() string {
	switch {
	case c.Lambda.Account != "":
		return c.Lambda.Account
	case c.Role != nil:
		return strings.Split(c.Role.ARN, ":")[4]
	}
	return "profile " + c.Profile
}

// largest is the largest event.
func (c *Config) largest() int64 {
	if c.Limits.Request > 0 {
		return int64(c.Limits.Request)
	}
	return c.Mode.bound()
}

// same tells whether a running function may be kept: whom it invokes and how is its
// identity, bounds and times are not.
func same(a, b *Config) bool {
	return a.Lambda == b.Lambda && slices.Equal(a.regions(), b.regions()) && a.Format == b.Format && a.Mode == b.Mode && a.Profile == b.Profile &&
		a.Endpoint == b.Endpoint && (a.Role == b.Role || a.Role != nil && b.Role != nil && *a.Role == *b.Role)
}

// Reaches are what is reached by it, in the forms in which a group is allowed backends.
func (c *Config) Reaches() []string {
	var list []string
	for _, region := range c.regions() {
		list = append(list, "lambda:"+c.Lambda.In(region).String())
	}
	if c.Role != nil {
		list = append(list, "role:"+c.Role.ARN)
	}
	if c.Endpoint != "" {
		list = append(list, string(c.Endpoint))
	}
	return list
}
