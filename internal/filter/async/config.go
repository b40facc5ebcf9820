// Package async is the filter that accepts a request, answers 202, and sends it later: an accepted request is stored on
// disk, and is tried until the backend has answered.
//
//   - config.go: the config.
//   - async.go: the filter.
//   - accept.go: a request becomes a job.
//   - stored.go: what a job stores of its request, and of the response.
//   - send.go: an attempt.
//   - status.go: requests for the status of a job.
//   - follow.go: notifications of its end: callbacks and dead letters.
package async

import (
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is the value of `async`.
type Config struct {
	// Asked accepts only requests that ask for it by `Prefer: respond-async` (RFC 7240).
	Asked       bool          `doc:"asked,omitzero" help:"accept only requests with Prefer: respond-async; other requests wait for their response"`
	Retry       Retry         `doc:"retry" help:"how often, and when, a failed attempt is repeated" example:"2"`
	Age         time.Duration `doc:"age" help:"how long a request is tried at all" example:"6h"`
	Timeout     time.Duration `doc:"timeout" help:"the time for one attempt" example:"15m"`
	Concurrency int           `doc:"concurrency" help:"concurrent attempts" example:"10"`
	Queue       int           `doc:"queue" help:"requests of this route that may wait" example:"10000"`
	Body        doc.Size      `doc:"body" help:"the largest request body that is accepted" example:"1MB"`
	Result      doc.Size      `doc:"result" help:"how much of a response's body is kept" example:"1MB"`
	Keep        time.Duration `doc:"keep" help:"how long a response is kept" example:"24h"`
	KeepDead    time.Duration `doc:"keep_dead" help:"how long a dead letter is kept" example:"168h"`
	// Callback lets clients name a URL that is notified when their job ends; nil: none is.
	Callback *Callback `doc:"callback,omitzero" help:"which URLs X-Callback-Url may name"`
	// Dead gets each dead letter; nil: they are sent nowhere.
	Dead *config.Call `doc:"dead,omitzero" help:"a backend that receives each dead letter" example:"fn:mourner"`
	At   doc.Pos      `doc:"-,pos"`
}

// Retry says how often, and when, a failed attempt is repeated.
type Retry struct {
	Times int           `doc:"times" help:"retries after the first attempt" example:"2"`
	First time.Duration `doc:"first" help:"the pause before the first retry; it doubles each time" example:"30s"`
	Most  time.Duration `doc:"most" help:"the longest pause" example:"10m"`
}

// Callback says where clients may have the end of a job reported.
type Callback struct {
	Allow  []Origin       `doc:"allow,oneormany,required" help:"the origins that callback URLs may have" example:"https://hooks.example.com"`
	Secret *config.Secret `doc:"secret,omitzero" help:"the secret that callbacks are signed with (Standard Webhooks)" example:"${env:HOOK_SECRET}"`
}

// The bounds of the config.
const (
	mostTries       = 100
	mostConcurrency = 1000
	mostQueue       = 1_000_000
	mostBody        = 16 << 20
)

// usual returns the defaults. Tries, age and body are AWS's for asynchronous (Event) invocations.
func usual() Config {
	return Config{
		Retry: Retry{Times: 2, First: 30 * time.Second, Most: 10 * time.Minute}, Age: 6 * time.Hour, Timeout: 15 * time.Minute,
		Concurrency: 10, Queue: 10_000, Body: 1_000_000, Result: 1_000_000, Keep: 24 * time.Hour, KeepDead: 7 * 24 * time.Hour,
	}
}

// Calls implements config.Calling.
func (c *Config) Calls() []*config.Call {
	if c.Dead == nil {
		return nil
	}
	return []*config.Call{c.Dead}
}

// DecodeDoc reads `true`, `asked` or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	c.At = n.Pos
	if n.Kind == doc.Scalar {
		switch n.Value {
		case "true":
		case "asked":
			c.Asked = true
		default:
			ps.Add(doc.Problem{
				Pos: n.Pos, What: fmt.Sprintf("async is %q", n.Value), Why: "it says which requests are taken to be sent later",
				Fix: "write true for all of them, asked for those with Prefer: respond-async, none for none, or a map",
			})
		}
		return
	}
	type long Config
	doc.Decode(n, (*long)(c), ps)
	c.check(ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](&doc.Schema{Enum: []string{"true", "asked"}})
}

// check enforces the bounds.
func (c *Config) check(ps *doc.Problems) {
	for _, b := range []struct {
		key         string
		value       int64
		least, most int64
	}{
		{"retry.times", int64(c.Retry.Times), 0, mostTries},
		{"concurrency", int64(c.Concurrency), 1, mostConcurrency},
		{"queue", int64(c.Queue), 1, mostQueue},
		{"body", int64(c.Body), 1, mostBody},
		{"result", int64(c.Result), 0, mostBody},
	} {
		if b.value < b.least || b.value > b.most {
			ps.Add(doc.Problem{Pos: c.At, What: fmt.Sprintf("async.%s is out of bounds", b.key), Fix: fmt.Sprintf("write a value from %d to %d", b.least, b.most)})
		}
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"retry.first", c.Retry.First}, {"retry.most", c.Retry.Most}, {"age", c.Age}, {"timeout", c.Timeout}, {"keep", c.Keep}, {"keep_dead", c.KeepDead},
	} {
		if d.value < time.Millisecond {
			ps.Add(doc.Problem{Pos: c.At, What: fmt.Sprintf("async.%s is no time at all", d.key), Fix: "write a time such as 30s"})
		}
	}
}

// DecodeDoc reads the number of tries, `none` or a map.
func (r *Retry) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch {
	case n.Kind == doc.Scalar && n.Value == "none":
		r.Times = 0
	case n.Kind == doc.Scalar:
		doc.Decode(n, &r.Times, ps)
	default:
		type long Retry
		doc.Decode(n, (*long)(r), ps)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Retry) DocSchema() *doc.Schema {
	type long Retry
	return doc.SchemaOr[long](&doc.Schema{AnyOf: []*doc.Schema{{Type: doc.Types{"integer"}}, {Enum: []string{"none"}}}})
}

// Origin is scheme, host and port of URLs that may be called back, in the form in which the URL standard compares them.
type Origin string

// DecodeDoc reads an origin.
func (o *Origin) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var text string
	doc.Decode(n, &text, ps)
	made, err := originOf(text)
	if err != nil || n.Value != made && n.Value != made+"/" {
		ps.Add(doc.Problem{
			Pos: n.Pos, What: fmt.Sprintf("%q is no origin", n.Value), Why: "callbacks are allowed by scheme, host and port, all of them written out",
			Fix: "for example https://hooks.example.com",
		})
		return
	}
	*o = Origin(made)
}

// DocSchema implements doc.SchemaWriter.
func (*Origin) DocSchema() *doc.Schema {
	return doc.TextSchema("an origin such as https://hooks.example.com")
}
