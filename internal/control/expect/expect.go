// Package expect runs the tests of a config. The code that serves requests explains each request, and the result is
// compared with what the test expects. Nothing is sent.
//
//   - expect.go: what a test expects and what was found.
//   - record.go: tests of what a config does today.
package expect

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/explain"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// none stands for no route and no backend.
const none = "none"

// Found is what happens to a request.
type Found struct {
	Listener string `json:"listener,omitempty"`
	Route    string `json:"route"` // "none" for none
	// Backends are the backends that may be asked: one, several if chance decides, or none if the gateway answers by
	// itself.
	Backends []string `json:"backends,omitempty"`
	// Status is the status that the gateway answers. A request that is passed on counts as 200, because no backend is
	// asked. It is 0 if chance decides between two answers.
	Status int `json:"status"`
	// Problem is the code of the problem in the answer, "" for none.
	Problem string `json:"problem,omitempty"`
}

// Result is a test with its outcome.
type Result struct {
	Test  config.Test
	Found Found
	// Failures are the expectations that do not hold.
	Failures []string
}

// Run runs tests against the snapshot that would serve.
func Run(s *snapshot.Snapshot, tests []config.Test) []Result {
	results := make([]Result, len(tests))
	for i, t := range tests {
		results[i] = run(s, t)
	}
	return results
}

// Problems returns the failures among results, each at the position of its test.
func Problems(results []Result) []doc.Problem {
	var problems []doc.Problem
	for _, r := range results {
		if len(r.Failures) > 0 {
			problems = append(problems, doc.Problem{
				Pos: r.Test.Origin.Pos, What: fmt.Sprintf("the test %q fails", Name(r.Test)), Why: strings.Join(r.Failures, "; "),
				Fix: "`weir explain` tells why the request goes there",
			})
		}
	}
	return problems
}

// Name is how a test is called in messages: its request.
func Name(t config.Test) string { return t.Request.Method + " " + t.Request.Host + t.Request.Path }

func run(s *snapshot.Snapshot, t config.Test) Result {
	r := Result{Test: t}
	found, err := find(s, t.Request)
	if err != nil {
		r.Failures = []string{err.Error()}
		return r
	}
	r.Found = found
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	if want := t.Request.Listener; want != "" && found.Listener != want {
		fail("it comes in by the listener %q, not by %q, which another host or socket leads to", found.Listener, want)
	}
	if t.Route != "" && found.Route != t.Route {
		fail("the route is %s, not %s", found.Route, t.Route)
	}
	if t.Backend != "" && !slices.Contains(orNone(found.Backends), t.Backend) {
		fail("the backend is %s, not %s", strings.Join(orNone(found.Backends), " or "), t.Backend)
	}
	if t.Status != 0 && found.Status != t.Status {
		fail("the status is %s, not %d", found.status(), t.Status)
	}
	return r
}

func orNone(list []string) []string {
	if len(list) == 0 {
		return []string{none}
	}
	return list
}

// status returns the status in words.
func (f Found) status() string {
	switch {
	case f.Status == 0:
		return "a matter of chance"
	case f.Problem != "":
		return strconv.Itoa(f.Status) + " " + f.Problem
	default:
		return strconv.Itoa(f.Status)
	}
}

// find asks what happens to a request.
func find(s *snapshot.Snapshot, q config.TestRequest) (Found, error) {
	asked, err := question(s, q)
	if err != nil {
		return Found{}, err
	}
	e, err := explain.Run(s, asked)
	if err != nil {
		return Found{}, err
	}
	found := Found{Route: none}
	if e.Listener != nil {
		found.Listener = e.Listener.Name
	}
	if e.Route != nil {
		found.Route = e.Route.Name
	}
	if e.Problem != nil {
		found.Status, found.Problem = e.Problem.Status, e.Problem.Code
		return found, nil
	}
	if e.Preflighted || slices.ContainsFunc(e.Filters, func(f snapshot.FilterStep) bool { return f.Verdict == snapshot.Answers }) {
		found.Status = http.StatusNoContent
		return found, nil
	}
	found.behind(e.Backends)
	return found, nil
}

// behind adds how the backends that may be chosen would answer.
func (f *Found) behind(steps []snapshot.BackendStep) {
	possible := slices.DeleteFunc(slices.Clone(steps), func(b snapshot.BackendStep) bool { return !b.Chosen })
	if len(possible) == 0 { // chance decides among those without a condition
		possible = slices.DeleteFunc(slices.Clone(steps), func(b snapshot.BackendStep) bool { return b.When != "" || b.Weight == 0 })
	}
	for i, b := range possible {
		status := http.StatusOK
		if b.Answer != nil {
			status = b.Answer.Status
			f.Problem = b.Answer.Code
		} else {
			f.Backends = append(f.Backends, b.Name)
		}
		switch {
		case i == 0:
			f.Status = status
		case f.Status != status:
			f.Status = 0
		}
	}
}

// question turns a request into the form that explain reads.
func question(s *snapshot.Snapshot, q config.TestRequest) (explain.Request, error) {
	l, err := listener(s, q.Listener)
	if err != nil {
		return explain.Request{}, err
	}
	host := q.Host
	if host == "" {
		host = "localhost"
		if l.Hostname != "" && !strings.HasPrefix(l.Hostname, "*") {
			host = l.Hostname
		}
	}
	scheme := "http://"
	if l.TLS {
		scheme = "https://"
	}
	asked := explain.Request{Method: q.Method, URL: scheme + host + q.Path, As: q.As, Client: q.Client, Socket: l.Socket}
	for _, h := range q.Headers {
		asked.Headers = append(asked.Headers, h.Name+": "+h.Value)
	}
	if q.Body != "" {
		asked.Headers = append(asked.Headers, "Content-Length: "+strconv.Itoa(len(q.Body)))
	}
	return asked, nil
}

// listener finds the listener that receives a request: by name, otherwise the first one.
func listener(s *snapshot.Snapshot, name string) (*snapshot.Listener, error) {
	for _, l := range s.Listeners {
		if name == "" || l.Name == name {
			return l, nil
		}
	}
	if name == "" {
		return nil, errors.New("there is no listener for HTTP")
	}
	return nil, fmt.Errorf("the listener %q does not speak HTTP", name)
}
