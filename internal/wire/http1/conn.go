package http1

import "io"

// Close closes the connection. After a refusal, and in the middle of content, it
// first ends the sending side and reads on for a moment, so that the client sees
// the answer. A connection that rests is handed to Options.Rest instead.
func (s *Sieve) Close() error {
	if s.resting.CompareAndSwap(true, false) {
		s.beginRest()
		s.options.Rest(s)
		return nil
	}
	if s.fault.Load() != nil || s.midway.Load() {
		Linger(s.Conn)
	}
	return s.Conn.Close()
}

// CloseWrite ends the sending side only.
func (s *Sieve) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Conn.Close()
}

// ReadFrom lets responses use the connection's own fast path (sendfile, splice).
func (s *Sieve) ReadFrom(r io.Reader) (int64, error) {
	if fast, ok := s.Conn.(io.ReaderFrom); ok {
		return fast.ReadFrom(r)
	}
	return io.Copy(onlyWriter{s.Conn}, r)
}

type onlyWriter struct{ io.Writer }
