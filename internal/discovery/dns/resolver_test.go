package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// zone answers in place of servers, and writes down what was asked.
type zone struct {
	mu      sync.Mutex
	answers map[string]any // "A users.": a reply, an error, or func(ctx) (reply, error); others are absent
	asked   []string       // "A users. at 10.0.0.1:53"
}

func (z *zone) exchange(ctx context.Context, server string, q question, _ bool) (reply, error) {
	key := q.kind.String() + " " + q.name
	z.mu.Lock()
	z.asked = append(z.asked, key+" at "+server)
	answer := z.answers[key]
	if at, ok := z.answers[key+" at "+server]; ok {
		answer = at
	}
	z.mu.Unlock()
	switch answer := answer.(type) {
	case reply:
		return answer, nil
	case error:
		return reply{}, answer
	case func(context.Context) (reply, error):
		return answer(ctx)
	default:
		return reply{}, nil
	}
}

// will changes an answer.
func (z *zone) will(key string, answer any) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.answers == nil {
		z.answers = map[string]any{}
	}
	z.answers[key] = answer
}

// take gives what was asked since the last call.
func (z *zone) take() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked := z.asked
	z.asked = nil
	return asked
}

func addrs(ttl time.Duration, texts ...string) reply {
	r := reply{ttl: ttl}
	for _, text := range texts {
		r.addrs = append(r.addrs, netip.MustParseAddr(text))
	}
	return r
}

// silent is a server that does not answer.
func silent(ctx context.Context) (reply, error) {
	<-ctx.Done()
	return reply{}, context.Cause(ctx)
}

// wait lets the clock of a bubble go on.
func wait(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // it waits for nothing: the clock is the bubble's

func servfail() error { return &refusalError{"the answer is SERVFAIL"} }

func testResolver(z *zone, s settings) *resolver {
	if s.timeout == 0 {
		s.timeout = 2 * time.Second
	}
	if s.families == nil {
		s.families = []kind{kindA, kindAAAA}
	}
	if s.servers == nil {
		s.servers = []string{"a:53"}
	}
	return newResolver(newRules(nil), func() settings { return s }, z.exchange)
}

func TestOneQuestionForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.will("A users.", func(ctx context.Context) (reply, error) {
			select {
			case <-time.After(time.Second):
				return addrs(10*time.Second, "10.0.0.1"), nil
			case <-ctx.Done():
				return reply{}, ctx.Err()
			}
		})
		r := testResolver(z, settings{})
		q := question{"users.", kindA}
		all := func() {
			var waiting sync.WaitGroup
			for i := range 50 {
				waiting.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					if i%2 == 0 { // these leave early, which is nobody else's loss
						time.AfterFunc(time.Millisecond, cancel)
					}
					got, err := r.ask(ctx, q)
					if left := errors.Is(err, context.Canceled); left != (i%2 == 0) || !left && got.String() != "10.0.0.1" {
						t.Errorf("%d: got %s, %v", i, got, err)
					}
					cancel()
				})
			}
			waiting.Wait()
		}
		all()
		if got := z.take(); len(got) != 1 {
			t.Errorf("asked were %q", got)
		}
		wait(9 * time.Second)
		if got, err := r.ask(t.Context(), q); err != nil || got.String() != "10.0.0.1" || len(z.take()) != 0 {
			t.Errorf("the answer was good for 10s: %s, %v", got, err)
		}
		wait(time.Second)
		if _, err := r.ask(t.Context(), q); err != nil || len(z.take()) != 1 {
			t.Errorf("an answer that is over was given: %v", err)
		}
	})
}

// When the last one leaves, the question ends with it.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.will("A users.", silent)
		r := testResolver(z, settings{timeout: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := r.ask(ctx, question{"users.", kindA}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		z.will("A users.", addrs(time.Minute, "10.0.0.1"))
		if got, err := r.ask(t.Context(), question{"users.", kindA}); err != nil || got.String() != "10.0.0.1" {
			t.Errorf("the next one: %s, %v", got, err)
		}
	}) // which fails where a goroutine is left
}

func TestServersOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		r := testResolver(z, settings{servers: []string{"a:53", "b:53", "c:53"}, attempts: 2})
		ask := func(name string) (string, string) {
			got, err := r.ask(t.Context(), question{name, kindA})
			text := got.String()
			if err != nil {
				text = err.Error()
			}
			var servers []string
			for _, asked := range z.take() {
				servers = append(servers, asked[len(asked)-4:])
			}
			return text, strings.Join(servers, "")
		}
		z.will("A one.", addrs(0, "10.0.0.1"))
		if got, by := ask("one."); got != "10.0.0.1" || by != "a:53" {
			t.Errorf("got %s by %s", got, by)
		}
		z.will("A two. at a:53", silent)
		z.will("A two. at b:53", servfail())
		z.will("A two. at c:53", addrs(time.Minute, "10.0.0.2"))
		start := time.Now()
		if got, by := ask("two."); got != "10.0.0.2" || by != "a:53b:53c:53" || time.Since(start) != 2*time.Second {
			t.Errorf("got %s by %s after %s", got, by, time.Since(start))
		}
		z.will("A three.", addrs(0, "10.0.0.3"))
		if got, by := ask("three."); got != "10.0.0.3" || by != "b:53" {
			t.Errorf("while a does not answer: got %s by %s", got, by)
		}
		wait(restOfServer)
		if got, by := ask("three."); got != "10.0.0.3" || by != "a:53" {
			t.Errorf("later: got %s by %s", got, by)
		}
		z.will("A four.", servfail())
		if got, by := ask("four."); !strings.Contains(got, "A four. at c:53: the answer is SERVFAIL") || by != "a:53b:53c:53" {
			t.Errorf("all say that they cannot tell: got %s by %s", got, by)
		}
		z.will("A five.", silent)
		if got, by := ask("five."); !strings.Contains(got, errSilent.Error()) || by != "a:53b:53c:53a:53b:53c:53" {
			t.Errorf("nobody answers: got %s by %s", got, by)
		}
	})
}

func TestServersTakeTurns(t *testing.T) {
	z := &zone{}
	r := testResolver(z, settings{servers: []string{"a:53", "b:53"}, rotate: true})
	for i := range 4 {
		if _, err := r.ask(t.Context(), question{fmt.Sprintf("u%d.", i), kindA}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(z.take(), ", "); got != "A u0. at b:53, A u1. at a:53, A u2. at b:53, A u3. at a:53" {
		t.Errorf("got %s", got)
	}
}

func TestQuestionsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		r := testResolver(z, settings{})
		var all sync.WaitGroup
		for i := range 3 * mostQuestions {
			name := fmt.Sprintf("u%d.", i)
			z.will("A "+name, func(context.Context) (reply, error) { wait(time.Second); return reply{}, nil })
			all.Go(func() { _, _ = r.ask(t.Context(), question{name, kindA}) })
		}
		synctest.Wait()
		if got := len(z.take()); got != mostQuestions {
			t.Errorf("%d questions at once", got)
		}
		all.Wait()
		if got := len(z.take()); got != 2*mostQuestions {
			t.Errorf("%d after that", got)
		}
	})
}

// Names that nobody answers for keep no other waiting, and put no server to rest that
// answers for others.
func TestSilentNamesKeepNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		r := testResolver(z, settings{servers: []string{"a:53", "b:53"}, attempts: 2})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		look := func(want string) {
			z.will("A healthy.", addrs(time.Second, want))
			start := time.Now()
			got, err := r.addresses(ctx, "healthy.", "")
			if took := time.Since(start); err != nil || fmt.Sprint(got.addrs) != "["+want+"]" || took > 0 {
				t.Errorf("got %s, %v after %s, want %s", got.addrs, err, took, want)
			}
			wait(time.Second)
		}
		look("10.0.0.1")
		for i := range 400 {
			name := fmt.Sprintf("dead%d.", i)
			z.will("A "+name, silent)
			z.will("AAAA "+name, silent)
			all.Go(func() {
				for ctx.Err() == nil {
					_, _ = r.addresses(ctx, name, "")
					wait(longestPause)
				}
			})
		}
		for i := range 120 {
			look(fmt.Sprintf("10.0.1.%d", i))
		}
		r.mu.Lock()
		if r.rests["a:53"].After(time.Now()) {
			t.Error("the server that answers rests")
		}
		r.mu.Unlock()
		cancel()
		all.Wait()
	})
}

// One answer that was lost does not put a name behind those that nobody answers for, and an
// answer puts it before them again.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		r := testResolver(z, settings{})
		q := question{"users.", kindA}
		for i, step := range []struct {
			answer any
			want   lane
		}{
			{addrs(time.Second, "10.0.0.1"), laneAnswered},
			{silent, laneUnsure},
			{silent, laneSilent},
			{silent, laneSilent},
			{servfail(), laneAnswered},
			{silent, laneUnsure},
			{reply{}, laneAnswered},
		} {
			z.will("A users.", step.answer)
			_, _ = r.ask(t.Context(), q)
			if got := r.laneOf(q); got != step.want {
				t.Errorf("%d: lane %d, want %d", i, got, step.want)
			}
			wait(2 * longestAbsence)
		}
		wait(memory)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fare(question{"others.", kindA}, laneAnswered, time.Now()); len(r.fared) != 1 {
			t.Errorf("remembered are %v", r.fared)
		}
	})
}

func TestHowLongAnswersAreKept(t *testing.T) {
	for _, c := range []struct {
		own  *config.Resolver
		got  reply
		want time.Duration
	}{
		{nil, addrs(30*time.Second, "10.0.0.1"), 30 * time.Second},
		{nil, addrs(0, "10.0.0.1"), config.DefaultMinTTL},
		{nil, addrs(24*time.Hour, "10.0.0.1"), config.DefaultMaxTTL},
		{nil, reply{ttl: time.Hour}, longestAbsence},
		{nil, reply{}, config.DefaultMinTTL},
		{&config.Resolver{MinTTL: time.Minute}, addrs(0, "10.0.0.1"), time.Minute},
		{&config.Resolver{MinTTL: time.Hour}, addrs(0, "10.0.0.1"), time.Hour},
		{&config.Resolver{MinTTL: time.Hour}, reply{}, longestAbsence},
		{&config.Resolver{MaxTTL: 10 * time.Second}, addrs(time.Hour, "10.0.0.1"), 10 * time.Second},
	} {
		if got := newRules(c.own).keep(c.got); got != c.want {
			t.Errorf("%+v, %s of %s: got %s, want %s", c.own, c.got, c.got.ttl, got, c.want)
		}
	}
}

func TestNamesAreLookedForAsOtherProgramsDo(t *testing.T) {
	kubernetes := settings{search: []string{"shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local."}, ndots: 5}
	for _, c := range []struct {
		s    settings
		name string
		want string
	}{
		{settings{ndots: 1}, "users", "users."},
		{settings{ndots: 1, search: []string{"internal."}}, "users", "users.internal. users."},
		{settings{ndots: 1, search: []string{"internal."}}, "Users.shop", "users.shop. users.shop.internal."},
		{settings{ndots: 1, search: []string{"internal."}}, "users.", "users."},
		{settings{ndots: 0, search: []string{"internal."}}, "users", "users. users.internal."},
		{kubernetes, "users", "users.shop.svc.cluster.local. users.svc.cluster.local. users.cluster.local. users."},
		{kubernetes, "users.other", "users.other.shop.svc.cluster.local. users.other.svc.cluster.local. users.other.cluster.local. users.other."},
		{kubernetes, "a.b.c.d.e.f", "a.b.c.d.e.f. a.b.c.d.e.f.shop.svc.cluster.local. a.b.c.d.e.f.svc.cluster.local. a.b.c.d.e.f.cluster.local."},
		{settings{ndots: 1, search: []string{"internal."}}, strings.Repeat("a.", 124) + "com", strings.Repeat("a.", 124) + "com."},
	} {
		if got := strings.Join(c.s.candidates(c.name), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLooking(t *testing.T) {
	conf := settings{ndots: 5, search: []string{"svc.", "corp."}, hosts: readHosts([]byte("10.9.9.9 written\nfd00::9 written\n"))}
	for name, c := range map[string]struct {
		answers map[string]any
		name    string
		last    string
		want    string // the name and the addresses, or the error
	}{
		"the first domain":                   {map[string]any{"A users.svc.": addrs(9, "10.0.0.1"), "A users.": addrs(9, "6.6.6.6")}, "users", "", "users.svc. 10.0.0.1"},
		"none of the domains":                {map[string]any{"A users.": addrs(9, "10.0.0.1")}, "users", "", "users. 10.0.0.1"},
		"both families":                      {map[string]any{"A users.svc.": addrs(9, "10.0.0.1"), "AAAA users.svc.": addrs(9, "fd00::1")}, "users", "", "users.svc. 10.0.0.1 fd00::1"},
		"one family, in its domain":          {map[string]any{"AAAA users.svc.": addrs(9, "fd00::1"), "A users.": addrs(9, "6.6.6.6")}, "users", "", "users.svc. fd00::1"},
		"nowhere":                            {nil, "users", "", "absent"},
		"a domain that fails is passed over": {map[string]any{"A users.svc.": servfail(), "AAAA users.svc.": servfail(), "A users.": addrs(9, "10.0.0.1")}, "users", "", "users. 10.0.0.1"},
		"but not where it was found":         {map[string]any{"A users.svc.": servfail(), "AAAA users.svc.": servfail(), "A users.": addrs(9, "6.6.6.6")}, "users", "users.svc.", "SERVFAIL"},
		"nobody can tell":                    {map[string]any{"A users.svc.": servfail()}, "users", "", "SERVFAIL"},
		"one family fails":                   {map[string]any{"A users.svc.": addrs(9, "10.0.0.1"), "AAAA users.svc.": servfail()}, "users", "", "users.svc. 10.0.0.1 without AAAA"},
		"one family is silent":               {map[string]any{"A users.svc.": silent, "AAAA users.svc.": addrs(9, "fd00::1")}, "users", "", "users.svc. fd00::1 without A"},
		"one is absent, one fails":           {map[string]any{"AAAA users.svc.": servfail()}, "users", "users.svc.", "SERVFAIL"},
		"an alias that leads on":             {map[string]any{"A users.svc.": reply{alias: "b.", ttl: 9}, "A b.": addrs(9, "10.0.0.1")}, "users", "", "users.svc. 10.0.0.1"},
		"an alias that leads back":           {map[string]any{"A users.svc.": reply{alias: "b."}, "A b.": reply{alias: "users.svc."}}, "users", "", errRound.Error()},
		"an alias that leads nowhere":        {map[string]any{"A users.svc.": reply{alias: "b."}}, "users", "", "absent"},
		"of /etc/hosts":                      {map[string]any{"A written.svc.": addrs(9, "6.6.6.6")}, "written", "", " 10.9.9.9 fd00::9"},
		"localhost":                          {map[string]any{"A localhost.svc.": addrs(9, "6.6.6.6")}, "LOCALHOST", "", " 127.0.0.1 ::1"},
		"below localhost":                    {map[string]any{"A a.localhost.svc.": addrs(9, "6.6.6.6")}, "a.localhost.", "", " 127.0.0.1 ::1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := &zone{answers: c.answers}
				start := time.Now()
				got, err := testResolver(z, conf).addresses(t.Context(), c.name, c.last)
				slices.SortFunc(got.addrs, netip.Addr.Compare)
				text := strings.TrimSuffix(got.name+" "+strings.Trim(fmt.Sprint(got.addrs), "[]"), " ")
				for _, k := range got.unseen {
					text += " without " + k.String()
				}
				switch {
				case err != nil:
					text = err.Error()
				case got.absent:
					text = "absent"
				}
				if text != c.want && (err == nil || !strings.Contains(text, c.want)) {
					t.Errorf("got %q, want %q", text, c.want)
				}
				if took := time.Since(start); took > patience {
					t.Errorf("it took %s", took)
				}
				if asked := strings.Join(z.take(), " "); strings.Contains(asked, "localhost") || strings.Contains(asked, "written") {
					t.Errorf("asked were %s", asked)
				}
			})
		})
	}
}

func TestFamiliesThatAreWanted(t *testing.T) {
	z := &zone{answers: map[string]any{"A users.": addrs(9, "10.0.0.1"), "AAAA users.": addrs(9, "fd00::1")}}
	got, err := testResolver(z, settings{families: []kind{kindA}}).addresses(t.Context(), "users", "")
	if err != nil || len(got.addrs) != 1 || len(z.take()) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = testResolver(z, settings{singly: true}).addresses(t.Context(), "users", "")
	if asked := strings.Join(z.take(), ", "); err != nil || len(got.addrs) != 2 || asked != "A users. at a:53, AAAA users. at a:53" {
		t.Errorf("got %+v, %v, %s", got, err, asked)
	}
	got, err = testResolver(z, settings{families: []kind{kindAAAA}}).addresses(t.Context(), "localhost", "")
	if err != nil || fmt.Sprint(got.addrs) != "[::1]" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A machine on which one question is asked at a time waits no longer than others for a
// family that nobody tells of.
func TestASecondFamilyThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{answers: map[string]any{"A users.": addrs(9, "10.0.0.1"), "AAAA users.": silent}}
		start := time.Now()
		got, err := testResolver(z, settings{singly: true, attempts: 5}).addresses(t.Context(), "users", "")
		if took := time.Since(start); err != nil || fmt.Sprint(got.addrs) != "[10.0.0.1]" || took != patience {
			t.Errorf("got %+v, %v after %s", got, err, took)
		}
	})
}

// What comes along with SRV records counts as what would have been answered: it is neither of
// a family that nobody wants, nor instead of /etc/hosts.
func TestWhatComesAlong(t *testing.T) {
	came := reply{ttl: time.Minute, records: []record{{"a.", 80, 1, 1}, {"b.", 80, 1, 1}}, extra: map[string][]netip.Addr{
		"a.": addrs(0, "10.0.0.1", "fd00::1").addrs, "b.": addrs(0, "10.0.0.2").addrs,
	}}
	both := []kind{kindA, kindAAAA}
	for want, s := range map[string]settings{
		"map[a.:[10.0.0.1 fd00::1] b.:[10.0.0.2]]": {families: both},
		"map[a.:[10.0.0.1] b.:[10.0.0.2]]":         {families: []kind{kindA}},
		"map[a.:[fd00::1]]":                        {families: []kind{kindAAAA}},
		"map[b.:[10.0.0.2]]":                       {families: both, hosts: readHosts([]byte("10.9.9.9 a\n"))},
	} {
		z := &zone{answers: map[string]any{"SRV users.": came}}
		got, err := testResolver(z, s).services(t.Context(), "users.", "")
		if text := fmt.Sprint(got.extra); err != nil || text != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
	}
}
