package http1

import "time"

// readContent passes content whose length is known, straight from the
// connection, and never a byte of what follows.
func (s *Sieve) readContent(p []byte) (int, error) {
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.readPaced(p)
	if s.left -= int64(n); s.left == 0 {
		s.endContent()
		return n, nil
	}
	return n, err
}

func (s *Sieve) endContent() {
	s.phase = between
	s.midway.Store(false)
	s.dropGuard()
}

// readPaced reads content, starting with what is held.
func (s *Sieve) readPaced(p []byte) (int, error) {
	if s.options.BodyRate <= 0 || len(s.held) > 0 {
		return s.readRaw(p)
	}
	return s.await(p)
}

// await reads from the client and enforces BodyRate. Only the time that is spent waiting for the client counts. The
// deadline that is set may be earlier than the one that holds: setting it for each piece would cost more than looking
// again when it fires.
func (s *Sieve) await(p []byte) (int, error) {
	if s.options.BodyRate <= 0 {
		return s.Conn.Read(p)
	}
	begun := time.Now()
	due := begun.Add(s.pace.Left())
	for now := begun; ; {
		s.guardContent(now, due)
		n, err := s.Conn.Read(p)
		now = time.Now()
		if n > 0 || !s.clockRanOut(err, now) {
			s.pace.Waited(now.Sub(begun), int64(n), s.options.BodyRate)
			return n, err
		}
		if !now.Before(due) {
			s.tell(ContentTooSlow)
			return 0, s.fail(ContentTooSlow)
		}
	}
}

// readChunks passes chunks as far as they are valid.
func (s *Sieve) readChunks(p []byte) (int, error) {
	n, err := s.readPaced(p)
	if n == 0 {
		return 0, err
	}
	valid, reason := s.chunks.Scan(p[:n])
	if reason != OK {
		return s.breakOff(valid, reason)
	}
	if !s.chunks.Done() {
		return n, nil
	}
	rest := p[valid:n]
	if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' { // no trailer fields, as nearly always
		valid, rest = valid+2, rest[2:]
		s.endContent()
		s.unread(rest)
		return valid, nil
	}
	s.phase = inTrailer
	s.unread(p[valid-1 : n])
	if valid--; valid == 0 {
		return s.readTrailer(p)
	}
	return valid, nil
}

// breakOff passes the valid bytes before a fault; the next Read returns the fault.
func (s *Sieve) breakOff(valid int, reason Reason) (int, error) {
	err := s.fail(reason)
	if valid > 0 {
		s.broken = err
		return valid, nil
	}
	return 0, err
}

// unread puts b back before what is held.
func (s *Sieve) unread(b []byte) {
	switch {
	case len(b) == 0:
	case len(s.held) == 0:
		s.held = append(s.held[:0], b...)
	default:
		s.held = append(append(make([]byte, 0, len(b)+len(s.held)), b...), s.held...)
	}
}

// readTrailer receives the trailer section until it is whole, and passes it if it is valid. Until then the LF of the
// last chunk is held back too, so that the server has not seen the end of the chunks if the trailer breaks a rule.
func (s *Sieve) readTrailer(p []byte) (int, error) {
	for {
		section := s.held[1:]
		end, reason := trailerEnd(section)
		if reason == OK && end > 0 {
			reason = CheckTrailer(section[:end], s.options.Limits)
		}
		if reason == OK && (end > maxTrailer || end == 0 && len(section) >= maxTrailer) {
			reason = TrailerTooLarge
		}
		if reason != OK {
			return 0, s.fail(reason)
		}
		if end > 0 {
			s.out = s.held[: 1+end : 1+end]
			s.hold(section[end:])
			s.endContent()
			return s.pass(p), nil
		}
		if err := s.receive(); err != nil {
			return 0, err
		}
	}
}
