package transform

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// response is a Response ready to run.
type response struct {
	side

	when    *expr.Program // nil: always
	status  int           // 0: unchanged, if program is nil
	program *expr.Program
}

func (b *builder) response(c *Response) (made response, err error) {
	if c == nil {
		c = &Response{}
	}
	if c.When != nil {
		if made.when, err = b.compile(expr.Bool, responseScope)(c.When); err != nil {
			return response{}, fmt.Errorf("when: %w", err)
		}
	}
	if made.status, err = fixedStatus(c.Status); err != nil {
		return response{}, err
	}
	if c.Status != nil && c.Status.Expr != nil {
		if made.program, err = b.compile(expr.Int, responseScope)(c.Status.Expr); err != nil {
			return response{}, fmt.Errorf("status: %w", err)
		}
	}
	made.side, err = b.side(&c.Message, c.Headers, &c.Cookies, responseScope)
	return made, err
}

// askForWhole asks the backend for a response that can be read: complete and current, in one of the formats and without
// a content coding. A HEAD becomes a GET, because what its response would say is known only from the body.
func (p *passage) askForWhole(r *http.Request) {
	s := &p.response
	p.head = p.in.Request.Method == http.MethodHead
	if !s.reads {
		return
	}
	head := exchange.RequestHead(r)
	head.Set("Accept", types(s.from))
	head.Set("Accept-Encoding", "identity")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return
	}
	r.Method = http.MethodGet
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
		head.Del(name)
	}
}

// homeward changes the response. If its body cannot be read, the client gets a problem instead. If the response is
// already an error, the client gets only its status: never the original body.
func (p *passage) homeward(res *http.Response) (*http.Response, error) {
	s := &p.response
	p.in.Response = res
	if res.StatusCode < http.StatusOK {
		return res, nil // from here on another protocol is spoken
	}
	if s.when != nil {
		holds, err := s.when.Bool(&p.in)
		if err != nil {
			return nil, s.unmade("when", err)
		}
		if !holds {
			return p.finish(res), nil
		}
	}
	if !s.reads && !s.writes {
		return p.changeHead(res)
	}
	from, text, came, err := p.readResponse(res)
	if err != nil {
		if _, other := errors.AsType[*formError](err); other && res.StatusCode >= http.StatusBadRequest {
			return p.emptied(res), nil
		}
		return nil, unreadable(err)
	}
	return p.answer(res, from, text, came)
}

// readResponse reads the body, if anything needs it.
func (p *passage) readResponse(res *http.Response) (from *codec, text []byte, came jsonx.Value, err error) {
	s := &p.response
	if !s.reads || res.Body == nil || res.Body == http.NoBody || bodiless(res.StatusCode) || res.ContentLength == 0 {
		return nil, nil, jsonx.Value{}, nil
	}
	head := exchange.ResponseHead(res)
	if from = s.reader(head); from == nil {
		return nil, nil, jsonx.Value{}, &formError{fmt.Errorf("its body is %q, and %s is read", head.Get("Content-Type"), names(s.from))}
	}
	if res.StatusCode == http.StatusPartialContent {
		return nil, nil, jsonx.Value{}, &formError{errors.New("it is a part, and nobody has asked for one")}
	}
	text, err = s.readPlain(head, res)
	coding, _ := errors.AsType[*exchange.CodingError](err)
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return nil, nil, jsonx.Value{}, &formError{fmt.Errorf("its body has more than max_body, %d bytes", s.maxBody)}
	case coding != nil, errors.Is(err, exchange.ErrCoding):
		return nil, nil, jsonx.Value{}, &formError{fmt.Errorf("its body cannot be read: %w", err)}
	case err != nil:
		return nil, nil, jsonx.Value{}, fmt.Errorf("read the response's body: %w", err)
	case len(text) == 0:
		return nil, nil, jsonx.Value{}, nil
	}
	if came, err = s.decode(from, text, head); err != nil {
		if soap, ok := errors.AsType[*media.FaultError](err); ok {
			return nil, nil, jsonx.Value{}, fault.BackendFault.New("", fault.Cause(soap))
		}
		return nil, nil, jsonx.Value{}, &formError{fmt.Errorf("its body cannot be read as %s: %w", from.name, err)}
	}
	p.responseBody = came
	return from, text, came, nil
}

// readPlain reads a response's body without its content coding.
func (s *response) readPlain(head exchange.Head, res *http.Response) ([]byte, error) {
	body, length, err := exchange.Decoded(head, res.Body, res.ContentLength, s.maxBody)
	if err != nil {
		return nil, err //nolint:wrapcheck // whoever asks knows what it means
	}
	return exchange.ReadWhole(body, length, s.maxBody) //nolint:wrapcheck // as above
}

// answer builds the response to the client.
func (p *passage) answer(res *http.Response, from *codec, text []byte, came jsonx.Value) (*http.Response, error) {
	s := &p.response
	status, err := p.status(res.StatusCode)
	if err != nil {
		return nil, s.unmade("the status", err)
	}
	body, contentType := text, ""
	if s.writes && !bodiless(status) {
		if body, contentType, err = s.encode(came, from, p.write, &p.in); err != nil {
			return nil, s.unmade("the body", err)
		}
	}
	if bodiless(status) {
		body = nil
	}
	change, err := s.headChange(&p.in)
	if err != nil {
		return nil, s.unmade("a field", err)
	}
	_ = res.Body.Close() // it was read, or is not needed
	head := exchange.ResponseHead(res)
	if s.writes || s.reads && exchange.Coded(head) {
		forgetBytes(head)
	}
	if s.writes {
		if contentType != "" {
			head.Set("Content-Type", contentType)
		}
		if len(body) == 0 {
			head.Del("Content-Type")
		}
		exchange.DelFields(exchange.ResponseTrailer(res), everyField)
	}
	if len(s.to) > 1 {
		head.Add("Vary", "Accept")
	}
	p.setHead(head, change)
	p.set(res, status, body)
	return res, nil
}

// changeHead changes a response whose body is not read.
func (p *passage) changeHead(res *http.Response) (*http.Response, error) {
	s := &p.response
	status, err := p.status(res.StatusCode)
	if err != nil {
		return nil, s.unmade("the status", err)
	}
	change, err := s.headChange(&p.in)
	if err != nil {
		return nil, s.unmade("a field", err)
	}
	p.setHead(exchange.ResponseHead(res), change)
	if bodiless(status) || bodiless(res.StatusCode) {
		if status == res.StatusCode {
			return res, nil
		}
		_ = res.Body.Close() // it is not sent on
		forgetBytes(exchange.ResponseHead(res))
		p.set(res, status, nil)
		return res, nil
	}
	setStatus(res, status)
	return res, nil
}

// setHead sets the response's fields and cookies.
func (p *passage) setHead(head exchange.Head, change headChange) {
	if c := p.response.cookies; c != nil {
		c.changeGiven(head, change.cookies, exchange.Of(p.in.Request).Client.Scheme == "https")
	}
	setFields(head, change.fields)
}

// status returns the status for the client.
func (p *passage) status(came int) (int, error) {
	s := &p.response
	if s.program == nil {
		if s.status != 0 {
			return s.status, nil
		}
		return came, nil
	}
	n, err := s.program.Int(&p.in)
	if err == nil && !finalStatus(n) {
		err = fmt.Errorf("the status %d is no final one", n)
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// emptied removes the body of a response.
func (p *passage) emptied(res *http.Response) *http.Response {
	_ = res.Body.Close() // it is not sent on
	head := exchange.ResponseHead(res)
	forgetBytes(head)
	head.Del("Content-Type")
	exchange.DelFields(exchange.ResponseTrailer(res), everyField)
	p.set(res, res.StatusCode, nil)
	return res
}

// set sets a response's status and its body, which is in memory. A response to HEAD has the Content-Length that GET
// would have, and no body (RFC 9110 section 9.3.2).
func (p *passage) set(res *http.Response, status int, body []byte) {
	setStatus(res, status)
	res.Body, res.ContentLength, res.TransferEncoding = again(body), int64(len(body)), nil
	if !bodiless(status) {
		exchange.ResponseHead(res).Set("Content-Length", strconv.Itoa(len(body)))
	}
	if p.head {
		res.Body = http.NoBody
	}
}

func setStatus(res *http.Response, status int) {
	res.StatusCode, res.Status = status, strconv.Itoa(status)+" "+http.StatusText(status)
}

// finish passes a response on unchanged, except that a response to HEAD, which may have been asked for by GET, loses
// its body.
func (p *passage) finish(res *http.Response) *http.Response {
	if p.head && p.response.reads {
		exchange.Discard(res)
		res.Body = http.NoBody
	}
	return res
}

// bodiless holds for statuses whose responses never have content (RFC 9110 section 6.4.1).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}
