package listen

import (
	"crypto/tls"
	"runtime"
)

// slots bound how many handshakes compute at the same time. Without them, a flood of clients that start TLS would leave
// the processors no time for anything else: each handshake costs a millisecond, and Go's scheduler runs all goroutines
// in turn. A handshake that waits for its client holds no slot.
type slots chan struct{}

func newSlots() slots { return make(slots, runtime.GOMAXPROCS(0)) }

func (s slots) take()    { s <- struct{}{} }
func (s slots) release() { <-s }

// receive reads from the client. During a TLS handshake, the reader computes whenever it does not read, and so gives up
// its slot while it reads.
func (c *conn) receive(p []byte) (int, error) {
	if c.computing == nil {
		return c.await(p)
	}
	c.computing.release()
	n, err := c.await(p)
	c.computing.take()
	return n, err
}

func (c *conn) await(p []byte) (int, error) {
	if c.socket.Exists() {
		return c.socket.Read(p)
	}
	return c.Conn.Read(p)
}

// compute runs the handshake of c, whose reader it is.
func (c *conn) compute(s slots, handshake func() error) error {
	s.take()
	c.computing = s
	defer func() {
		c.computing = nil
		s.release()
	}()
	return handshake()
}

// mayBeHTTP2 reports whether a connection that agreed on h2 has a cipher that HTTP/2 may be spoken with: of TLS 1.2,
// RFC 9113 section 9.2.2 allows those that have forward secrecy and authenticate what they encrypt.
func mayBeHTTP2(state *tls.ConnectionState) bool {
	if state.Version >= tls.VersionTLS13 {
		return true
	}
	switch state.CipherSuite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return state.Version == tls.VersionTLS12
	default:
		return false
	}
}
