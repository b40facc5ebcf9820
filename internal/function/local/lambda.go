package local

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// latest is the version that every function here has, in AWS's terms.
const latest = "$LATEST"

// lambda is the contract of AWS Lambda: each instance fetches events and posts
// answers.
type lambda struct {
	arn         string
	format      apigw.Format
	env         map[string]string
	concurrency int // invocations at once in one instance, if it asks for them
}

func newLambda(env function.Env, name string, c *Config, p program.Program) *lambda {
	region := cmp.Or(env.Region, config.DefaultRegion) // one that SDKs know; the config's env may set another
	handler := c.Handler
	if handler == "" {
		handler = p.Handler
	}
	if handler == "" {
		handler = "bootstrap"
	}
	l := &lambda{
		format: cmp.Or(c.Format, apigw.V2),
		arn:    "arn:aws:lambda:" + region + ":" + cmp.Or(env.Account, config.DefaultAccount) + ":function:" + name, concurrency: c.bounds(p.Contract).Concurrency,
		env: map[string]string{
			"_HANDLER": handler, "LAMBDA_TASK_ROOT": p.Folder, "LAMBDA_RUNTIME_DIR": p.Folder, "TZ": ":UTC",
			"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
			"AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": latest,
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(int64(c.told()/doc.MiB), 10),
			"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + name, "AWS_LAMBDA_LOG_STREAM_NAME": "local",
			initializationVariable: "on-demand",
		},
	}
	if l.concurrency > 1 {
		l.env[concurrencyVariable] = strconv.Itoa(l.concurrency)
	}
	return l
}

// initializationVariable tells a runtime how the instance was initialised.
const initializationVariable = "AWS_LAMBDA_INITIALIZATION_TYPE"

// concurrencyVariable tells a runtime how many invocations it may ask for at
// once, as AWS's managed instances do.
const concurrencyVariable = "AWS_LAMBDA_MAX_CONCURRENCY"

func (*lambda) close() {}

func (l *lambda) launch(ctx context.Context, v *version) (*instance, error) {
	if files := program.Extensions(v.program.Folder); len(files) > 0 {
		return l.launchCrew(ctx, v, files)
	}
	return v.launchProcess(ctx, l.env, func() (link, error) { return l.listen(v.backend) })
}

func (l *lambda) listen(b *backend) (*runtimeLink, error) {
	about := runtimeapi.About{Name: l.env["AWS_LAMBDA_FUNCTION_NAME"], Version: l.env["AWS_LAMBDA_FUNCTION_VERSION"], Handler: l.env["_HANDLER"]}
	feed := telemetryapi.New(telemetryapi.About{
		Name: about.Name, Version: about.Version, Memory: int64(b.memory), JSON: b.env["AWS_LAMBDA_LOG_FORMAT"] == "JSON",
		Init: cmp.Or(b.env[initializationVariable], l.env[initializationVariable]),
	}, b.log)
	api, err := runtimeapi.Listen(b.log, about, l.concurrency, feed)
	if err != nil {
		feed.Close()
		return nil, err //nolint:wrapcheck // it says what it is
	}
	return &runtimeLink{api: api, feed: feed}, nil
}

// runtimeLink is the Runtime API of one instance.
type runtimeLink struct {
	api  *runtimeapi.Server
	feed *telemetryapi.Feed // closed by api
	crew bool               // there are extensions, which are served until they have ended too
}

func (l *runtimeLink) hear(line []byte) { l.feed.Line(line) }

func (l *runtimeLink) observe(i *instance) {
	drain := func() {}
	if d, ok := i.body.(interface{ Drain() }); ok {
		drain = d.Drain
	}
	l.feed.Observe(i.memory, drain)
	l.api.OnBreak(i.body.Kill)
}

func (l *runtimeLink) variables() map[string]string {
	return map[string]string{runtimeAPIVariable: l.api.Address()}
}

// spread is how long an instance that has asked for one invocation may take until it has asked for all that it may have
// at once. An instance that asks for fewer loses this time at its start.
const spread = 2 * time.Second

func (l *runtimeLink) await(ctx context.Context) error {
	select {
	case <-l.api.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	patience := time.NewTimer(spread)
	defer patience.Stop()
	select {
	case <-l.api.Full():
	case <-patience.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return l.api.AwaitExtensions(ctx) //nolint:wrapcheck // it says what it waits for
}

func (l *runtimeLink) places() int { return l.api.Places() }

// farewellTime is how long extensions have before the instance is asked to end.
const farewellTime = 500 * time.Millisecond

func (l *runtimeLink) ending(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewellTime)
	defer cancel()
	l.api.Farewell(ctx)
}

func (l *runtimeLink) complaint() *function.Failure { return l.api.InitError() }

func (l *runtimeLink) broken() *function.Failure { return l.api.Broken() }

func (l *runtimeLink) close(cause error) {
	if l.crew {
		l.api.Abort(cause)
		return
	}
	l.api.Close(cause)
}

// question is one invocation of an instance.
type question struct {
	id            string // "" for a new one
	payload       []byte
	clientContext string
	qualifier     string   // by which the function was named, "" for none
	log           *logTail // collects the instance's output during the invocation; nil if it is not wanted
}

// arnOf returns the ARN by which a function is told that it was invoked.
func (l *lambda) arnOf(qualifier string) string {
	if qualifier == "" {
		return l.arn
	}
	return l.arn + ":" + qualifier
}

// roundTrip reads the whole request before it asks for an instance, so that a slow client does not occupy one.
func (l *lambda) roundTrip(b *backend, r *http.Request) (*http.Response, error) {
	event, err := l.event(r)
	if err != nil {
		return nil, err
	}
	return b.ask(r, func(place *lease) (*http.Response, error) {
		result, err := l.invoke(r, b, place, &question{payload: event})
		if err != nil {
			return nil, err
		}
		return l.response(r, result)
	})
}

// event makes the event of r. It closes r's body.
func (l *lambda) event(r *http.Request) ([]byte, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if l.format == apigw.Raw && len(bytes.TrimSpace(body)) > 0 && !json.Valid(body) {
		return nil, fault.MalformedBody.New("The body is the event of the function, which is JSON.")
	}
	event, err := l.format.Encode(r, body)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is
	}
	if len(event) > runtimeapi.MaxPayload {
		return nil, tooLarge()
	}
	return event, nil
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := exchange.ReadBody(r, runtimeapi.MaxPayload)
	if r.Body != nil {
		_ = r.Body.Close() // it was read, or another error matters
	}
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return nil, tooLarge()
	case err != nil && r.Context().Err() != nil:
		return nil, context.Cause(r.Context())
	case err != nil:
		return nil, fault.MalformedRequest.New("The request's body could not be read.", fault.Cause(err))
	}
	return body, nil
}

func tooLarge() error {
	return fault.FunctionTooLarge.New(fmt.Sprintf("This function takes requests of at most %d bytes, counted as they are sent to it (binary bodies as base64).", runtimeapi.MaxPayload))
}

// invoke gives a payload to an instance and waits for the answer. The lease is released when the instance asks for its
// next event, which is after the answer.
func (l *lambda) invoke(r *http.Request, b *backend, place *lease, q *question) (runtimeapi.Result, error) {
	ctx := r.Context()
	api := place.Instance().link.(*runtimeLink).api //nolint:forcetypeassert // this contract makes no other links
	timeout := b.timeout()
	id, trace := cmp.Or(q.id, function.NewID()), exchange.RequestHead(r).Get(xRay)
	if exchange.Of(r).Trace == nil { // a header from the client itself is ignored
		trace = newTrace()
	}
	invocation := runtimeapi.NewInvocation(id, l.arnOf(q.qualifier), trace, q.payload, time.Now().Add(timeout))
	invocation.Client = q.clientContext
	q.log.begin(place.Instance(), id)
	timer := time.AfterFunc(timeout, func() {
		invocation.Abort(timedOut(place, timeout))
		place.Release(pool.Poisoned)
	})
	invocation.Answered = place.Finishing
	invocation.Settled = func() {
		timer.Stop()
		place.Release(pool.Served)
	}
	if err := api.Invoke(ctx, invocation); err != nil {
		timer.Stop()
		if ctx.Err() != nil {
			place.Release(pool.Unused)
			return runtimeapi.Result{}, err //nolint:wrapcheck // the client's own end
		}
		place.Release(pool.Poisoned)
		return runtimeapi.Result{}, &unseenError{error: err}
	}
	select {
	case result := <-invocation.Result():
		return result, result.Err
	case <-ctx.Done():
		invocation.Abandon() // the function goes on and keeps the lease
		return runtimeapi.Result{}, context.Cause(ctx)
	}
}

// newTrace makes an X-Ray trace header.
func newTrace() string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	trace := append(make([]byte, 0, len("Root=1-01234567-0123456789ab0123456789ab;Sampled=0")), "Root=1-"...)
	trace = hex.AppendEncode(trace, binary.BigEndian.AppendUint32(nil, uint32(time.Now().Unix())))
	trace = hex.AppendEncode(append(trace, '-'), random[:])
	return string(append(trace, ";Sampled=0"...))
}

// response makes the response to r from an answer.
func (l *lambda) response(r *http.Request, result runtimeapi.Result) (*http.Response, error) {
	if result.Stream == nil {
		res, err := l.format.Decode(r, result.Payload)
		return res, badResponse(err)
	}
	if result.ContentType != apigw.StreamType {
		return apigw.DecodeRaw(r, result.Stream, result.ContentType), nil
	}
	res, err := apigw.DecodeStream(r, result.Stream)
	if err != nil {
		_ = result.Stream.Close() // it only signals that the rest will not be read
	}
	return res, badResponse(err)
}

// badResponse makes err a fault, unless it is one already, such as a stream that broke off.
func badResponse(err error) error {
	if err == nil {
		return nil
	}
	if f := fault.From(err); f.Code != fault.Unexpected.Code {
		return f
	}
	return fault.FunctionBadResponse.New("", fault.Cause(err))
}
