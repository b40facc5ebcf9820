package discovery

import (
	"fmt"
	"slices"
	"time"
)

// Teller passes on what a provider finds for one reference: a set if it differs from the previous one, and how looking
// at the source goes. It is for one goroutine.
type Teller struct {
	Env     Env
	Set     func([]Endpoint)
	Emptied Emptied // whether it is believed that there are no endpoints
	// Heard is when the source reported what is passed on before the next Looked; zero: the delay of the change is not
	// measured.
	Heard time.Time

	told   bool // a set was passed on
	latest []Endpoint
}

// Found reports all endpoints that there are, in a stable order. what describes them if there are none; that is doubted
// for a while, and Found is to be called again after the returned time; 0: there is no need. It does not keep list.
func (t *Teller) Found(list []Endpoint, what string) (doubted time.Duration) {
	if len(list) > 0 {
		t.Emptied.Filled()
		t.Pass(list)
		t.Looked(nil)
		return 0
	}
	if doubted = t.Emptied.Doubted(time.Now()); doubted == 0 {
		t.Pass(nil)
	}
	t.Looked(fmt.Errorf("no %s: %w", what, ErrAbsent))
	return doubted
}

// Pass passes on a set, without any doubt, if it differs from the previous one. It does not keep list.
func (t *Teller) Pass(list []Endpoint) {
	if t.told && slices.Equal(t.latest, list) {
		return
	}
	t.told, t.latest = true, slices.Clone(list)
	t.Set(slices.Clone(list))
	if t.Env.Counts != nil && !t.Heard.IsZero() {
		t.Env.Counts(time.Since(t.Heard))
	}
}

// Told tells whether a set was passed on.
func (t *Teller) Told() bool { return t.told }

// Forget makes the next set be passed on whatever it is, because another provider has reported one meanwhile.
func (t *Teller) Forget() { t.told = false }

// Looked reports one look at the source, if the caller is interested.
func (t *Teller) Looked(err error) {
	t.Heard = time.Time{}
	if t.Env.Looked != nil {
		t.Env.Looked(err)
	}
}
