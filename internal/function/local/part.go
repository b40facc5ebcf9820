package local

import (
	"fmt"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// part is one function of an app's backend.
type part struct {
	backend *backend
	name    string
}

// Part returns the function of that name, for routes that name it.
func (b *backend) Part(name string) (http.RoundTripper, error) {
	if err := checkPart(b.program, name); err != nil {
		return nil, err
	}
	return &part{b, name}, nil
}

// checkPart checks whether a program has a function of that name.
func checkPart(p program.Program, name string) error {
	if p.App == nil {
		return fmt.Errorf("it is one function (contract %s), and only an Azure Functions app has functions to choose from", p.Contract)
	}
	_, err := p.App.Find(name)
	return err //nolint:wrapcheck // it names the function
}

// RoundTrip answers r with that function.
func (p *part) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.backend.answer(r, func(b *backend, r *http.Request) (*http.Response, error) {
		handler, ok := b.contract.(*customHandler)
		if !ok { // Part has checked this
			return nil, fault.Unexpected.New("", fault.Internal("%s is no app", b.name))
		}
		return handler.callNamed(b, r, p.name)
	})
}
