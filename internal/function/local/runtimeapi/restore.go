package runtimeapi

import (
	"cmp"
	"net/http"
	"time"
)

// SnapStart. No snapshot is made of an instance here. An instance that asks to be restored is told at once that it was.
// So the hooks that a function registers for before and after are called if AWS_LAMBDA_INITIALIZATION_TYPE is
// snap-start.
//
// https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html

// restore answers the call that an instance makes when it is initialised. AWS answers it once for each instance that is
// made from its snapshot.
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

// restoreFailure receives the reason why the instance cannot be used after it was restored. The instance ends by
// itself.
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
