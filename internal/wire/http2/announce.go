package http2

import "encoding/binary"

// noStream is the largest possible stream identifier: all streams that the client opens before it has read the GOAWAY
// are still served.
const noStream = 1<<31 - 1

// Announce tells the client that the connection will end, by a GOAWAY that covers every stream (RFC 9113 section 6.8).
// The client makes its next requests on another connection, and no request that is on its way is lost. The server goes
// on as before, and sends a second GOAWAY in its own time. Announce may be called by any goroutine, and more than once.
func (m *Meter) Announce() {
	m.farewell.Store(true)
	if m.writing.TryLock() { // otherwise the goroutine that writes does it
		m.announceOnce()
		m.writing.Unlock()
	}
}

// announceOnce is called with writing locked.
func (m *Meter) announceOnce() {
	if !m.farewell.Load() || m.announced || m.mute || m.torn || !m.mayAnnounce() {
		return
	}
	m.announced = true
	frame := make([]byte, headBytes+leadBytes)
	frame[2], frame[3] = leadBytes, byte(GoAway)
	binary.BigEndian.PutUint32(frame[headBytes:], noStream)
	if _, err := m.Conn.Write(frame); err != nil {
		m.torn = true
	}
}

// mayAnnounce reports whether the server has sent its first frame and is between frames, but not within a header block,
// which must not be interrupted (RFC 9113 section 4.3).
func (m *Meter) mayAnnounce() bool {
	last := m.out.Frame()
	block := (last.Type == Headers || last.Type == Continuation) && !last.Flags.Has(EndHeaders)
	return m.spoke && m.out.Between() && !block
}
