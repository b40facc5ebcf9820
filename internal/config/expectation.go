package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// testForm is one of `tests`.
type testForm struct {
	Request requestForm `doc:"request,required" help:"the request to test" example:"GET shop.dev/orders/1"`
	Route   string      `doc:"route" help:"the route that must match, or none" example:"GET /orders/{id}"`
	Backend string      `doc:"backend" help:"the backend that must be selected, or none" example:"fn:orders"`
	Status  int         `doc:"status" help:"the status that the gateway must answer; 200 if it forwards the request" example:"200"`
	Group   string      `doc:"group" help:"the group that the test belongs to" example:"shop"`
	At      doc.Pos     `doc:"-,pos"`
}

// requestForm is `METHOD [host]/path`, or that with more.
type requestForm struct{ TestRequest }

type longRequestForm struct {
	Line     *doc.Node  `doc:"line,required" help:"METHOD [host]/path[?query]" example:"GET shop.dev/orders/1?full=1"`
	Listener string     `doc:"listener" help:"the listener that receives the request; the first by default"`
	As       string     `doc:"as" help:"the caller: a subject, or a JSON object of claims" example:"ada"`
	Client   string     `doc:"client" help:"the client's IP address" example:"192.0.2.1"`
	Headers  fieldsForm `doc:"headers" help:"header fields"`
	Body     string     `doc:"body,empty" help:"the body"`
}

func (f *requestForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var form longRequestForm
	if n.Kind == doc.Scalar {
		form.Line = n
	} else {
		doc.Decode(n, &form, ps)
	}
	f.TestRequest = TestRequest{Listener: form.Listener, As: form.As, Client: form.Client, Headers: form.Headers, Body: form.Body}
	if form.Line == nil || form.Line.Kind == 0 {
		return
	}
	method, target, ok := strings.Cut(form.Line.Value, " ")
	slash := strings.IndexByte(target, '/')
	if !ok || slash < 0 || !isMethod(method) || strings.Contains(target, " ") {
		ps.Add(doc.Problem{Pos: form.Line.Pos, What: fmt.Sprintf("%q is not a request", form.Line.Value), Why: "it is one method, a host if one is needed, and a path", Fix: "for example `request: GET shop.dev/orders/1`"})
		return
	}
	if strings.ContainsAny(target, "{}") {
		ps.Add(doc.Problem{Pos: form.Line.Pos, What: "the request has a parameter in it", Why: "a test asks for one path, not for a pattern", Fix: "write a value in its place"})
	}
	f.Method, f.Host, f.Path = method, target[:slash], target[slash:]
}

// test lowers one test in a section of group.
func (l *loader) test(t testForm, group string) {
	if t.Group != "" && t.Group != group {
		if group != "" || l.teams[t.Group] == nil {
			l.ps.Add(l.unknownGroup(t.At, t.Group))
			return
		}
		group = t.Group
	}
	l.cfg.Tests = append(l.cfg.Tests, Test{
		Request: t.Request.TestRequest, Route: t.Route, Backend: t.Backend, Status: t.Status,
		Group: group, Origin: Origin{Pos: t.At},
	})
}

// nameTests completes the route names in tests of a group, which name routes by their keys.
func (l *loader) nameTests() {
	names := map[string]bool{}
	for _, r := range slices.Concat(l.cfg.Routes, l.rough) {
		names[r.Name] = true
	}
	for i := range l.cfg.Tests {
		t := &l.cfg.Tests[i]
		if whole := t.Group + ": " + t.Route; names[whole] {
			t.Route = whole
		}
	}
}
