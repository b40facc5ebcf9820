package health

import (
	"strings"
	"testing"
	"time"
)

// answers are written as a line: + is a good one, - a bad one, and a number of seconds in
// between lets them pass. What comes out is the state after each answer: s, H or u.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct{ answers, states string }{
		"one good answer is enough for who is new":         {"+", "H"},
		"who is new may be bad for a while":                {"- - +", "s s H"},
		"who is new and always bad":                        {"- - - -", "s s u u"},
		"who never served needs one good answer later too": {"- - - - +", "s s u u H"},
		"two bad answers change nothing":                   {"+ - - + - - +", "H H H H H H H"},
		"three do":                                         {"+ - - -", "H H H u"},
		"and two good ones bring it back":                  {"+ - - - + +", "H H H u u H"},
		"a bad one in between begins anew":                 {"+ - - - + - + +", "H H H u u u u H"},
		"who falls again soon must be good for longer":     {"+ - - - + + - - - + + 4 + 2 +", "H H H u u H H H u u u u H"},
		"and then for twice as long":                       {"+ - - - + + - - - + + 6 + - - - + + 6 + 5 +", "H H H u u H H H u u u H H H u u u u H"},
		"what is long ago is forgotten":                    {"+ - - - + + 301 - - - + +", "H H H u u H H H u u H"},
	} {
		j := judge{rise: 2, fall: 3, every: 5 * time.Second}
		now := time.Unix(0, 0)
		var states []string
		for word := range strings.FieldsSeq(c.answers) {
			if word != "+" && word != "-" {
				wait, err := time.ParseDuration(word + "s")
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(wait)
				continue
			}
			before := j.state
			if changed := j.hear(word == "+", now); changed != (j.state != before) {
				t.Errorf("%s: %s: changed is %v from %s to %s", name, word, changed, before, j.state)
			}
			states = append(states, map[State]string{Starting: "s", Healthy: "H", Unhealthy: "u"}[j.state])
		}
		if got := strings.Join(states, " "); got != c.states {
			t.Errorf("%s: %s\ngot  %s\nwant %s", name, c.answers, got, c.states)
		}
	}
}

func TestPauses(t *testing.T) {
	begin := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		judge judge
		want  time.Duration
	}{
		"nothing was heard":                 {judge{}, fast},
		"it is healthy":                     {judge{state: Healthy, served: true}, 5 * time.Second},
		"it was healthy and answered badly": {judge{state: Healthy, served: true, streak: 1}, fast},
		"it is unhealthy":                   {judge{state: Unhealthy, served: true}, 5 * time.Second},
		"somebody doubts":                   {judge{state: Healthy, served: true, doubts: 1}, fast},
		"it gets better":                    {judge{state: Unhealthy, served: true, streak: 1}, fast},
		"it must prove itself for longer":   {judge{state: Unhealthy, served: true, streak: 2}, 5 * time.Second},
		"it never served, and is new":       {judge{state: Unhealthy, since: begin}, fast},
		"it never served, for long":         {judge{state: Unhealthy, since: begin.Add(-startup)}, 5 * time.Second},
	} {
		c.judge.rise, c.judge.fall, c.judge.every = 2, 3, 5*time.Second
		if got := c.judge.pause(begin); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		c.judge.every = 100 * time.Millisecond
		if got := c.judge.pause(begin); got != c.judge.every {
			t.Errorf("%s: in doubt it is asked less often (%s) than every %s", name, got, c.judge.every)
		}
	}
}

func TestProofHasAnEnd(t *testing.T) {
	for falls, want := range map[int]time.Duration{0: 0, 1: 0, 2: 5 * time.Second, 3: 10 * time.Second, 8: longestProof, 1000: longestProof} {
		if got := (&judge{every: 5 * time.Second, falls: falls}).proof(); got != want {
			t.Errorf("%d falls: %s, want %s", falls, got, want)
		}
	}
}

func TestADoubtEndsWithAsManyGoodAnswersAsMakeHealthy(t *testing.T) {
	for answers, want := range map[string]string{"++": " over", "+": "", "+-+": "", "+-++": " over", "---++": " over", "++++": " over"} {
		j := judge{rise: 2, fall: 9, state: Healthy, served: true}
		j.doubt()
		got := ""
		for i, a := range answers {
			if now := time.Unix(int64(i), 0); j.hear(a == '+', now) {
				got += " over"
				if !j.assured.Equal(now) {
					t.Errorf("%s: over at %s", answers, j.assured)
				}
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", answers, got, want)
		}
	}
}
