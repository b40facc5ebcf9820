package async

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// version is the version of the stored form; others are not read.
const version = 1

// stored is what is stored of a request, with what the gateway found out about it.
type stored struct {
	Version  int    `json:"v"`
	Method   string `json:"method"`
	Target   string `json:"target"` // path and query to send
	Host     string `json:"host"`
	Head     lines  `json:"head"`
	Callback string `json:"callback,omitempty"`

	ID           string      `json:"id"` // of the exchange
	Listener     string      `json:"listener,omitempty"`
	Client       client      `json:"client"`
	RouteHost    string      `json:"route_host"`
	Path         string      `json:"path"`
	EncodedSlash bool        `json:"encoded_slash,omitempty"`
	Query        string      `json:"query,omitempty"`
	Params       [][2]string `json:"params,omitempty"`
	Identity     *identity   `json:"identity,omitempty"`
}

// lines are names and values, alternating.
type lines []string

// client is exchange.Client.
type client struct {
	Peer    netip.AddrPort `json:"peer"`
	IP      netip.Addr     `json:"ip"`
	Scheme  string         `json:"scheme"`
	Host    string         `json:"host"`
	Trusted bool           `json:"trusted,omitempty"`
}

// identity is exchange.Identity.
type identity struct {
	Method  string          `json:"method"`
	Issuer  string          `json:"issuer"`
	Subject string          `json:"subject"`
	Scopes  []string        `json:"scopes,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`
}

// storedOf returns what is stored of r.
func storedOf(r *http.Request, x *exchange.Exchange, head exchange.Head, callback string) *stored {
	s := &stored{
		Version: version, Method: r.Method, Target: r.URL.RequestURI(), Host: r.Host, Callback: callback,
		ID: x.RequestID(), Listener: x.Listener, RouteHost: x.Host, Path: x.Path, EncodedSlash: x.EncodedSlash, Query: x.Query,
		Client: client(x.Client),
	}
	for name, value := range head.All() {
		switch {
		case strings.EqualFold(name, "Content-Length"), strings.EqualFold(name, "Expect"), strings.EqualFold(name, callbackField):
		default:
			s.Head = append(s.Head, name, value)
		}
	}
	for i := range x.Params.Len() {
		p := x.Params.At(i)
		s.Params = append(s.Params, [2]string{p.Name, p.Value})
	}
	if who := x.Identity; who != nil {
		s.Identity = &identity{Method: who.Method, Issuer: who.Issuer, Subject: who.Subject, Scopes: who.Scopes}
		s.Identity.Claims, _ = json.Marshal(who.Claims.All()) // they were decoded from JSON
	}
	return s
}

// request makes the request again, in an exchange of its own.
func (s *stored) request(ctx context.Context, body []byte) (*http.Request, *exchange.Exchange, error) {
	target, err := url.ParseRequestURI(s.Target)
	if err != nil {
		return nil, nil, err
	}
	x := &exchange.Exchange{
		ID: s.ID, Start: time.Now(), Listener: s.Listener, Client: exchange.Client(s.Client), Host: s.RouteHost,
		Path: s.Path, EncodedSlash: s.EncodedSlash, Query: s.Query,
	}
	for _, p := range s.Params {
		x.Params.Add(p[0], p[1])
	}
	if x.Identity, err = s.Identity.identity(); err != nil {
		return nil, nil, err
	}
	r := exchange.NewRequest(exchange.Context(ctx, x), nil)
	r.Method, r.URL, r.Host = s.Method, target, s.Host
	head := exchange.RequestHead(r)
	for i := 0; i+1 < len(s.Head); i += 2 {
		head.Add(s.Head[i], s.Head[i+1])
	}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return r, x, nil
}

func (i *identity) identity() (*exchange.Identity, error) {
	if i == nil {
		return nil, nil
	}
	who := &exchange.Identity{Method: i.Method, Issuer: i.Issuer, Subject: i.Subject, Scopes: i.Scopes}
	if len(i.Claims) == 0 {
		return who, nil
	}
	claims, err := jsonx.Parse(i.Claims, jsonx.Options{})
	if err != nil {
		return nil, err
	}
	all, _ := claims.Any().(map[string]any) // null if there were none
	if past(all["exp"], time.Now()) {
		delete(all, "exp") // it was valid when the request was accepted, and the gateway's own token is made now
	}
	who.Claims = exchange.ClaimsOf(all)
	return who, nil
}

// past tells whether a time in seconds (RFC 7519 section 2, NumericDate) has passed.
func past(seconds any, now time.Time) bool {
	switch at := seconds.(type) {
	case int64:
		return now.Unix() >= at
	case json.Number:
		exact, err := at.Float64()
		return err == nil && float64(now.Unix()) >= exact
	}
	return false
}

// pack encodes JSON followed by bytes: the length of the JSON in four bytes, the JSON, the bytes.
func pack(about any, body []byte) ([]byte, error) {
	raw, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	packed := make([]byte, 0, lengthBytes+len(raw)+len(body))
	packed = binary.BigEndian.AppendUint32(packed, uint32(len(raw)))
	return append(append(packed, raw...), body...), nil
}

const lengthBytes = 4

var errCut = errors.New("what is stored is not whole")

// unpack reads the result of pack.
func unpack(packed []byte, about any) (body []byte, err error) {
	if len(packed) < lengthBytes {
		return nil, errCut
	}
	n := int64(binary.BigEndian.Uint32(packed))
	rest := packed[lengthBytes:]
	if n > int64(len(rest)) {
		return nil, errCut
	}
	return rest[n:], json.Unmarshal(rest[:n], about)
}

// unpackRequest reads the request of a job.
func unpackRequest(packed []byte) (*stored, []byte, error) {
	var s stored
	body, err := unpack(packed, &s)
	switch {
	case err != nil:
	case s.Version != version:
		err = fmt.Errorf("what is stored has version %d", s.Version)
	case !httpx.IsToken(s.Method), len(s.Head)%2 != 0:
		err = errCut
	}
	return &s, body, err
}

// answer is what is stored of a response.
type answer struct {
	Status int   `json:"status"`
	Head   lines `json:"head,omitempty"`
	Cut    bool  `json:"cut,omitempty"` // the body was longer than what is stored
}
