package runtimeapi

import (
	"cmp"
	"net/http"
	"time"
)

// What belongs to SnapStart. No snapshot is made of an instance here: one that asks to
// be restored is told that it was, at once, so that what a function registers for before
// and after is called where AWS_LAMBDA_INITIALIZATION_TYPE is snap-start.
//
// https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html

// restore answers the question that an instance asks when it is initialised, and that
// AWS answers once for each that is made of its snapshot.
func (s *Server) restore(c *call) {
	s.mu.Lock()
	late := s.isReady || !s.restored.IsZero()
	if !late {
		s.restored = time.Now()
	}
	s.mu.Unlock()
	if late {
		c.refuse(http.StatusForbidden, "InvalidStateTransition", "the function is not about to be restored")
		return
	}
	s.feed.Initialised("")
	s.feed.Restoring()
	c.write(http.StatusOK, nil, "Content-Type: application/json")
}

// restoreFailure takes the reason why the instance is of no use after it was restored; it
// ends by itself.
func (s *Server) restoreFailure(c *call) {
	said := c.readError()
	s.mu.Lock()
	begun, ok := s.restored, !s.isReady && !s.restored.IsZero()
	if ok {
		s.initError = said
	}
	s.mu.Unlock()
	if !ok {
		c.refuse(http.StatusForbidden, "InvalidStateTransition", "the function is not being restored")
		return
	}
	s.feed.Restored(cmp.Or(said.Type, "Runtime.Unknown"), time.Since(begun))
	c.accept()
}
