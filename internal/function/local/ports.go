package local

import (
	"context"
	"fmt"
	"net"
	"sync"
)

const loopback = "127.0.0.1"

// ports gives each instance a port of its own. The system may hand out a port again as long as nothing listens on it,
// and then the requests of one function would reach an instance of another. It is safe for concurrent use.
type ports struct {
	mu    sync.Mutex
	given map[string]bool // by address
}

// take returns a free address on the loopback interface that no other instance was given. It cannot be kept free until
// the instance listens. If another program takes it, the instance fails to start and another one is started on another
// port (see version.begin).
func (p *ports) take() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		address, err := freeAddress()
		if err != nil {
			return "", fmt.Errorf("a port for the function: %w", err)
		}
		if !p.given[address] {
			p.given[address] = true
			return address, nil
		}
	}
}

func (p *ports) release(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.given, address)
}

func freeAddress() (string, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", err //nolint:wrapcheck // take says what it was for
	}
	return listener.Addr().String(), listener.Close() //nolint:wrapcheck // take says what it was for
}
