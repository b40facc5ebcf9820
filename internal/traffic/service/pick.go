package service

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// picker chooses among the endpoints that may be asked. It is immutable.
type picker struct {
	asked []*endpoint
	set   *balance.Set // of these, in their order
}

// newPicker makes the picker of a new set. It is called with Service.setting locked.
func newPicker(p *balance.Pool, b *Balance, asked []*endpoint) picker {
	list := make([]balance.Endpoint, len(asked))
	for i, e := range asked {
		list[i] = balance.Endpoint{Address: e.Address, ID: e.ID, Weight: e.Weight, Local: b.local(e), State: &e.state.load}
	}
	return picker{asked, balance.New(p, b.Settings, list)}
}

// local tells whether an endpoint is of the gateway's own zone, or meant for it: what the
// source says of whom it should serve counts more than where it is.
func (b *Balance) local(e *endpoint) bool {
	switch {
	case b.Zone == "":
		return false
	case e.Hints != "":
		return slices.Contains(strings.Split(e.Hints, ","), b.Zone)
	}
	return e.Zone == b.Zone
}

// pick chooses an endpoint, nil where nobody may be asked; full tells that somebody may as
// soon as there is room. The request counts as in flight there from now on, until attempt.end
// or Pool.Done.
func (c *call) pick(s *set) (e *endpoint, full bool) {
	b := c.service.balance.Load()
	a := balance.Ask{Now: c.service.pool.Now(), Random: rand.Uint64(), Sticks: -1, Tried: c.tried} //nolint:gosec // chance decides, not a secret
	if b.Key != nil {
		a.Key, a.Keyed = c.key(b)
	}
	if b.Cookie != nil {
		a.Sticks = c.sticks(s.picker, b.Cookie)
	}
	i := s.picker.set.Take(a)
	if i < 0 {
		return nil, i == balance.Full
	}
	if b.Cookie != nil {
		if c.leads = ""; i != a.Sticks {
			c.leads = s.picker.set.Name(i)
		}
	}
	return s.picker.asked[i], false
}

// key is what the endpoint is chosen by, where that is done by a key: the same for all
// attempts. A request that has none is balanced.
func (c *call) key(b *Balance) (key uint64, ok bool) {
	if !c.keyed {
		text, err := b.Key(c.req)
		c.keyed, c.hasKey = true, err == nil && text != ""
		c.hash = balance.HashOf(text)
	}
	return c.hash, c.hasKey
}

// observe takes what came of an attempt into account for the choice of endpoints, and tells what
// it was.
func (c *call) observe(a *attempt, e *endpoint, res *http.Response, err error, took time.Duration) balance.Outcome {
	pool := c.service.pool
	latency := took
	if sent := a.sentAfter(); sent > 0 && sent < took {
		latency -= sent // the time that a client takes for its body is not the endpoint's
	}
	o := c.judge(a, res, err)
	pool.Observe(&e.state.load, pool.Now(), latency, o)
	return o
}

// judge tells what an attempt says of its endpoint.
func (c *call) judge(a *attempt, res *http.Response, err error) balance.Outcome {
	if err != nil {
		return c.judgeError(a, err)
	}
	switch status := res.StatusCode; {
	case slices.Contains(failing(), status):
		return balance.Failed
	case status >= http.StatusInternalServerError:
		return balance.Doubtful
	case a.sentAfter() < 0:
		return balance.Untold // it answered before it had read all: how long it takes for that is not known
	}
	head := exchange.ResponseHead(res)
	switch isCall := res.ProtoMajor == 2 && strings.HasPrefix(head.Get("Content-Type"), "application/grpc"); {
	case !isCall:
		return balance.Answered
	case head.Get("Grpc-Status") == "":
		a.call = res
		return balance.Began
	}
	return grpcOutcome(head)
}

// failing are the statuses of who could not serve just now, whatever was asked.
func failing() []int {
	return []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
}

func (c *call) judgeError(a *attempt, err error) balance.Outcome {
	switch {
	case c.body != nil && c.body.failed() != nil:
		return balance.Untold // the client's side ended it
	case c.req.Context().Err() != nil && a.sentAfter() < 0:
		return balance.Untold
	case c.req.Context().Err() != nil:
		return balance.Lasted
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		if f.Code == fault.BackendInvalid.Code {
			return balance.Failed
		}
		return balance.Untold
	}
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok || send.GoAway || send.Reused && send.Sent == exchange.SentNothing {
		return balance.Untold // it ends a connection in good order, or has closed an idle one, as it may
	}
	return balance.Failed
}

// The statuses of gRPC that tell of an endpoint (grpc/doc/statuscodes.md).
const (
	grpcUnknown     = "2"
	grpcInternal    = "13"
	grpcUnavailable = "14"
)

// grpcOutcome reads the status of a gRPC call in a head or trailer.
func grpcOutcome(in exchange.Head) balance.Outcome {
	switch in.Get("Grpc-Status") {
	case grpcUnavailable:
		return balance.Failed
	case grpcUnknown, grpcInternal:
		return balance.Doubtful
	default:
		return balance.Ended
	}
}
