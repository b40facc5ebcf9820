package exchange

import (
	"crypto/tls"
	"net"
)

// BreakOff closes a connection so that the other end cannot mistake this for a regular end. A TCP connection is reset
// (RFC 9293 section 3.10.5), and TLS sends no close_notify. Data that has not been sent yet is lost. A type that wraps
// a connection exposes it by NetConn.
func BreakOff(conn net.Conn) error {
	closes := conn
	for at := conn; at != nil; {
		if tcp, ok := at.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the connection is closed in any case
			break
		}
		above, ok := at.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below := above.NetConn()
		if _, secured := at.(*tls.Conn); secured {
			closes = below
		}
		at = below
	}
	return closes.Close()
}
