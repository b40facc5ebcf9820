package cloud

import (
	"errors"
	"strconv"
	"sync"
	"time"
)

// Retries is a budget of retries: a share of the calls that were served, so that a platform short of capacity does not
// get more requests the less it can serve. It is safe for concurrent use.
type Retries struct {
	mu    sync.Mutex
	saved float64
}

const (
	mostSaved  = 10  // retries at once, after a time without failures
	perServed  = 0.1 // of a retry
	firstSaved = mostSaved
)

// NewRetries returns a full budget.
func NewRetries() *Retries { return &Retries{saved: firstSaved} }

// Spend reports whether one more retry may be made, and takes it from the budget.
func (r *Retries) Spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saved < 1 {
		return false
	}
	r.saved--
	return true
}

// Served adds a fraction of a retry to the budget.
func (r *Retries) Served() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saved = min(r.saved+perServed, mostSaved)
}

// mostSeconds is the longest wait that a platform may ask for.
const mostSeconds = 3600

// Seconds returns the duration of a Retry-After in seconds (RFC 9110 section 10.2.3), at most an hour, or 0 for text
// that is not a number.
func Seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // a number out of range is parsed as the largest one
		return 0
	}
	return time.Duration(min(n, mostSeconds)) * time.Second
}
