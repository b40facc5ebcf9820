package discovery

import (
	"fmt"
	"slices"
	"time"
)

// Teller passes on what a provider finds of one reference: a set where it is another one than before, and how
// looking goes. It is for one goroutine.
type Teller struct {
	Env     Env
	Set     func([]Endpoint)
	Emptied Emptied // whether it is believed that there are none
	// Heard is when the source told of what is passed on before the next Looked; zero: how soon that counts is told to nobody.
	Heard time.Time

	told   bool // something was
	latest []Endpoint
}

// Found tells of all endpoints that there are, in one order. What names them where there are none; that is doubted for a
// while, and Found is to be called again when the time that it gives is over; 0: there is no need. It does not keep list.
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

// Pass gives a set away, without any doubt, where it is another one than before. It does not keep list.
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

// Forget has the next set be passed on whatever it is: somebody else has told of one meanwhile.
func (t *Teller) Forget() { t.told = false }

// Looked tells of one look at the source, where somebody asks.
func (t *Teller) Looked(err error) {
	t.Heard = time.Time{}
	if t.Env.Looked != nil {
		t.Env.Looked(err)
	}
}
