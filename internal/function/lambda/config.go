package lambda

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

// Config is an AWS Lambda function.
type Config struct {
	Pos      doc.Pos       `doc:"-,pos"`
	Lambda   Name          `doc:"lambda,required" example:"place-order:live" help:"The function: its name or its ARN, optionally with :ALIAS or :VERSION."`
	Region   aws.Region    `doc:"region,omitzero" example:"eu-west-1" help:"The function's region. An ARN already contains it."`
	Regions  []aws.Region  `doc:"regions,omitzero" example:"[eu-west-1, eu-central-1]" help:"The function's regions, in the order in which they are tried. The next region gets a request if the one before certainly did not accept it, and, if the method is safe or idempotent, also if that is uncertain."`
	Format   apigw.Format  `doc:"format" example:"v1" help:"The format of events and responses: v2 (API Gateway's payload format 2.0, which function URLs use too), v1 (payload format 1.0, as for REST APIs), alb or alb-multi (a load balancer's format, the latter with multi-value headers), raw (the event is the request's body, which must be JSON, and the function's result is the response's body)."`
	Mode     Mode          `doc:"mode" example:"stream" help:"How the function is invoked: sync (the gateway waits for the complete response), stream (it forwards the response as it arrives), async (it responds with 202 as soon as AWS has accepted the event) or dry-run (it responds with 204 if the caller may invoke the function, and does not invoke it)."`
	Account  string        `doc:"account,omitzero" example:"shop" help:"The account, by its name under clouds.aws.accounts, which provides role, profile, regions and endpoint if they are not set here. An ARN or a role also selects the account, by its number."`
	Role     *aws.Role     `doc:"role" example:"arn:aws:iam::123456789012:role/gateway" help:"The role to assume for invocations, in addition to the credentials that are found. Plain text is the role's ARN."`
	Profile  string        `doc:"profile,omitzero" example:"production" help:"The profile in AWS's shared config whose credentials are used, instead of those from the environment."`
	Endpoint aws.Endpoint  `doc:"endpoint,omitzero" example:"https://vpce-1a2b.lambda.{region}.vpce.amazonaws.com" help:"The address of the Lambda API, instead of AWS's own address in the region."`
	Timeout  time.Duration `doc:"timeout" example:"30s" help:"How long an invocation may take, including all attempts: until the response is complete or, for a stream, until its head arrives."`
	Log      bool          `doc:"log" example:"false" help:"Whether to request the end of the function's log, up to 4 KiB, and write it to the gateway's log: at level debug, or as a warning if the function has failed."`
	Limits   Limits        `doc:"limits" help:"Limits on the use of the function."`

	settled // what clouds.aws says about its account
	inlined bool
}

// Limits bound how much of a function is used. AWS has limits of its own.
type Limits struct {
	Concurrency int           `doc:"concurrency,omitzero" example:"50" help:"Concurrent requests to this function; by default as many as the account allows."`
	Queue       int           `doc:"queue" example:"1000" help:"Requests that may wait for a running one to end; further ones are answered with 429."`
	Wait        time.Duration `doc:"wait" example:"5s" help:"How long a request may wait; after that it is answered with 503."`
	Request     doc.Size      `doc:"request,omitzero" example:"1MiB" help:"The largest event, measured as it is sent (binary bodies as base64). By default AWS's own limit: 6 MiB, and 1 MiB for async."`
}

// Name is the name under which a function is called.
type Name struct{ aws.Target }

// UnmarshalText reads a name or an ARN.
func (n *Name) UnmarshalText(text []byte) error {
	var err error
	n.Target, err = aws.ParseTarget(string(text))
	return err //nolint:wrapcheck // it says what is wrong
}

// MarshalText writes it in the form in which it is read.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

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
	return doc.OneOf("a mode", string(text), string(Sync), string(Stream), string(Async), string(DryRun)) //nolint:wrapcheck // it says what is wrong
}

// The defaults that are not zero.
const (
	defaultTimeout = 30 * time.Second
)

func defaults() Config {
	said := aws.DefaultSettings()
	return Config{
		settled: settled{said.Account, int64(said.Room)},
		Format:  apigw.V2, Mode: Sync, Log: true, Timeout: defaultTimeout,
		Limits: Limits{Queue: aws.DefaultQueue, Wait: aws.DefaultWait},
	}
}

// AWS's limits for what is sent and what comes back (Lambda quotas). Answers of an HTTP API come in JSON that may be a
// little larger than what AWS counts.
const (
	mostSync     = 6 << 20
	mostAsync    = 1 << 20
	mostAnswer   = 6<<20 + 100
	mostRegions  = 8
	mostTimeout  = 15 * time.Minute // how long a function may run
	mostAtOnce   = aws.MostConcurrency
	mostInQueue  = 1_000_000
	leastPayload = 1 << 10
)

// bound returns the size of the largest event in a mode.
func (m Mode) bound() int64 {
	if m == Async {
		return mostAsync
	}
	return mostSync
}

// validate reports all that is wrong with the config itself.
func (c *Config) validate() error {
	var problems function.Mistakes
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
	require(c.Lambda.Region == "" || len(c.Regions) == 0 || slices.Contains(c.Regions, aws.Region(c.Lambda.Region)),
		"regions: they do not hold %s, which the ARN or name says", c.Lambda.Region)
	require(len(regions) <= mostRegions, "regions: %d are more than %d", len(regions), mostRegions)
	require(len(regions) == len(distinct(regions)), "regions: one of them stands there twice")
	require(len(regions) < 2 || c.endpoint().Everywhere(), "endpoint: with several regions it must hold {region}, or each of them would be the same")
	require(c.Timeout > 0 && c.Timeout <= mostTimeout, "timeout: %v is not from more than nothing to %v, which is as long as a function may run", c.Timeout, mostTimeout)
	require(c.Limits.Concurrency >= 0 && c.Limits.Concurrency <= mostAtOnce, "limits.concurrency: %d is not from 1 to %d", c.Limits.Concurrency, mostAtOnce)
	require(c.Limits.Queue >= 0 && c.Limits.Queue <= mostInQueue, "limits.queue: %d is not from 0 to %d", c.Limits.Queue, mostInQueue)
	require(c.Limits.Wait > 0, "limits.wait: it must be more than nothing")
	bound := doc.Size(c.Mode.bound())
	require(c.Limits.Request == 0 || c.Limits.Request >= leastPayload && c.Limits.Request <= bound,
		"limits.request: %v is not from 1KiB to %v, which is AWS's bound for %s", c.Limits.Request, bound, c.Mode)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

func distinct(regions []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(regions)))
}

// settled is what applies to a function besides its own config.
type settled struct {
	in   aws.Account
	room int64
}

// InCloud implements config.Clouded.
func (c *Config) InCloud(of func(kind string) any) error {
	said := aws.SettingsOf(of)
	found, err := said.Find(c.Account, c.number())
	if err != nil {
		return err //nolint:wrapcheck // it says what is wrong
	}
	c.settled = settled{*found, int64(said.Room)}
	if c.Lambda.Account != "" && found.ID != "" && found.ID != c.Lambda.Account && c.role() == nil {
		return fmt.Errorf("account: %s is %s, but the ARN says %s", c.Account, found.ID, c.Lambda.Account)
	}
	if c.inlined && len(c.regions()) == 0 {
		return errNowhere
	}
	return nil
}

var errNowhere = errors.New("nothing says where it is; write its region behind it, as lambda:orders@eu-west-1, or declare it under functions")

// number returns the account's number, as far as the function's own config states it.
func (c *Config) number() string {
	switch {
	case c.Lambda.Account != "":
		return c.Lambda.Account
	case c.Role != nil && aws.CheckRole(c.Role.ARN) == nil:
		return c.Role.Account()
	}
	return ""
}

// regions returns where the function is, in the order in which the regions are tried.
func (c *Config) regions() []string {
	texts := func(regions []aws.Region) []string {
		list := make([]string, len(regions))
		for i, r := range regions {
			list[i] = string(r)
		}
		return list
	}
	switch {
	case len(c.Regions) > 0:
		return texts(c.Regions)
	case c.Lambda.Region != "":
		return []string{c.Lambda.Region}
	case c.Region != "":
		return []string{string(c.Region)}
	}
	return texts(c.in.Regions)
}

// role returns the role to assume, nil for none. A function that names a profile of its own is called with that profile
// alone.
func (c *Config) role() *aws.Role {
	if c.Role == nil && c.Profile == "" {
		return c.in.Role
	}
	return c.Role
}

func (c *Config) profile() string        { return cmp.Or(c.Profile, c.in.Profile) }
func (c *Config) endpoint() aws.Endpoint { return cmp.Or(c.Endpoint, c.in.Endpoint) }

// caller returns the identity with which a region is called.
func (c *Config) caller(region string) aws.Caller { return aws.CallerOf(c.profile(), region, c.role()) }

// account returns the account whose concurrency is used, as far as the config states it.
func (c *Config) account() string {
	switch number := cmp.Or(c.number(), c.in.ID); {
	case number != "":
		return number
	case c.role() != nil:
		return c.role().Account()
	case c.Account != "":
		return "account " + c.Account
	}
	return "profile " + c.profile()
}

// largest returns the size of the largest event.
func (c *Config) largest() int64 {
	if c.Limits.Request > 0 {
		return int64(c.Limits.Request)
	}
	return c.Mode.bound()
}

// same reports whether a running function may be kept. Its identity is which function it invokes and how; bounds and
// timeouts are not part of it.
func same(a, b *Config) bool {
	return a.Lambda == b.Lambda && slices.Equal(a.regions(), b.regions()) && a.Format == b.Format && a.Mode == b.Mode &&
		a.endpoint() == b.endpoint() && a.account() == b.account() && a.caller("") == b.caller("")
}

// Reaches returns what this function can reach, in the forms in which a group is allowed backends.
func (c *Config) Reaches() []string {
	var list []string
	for _, region := range c.regions() {
		list = append(list, "lambda:"+c.Lambda.In(region).String())
	}
	if c.Role != nil {
		list = append(list, "role:"+c.Role.ARN)
	}
	if c.Profile != "" {
		list = append(list, "profile:"+c.Profile)
	}
	if c.Account != "" {
		list = append(list, "account:"+c.Account)
	}
	if c.Endpoint != "" {
		list = append(list, string(c.Endpoint))
	}
	return list
}
