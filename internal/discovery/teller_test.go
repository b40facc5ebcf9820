package discovery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsToldOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		teller := Teller{
			Env: Env{Looked: func(err error) { told = append(told, fmt.Sprint("looked ", err)) }},
			Set: func(list []Endpoint) { told = append(told, fmt.Sprint("set of ", len(list))) },
		}
		says := func(what string, want ...string) {
			t.Helper()
			if !slices.Equal(told, want) {
				t.Errorf("%s: told %q, want %q", what, told, want)
			}
			told = nil
		}
		list := []Endpoint{{Address: "a:1", Weight: 1}}
		teller.Found(list, "key")
		says("the first", "set of 1", "looked <nil>")
		teller.Found(slices.Clone(list), "key")
		says("the same again", "looked <nil>")
		list[0].Weight = 2 // the caller's own
		teller.Found(list, "key")
		says("another weight", "set of 1", "looked <nil>")
		if doubted := teller.Found(nil, "key"); doubted != EmptiedDoubt {
			t.Errorf("doubted for %v", doubted)
		}
		says("none", "looked no key: there is no such name")
		<-time.After(EmptiedDoubt)
		if doubted := teller.Found(nil, "key"); doubted != 0 {
			t.Errorf("doubted for %v more", doubted)
		}
		says("none for long", "set of 0", "looked no key: there is no such name")
		teller.Found(nil, "key")
		says("and none again", "looked no key: there is no such name")
		teller.Looked(errors.New("gone"))
		says("trouble", "looked gone")
		teller.Env.Counts = func(after time.Duration) { told = append(told, fmt.Sprint("counts after ", after)) }
		heard := func(list []Endpoint) {
			teller.Heard = time.Now()
			<-time.After(time.Millisecond)
			teller.Found(list, "key")
		}
		heard(list)
		says("back", "set of 1", "counts after 1ms", "looked <nil>")
		heard(list)
		says("no news", "looked <nil>")
		teller.Found([]Endpoint{{Address: "b:1"}}, "key")
		says("of which nobody knows when it was heard", "set of 1", "looked <nil>")
		silent := Teller{Set: func([]Endpoint) {}}
		silent.Found(nil, "key") // nobody asks how looking goes
	})
}
