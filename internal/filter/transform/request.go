package transform

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// request is a Request ready to run.
type request struct {
	side

	method   string // "": unchanged, if computes is nil
	computes *expr.Program
	path     *config.ReadyPath // nil: unchanged
	query    []expr.Field
}

func (b *builder) request(c *Request) (made request, err error) {
	if c == nil {
		c = &Request{}
	}
	if made.query, err = c.Query.Ready(b.compile(expr.String, requestScope), b.env.Secret, func(string) bool { return true }); err != nil {
		return request{}, err
	}
	if made.method, err = fixedMethod(c.Method); err != nil {
		return request{}, err
	}
	if c.Method != nil && c.Method.Expr != nil {
		if made.computes, err = b.compile(expr.String, requestScope)(c.Method.Expr); err != nil {
			return request{}, fmt.Errorf("method: %w", err)
		}
	}
	if c.Path != nil {
		path, err := c.Path.Ready(b.compile(expr.String, requestScope))
		if err != nil {
			return request{}, fmt.Errorf("path: %w", err)
		}
		made.path = &path
	}
	made.side, err = b.side(&c.Message, c.Headers, &ResponseCookies{Cookies: c.Cookies}, requestScope)
	return made, err
}

// change changes a request on its way to the backend. If any part of it cannot be built, nothing is sent.
func (s *request) change(p *passage, r *http.Request) error {
	from, text, came, err := s.read(p, r)
	if err != nil {
		return err
	}
	body, contentType, to := text, "", &s.to[0]
	if s.writes {
		if body, contentType, err = s.encode(came, from, to, &p.in); err != nil {
			return s.unmade("the body", err)
		}
	}
	if err := s.changeQuery(p, r); err != nil {
		return err
	}
	if err := s.changeTarget(p, r); err != nil {
		return err
	}
	if s.reads || s.writes {
		s.send(r, body, contentType, to)
	}
	change, err := s.headChange(&p.in)
	if err != nil {
		return s.unmade("a field", err)
	}
	head := exchange.RequestHead(r)
	if s.cookies != nil {
		s.cookies.change(head, change.cookies)
	}
	setFields(head, change.fields)
	return nil
}

// read reads the body, if anything needs it.
func (s *request) read(p *passage, r *http.Request) (from *codec, text []byte, came jsonx.Value, err error) {
	if !s.reads {
		return nil, nil, jsonx.Value{}, nil
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil, jsonx.Value{}, nil
	}
	head := exchange.RequestHead(r)
	if from = s.reader(head); from == nil {
		return nil, nil, jsonx.Value{}, fault.UnsupportedMedia.New("Send "+types(s.from)+", in UTF-8.", fault.WithField("Accept", types(s.from)))
	}
	text, err = exchange.ReadDecoded(r, s.maxBody)
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return nil, nil, jsonx.Value{}, fault.BodyTooLarge.New("The body may have at most " + strconv.FormatInt(s.maxBody, 10) + " bytes.")
	case err != nil:
		return nil, nil, jsonx.Value{}, fmt.Errorf("read the request's body: %w", err)
	case len(text) == 0:
		return nil, nil, jsonx.Value{}, nil
	}
	if came, err = s.decode(from, text, head); err != nil {
		return nil, nil, jsonx.Value{}, fault.MalformedBody.New("The body cannot be read as " + from.name + ": " + err.Error() + ".")
	}
	p.requestBody = came
	return from, text, came, nil
}

// send sets the request's body. It is complete, so it can be sent again.
func (s *request) send(r *http.Request, body []byte, contentType string, to *codec) {
	if r.Body != nil {
		_ = r.Body.Close() // it was read, or is not needed
	}
	head := exchange.RequestHead(r)
	r.ContentLength = int64(len(body))
	head.Del("Expect") // reading the body has answered it
	head.Del("Content-Length")
	head.Del("Trailer")
	exchange.DelFields(exchange.RequestTrailer(r), everyField)
	r.Body = again(body)
	r.GetBody = func() (io.ReadCloser, error) { return again(body), nil }
	if s.writes || exchange.Coded(head) {
		forgetBytes(head)
	}
	if !s.writes {
		return
	}
	if len(body) == 0 {
		head.Del("Content-Type")
		return
	}
	if contentType == "" {
		return
	}
	if to.name == media.NameSOAP {
		contentType = soapAction(head, to, contentType)
	}
	head.Set("Content-Type", contentType)
}

// soapAction sets the action of a message: in SOAP 1.1 in a header field (section 6.1.1), which is set even if it is
// empty, and in SOAP 1.2 in the Content-Type (RFC 3902).
func soapAction(head exchange.Head, to *codec, contentType string) string {
	if !to.soap12 {
		head.Set("SOAPAction", `"`+to.action+`"`)
		return contentType
	}
	if to.action == "" {
		return contentType
	}
	return contentType + `; action="` + to.action + `"`
}

// changeTarget changes method and path.
func (s *request) changeTarget(p *passage, r *http.Request) error {
	method := s.method
	if s.computes != nil {
		computed, err := s.computes.String(&p.in)
		if err == nil && computed != "" && !isMethod(computed) {
			err = fmt.Errorf("%q is no method that can be sent", computed)
		}
		if err != nil {
			return s.unmade("the method", err)
		}
		method = computed
	}
	if s.path != nil {
		path, err := s.path.Make(&p.in, &exchange.Of(r).Params, nil)
		if err != nil {
			return s.unmade("the path", err)
		}
		template.Set(r.URL, path)
	}
	if method != "" {
		r.Method = method
	}
	return nil
}

// changeQuery replaces the parameters that have the given names. The new ones follow the others, whose text does not
// change.
func (s *request) changeQuery(p *passage, r *http.Request) error {
	if len(s.query) == 0 {
		return nil
	}
	if err := httpx.CheckQuery(r.URL.RawQuery); err != nil {
		return err // it is not known which other parameters the backend would read
	}
	var pairs []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair != "" && !s.replaces(pair) {
			pairs = append(pairs, pair)
		}
	}
	for i := range s.query {
		f := &s.query[i]
		value, there, err := f.Value(&p.in)
		if err != nil {
			return s.unmade("the query", fmt.Errorf("%s: %w", f.Name, err))
		}
		if there {
			pairs = append(pairs, url.QueryEscape(f.Name)+"="+url.QueryEscape(value))
		}
	}
	r.URL.RawQuery = strings.Join(pairs, "&")
	return nil
}

// replaces tells whether a pair of the query has one of the names that are set.
func (s *request) replaces(pair string) bool {
	for i := range s.query {
		if _, ok := httpx.QueryLookup(pair, s.query[i].Name); ok {
			return true
		}
	}
	return false
}
