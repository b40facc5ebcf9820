package compile

import (
	"context"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/lambdaapi"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// lambdaAPI makes the listener of the AWS Lambda API. Its operations are routes of their own, so that they are counted,
// logged and explained like all others. The snapshot s sends the events that the API accepts for later.
func (b *build) lambdaAPI(l config.Listener, s *snapshot.Snapshot) *snapshot.Listener {
	options := b.lambdaOptions()
	api := lambdaapi.New(options)
	if b.start {
		b.used.tune(config.LambdaAPIName, api.Serve)
	}
	if options.Queue != nil {
		s.Events = api.Lanes()
	}
	var rules []route.Rule[*snapshot.Route]
	for _, o := range api.Operations() {
		target := &snapshot.Route{
			Name: config.LambdaAPIName + " " + o.Name, Origin: l.Origin, Handler: o.Handler, Meter: b.routeMeter(config.LambdaAPIName + " " + o.Name),
			Backends: []snapshot.BackendNote{{Name: "the function that the path names", Weight: 1, Origin: l.Origin}},
		}
		for _, pattern := range o.Patterns {
			rules = append(rules, route.Rule[*snapshot.Route]{
				Match: config.Match{Method: o.Method, Path: config.PathMatch{Pattern: pattern}, Origin: l.Origin}, Origin: l.Origin, Name: target.Name, Value: target,
			})
		}
	}
	made := b.listener(l, rules)
	made.WrongMethod = http.StatusNotFound // the last operation answers it
	return made
}

func (b *build) lambdaOptions() lambdaapi.Options {
	c := b.cfg.LambdaAPI
	o := lambdaapi.Options{Aliases: c.Aliases, Log: b.compiler.options.Log}
	o.Region, o.Account = c.Place()
	var keys []sigv4.Key
	for _, k := range c.Keys {
		key := sigv4.Key{ID: k.ID, Secret: b.keyPart(k.Secret)}
		if k.Token != nil {
			key.Token = b.keyPart(*k.Token)
		}
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		o.Verifier = sigv4.New("lambda", c.Region, keys)
		o.ConnectionsVerifier = sigv4.New("execute-api", c.Region, keys)
	}
	if !b.start {
		return o
	}
	o.Queue = b.eventQueue(c)
	o.Held = b.held()
	o.Sockets = b.compiler.options.Sockets
	for i := range b.cfg.Functions {
		f := &b.cfg.Functions[i]
		running, err := b.function(f)
		if err != nil || f.Group != "" { // the error was reported; a team's own functions are reached by its routes
			continue
		}
		o.Functions = append(o.Functions, lambdaapi.Function{Name: f.Name, Backend: running.identity.(*runningFunction).backend}) //nolint:forcetypeassert // a started one
	}
	return o
}

// held returns the state in memory that this API shares with the one before it, which may still have calls under way
// and events waiting.
func (b *build) held() *lambdaapi.Held {
	held, _ := keep(b, config.LambdaAPIName, always[*lambdaapi.Held], func() (*lambdaapi.Held, func(context.Context), error) {
		held := lambdaapi.NewHeld()
		return held, held.Close, nil
	})
	return held
}

// eventQueue returns where events are kept; nil: in memory, as without a state folder.
func (b *build) eventQueue(c *config.LambdaAPI) *queue.Queue {
	q := b.compiler.options.Queue
	if q == nil {
		return nil
	}
	if err := q.Open(); err != nil {
		b.problems.Add(doc.Problem{
			Pos: c.Origin.Pos, Severity: doc.Warning, What: "events of the Lambda API are kept in memory only: " + err.Error(),
			Why: "those that are not processed end with this process", Fix: "name a folder that can be written with --state",
		})
		return nil
	}
	return q
}

// keyPart reads a part of a key. An empty key would let every client in.
func (b *build) keyPart(s config.Secret) secret.Value {
	value, err := s.Read(b.compiler.options.Secret)
	switch {
	case err != nil:
		b.problems.Errorf(placeOf(err, s.Pos), "lambda_api: %v", err)
	case value.Empty():
		b.problems.Errorf(s.Pos, "lambda_api: the secret of a key is empty")
	}
	return value
}
