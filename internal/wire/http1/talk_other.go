//go:build !unix

package http1

import "net"

// talk is a stub: on this system nothing is sent and received within one use of a socket.
type talk struct{ socket Socket }

func newTalk(net.Conn) talk { return talk{} }

func (*talk) isPossible() bool { return false }

func (*talk) post(_, _ []byte, _ bool) (quiet bool, wrote, came int, err error) {
	return true, 0, 0, nil
}

func (*talk) wasRecalled() bool { return false }

func (*talk) run(_, _ []byte) (quiet bool, wrote, came int, err error) { return true, 0, 0, nil }
