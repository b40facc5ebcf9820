package lambdaapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/sockets"
)

// The operations by which functions reach WebSockets (API Gateway Management API). Their signatures are for another AWS
// service than Lambda.
const (
	connections         = "/@connections/{" + connectionParameter + "}"
	encodedConnections  = "/%40connections/{" + connectionParameter + "}" // some signing clients write it so
	connectionParameter = "ConnectionId"
	stageParameter      = "stage"
	// maxMessage is the largest message that is sent on a WebSocket. It equals the largest that a client's message may
	// be; a route can set a lower bound for its clients.
	maxMessage = 4 << 20
)

// connectionOperations returns PostToConnection, GetConnection and DeleteConnection, each with and without the stage in
// its path.
func (a *API) connectionOperations() []Operation {
	const inStage = "/{" + stageParameter + "}"
	patterns := []string{connections, inStage + connections, encodedConnections, inStage + encodedConnections}
	of := func(do func(*call, sockets.Peer) error, limit int64) http.Handler {
		return a.operationFor(a.options.ConnectionsVerifier, limit, func(c *call) error {
			p := a.connection(c)
			if p == nil {
				return goneConnection.about("")
			}
			return do(c, p)
		})
	}
	return []Operation{
		{"PostToConnection", http.MethodPost, patterns, of(post, maxMessage)},
		{"GetConnection", http.MethodGet, patterns, of(describe, 0)},
		{"DeleteConnection", http.MethodDelete, patterns, of(disconnect, 0)},
	}
}

// connection returns the connection that the path names, or nil if it no longer exists.
func (a *API) connection(c *call) sockets.Peer {
	if a.options.Sockets == nil {
		return nil
	}
	id, _ := c.x.Params.Get(connectionParameter)
	return a.options.Sockets.Find(id)
}

func post(c *call, p sockets.Peer) error {
	switch err := p.Send(c.body); {
	case err == nil:
		c.answer(http.StatusOK, "", nil)
		return nil
	case errors.Is(err, sockets.ErrTooLarge):
		return payloadTooLarge.about("Message too large")
	case errors.Is(err, sockets.ErrSlow):
		e := limitExceeded.about("The client takes messages too slowly")
		e.after = time.Second
		return e
	default:
		return goneConnection.about("")
	}
}

// describe answers with a description of a connection.
func describe(c *call, p sockets.Peer) error {
	f := p.Facts()
	const form = "2006-01-02T15:04:05.000Z"
	type identity struct {
		SourceIP  string `json:"sourceIp"`
		UserAgent string `json:"userAgent"`
	}
	text, _ := json.Marshal(struct { // strings always encode
		ConnectedAt  string   `json:"connectedAt"`
		Identity     identity `json:"identity"`
		LastActiveAt string   `json:"lastActiveAt"`
	}{f.Connected.UTC().Format(form), identity{f.SourceIP, f.UserAgent}, f.Active.UTC().Format(form)})
	c.answer(http.StatusOK, "application/json", text)
	return nil
}

func disconnect(c *call, p sockets.Peer) error {
	p.End()
	c.answer(http.StatusNoContent, "", nil)
	return nil
}
