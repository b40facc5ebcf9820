package exchange_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

func TestCopyHeadSharesNothingThatAnAddWouldShow(t *testing.T) {
	src := http.Header{"A": append(make([]string, 0, 4), "1"), "B": {"2"}, "Empty": nil}
	dst := http.Header{"A": {"0"}}
	exchange.CopyHead(exchange.MapHead(dst), exchange.MapHead(src), func(name string, _ field.Known) bool { return name != "B" })
	want := http.Header{"A": {"0", "1"}}
	if !maps.EqualFunc(dst, want, slices.Equal) {
		t.Errorf("%v, not %v", dst, want)
	}
	other := http.Header{}
	exchange.CopyAll(exchange.MapHead(other), exchange.MapHead(src))
	other.Add("A", "added")
	src.Add("A", "later")
	if got := other["A"]; !slices.Equal(got, []string{"1", "added"}) {
		t.Errorf("A is %q: the two share their room", got)
	}
}

// ordered is a header map as an engine makes it that keeps order and spelling.
func ordered(lines ...string) http.Header { return exchange.Ordered(lines...) }

// text is a head as it is written.
func text(head exchange.Head) string {
	var b strings.Builder
	for name, value := range head.All() {
		b.WriteString(name + ": " + value + "\n")
	}
	return b.String()
}

// heads are empty ones of both kinds.
func heads() map[string]exchange.Head {
	return map[string]exchange.Head{"fields": exchange.MapHead(http.Header{}), "lines": exchange.MapHead(ordered())}
}

// A line that was made for many heads is each one's own: what is changed there is not changed here.
func TestLinesOfAllAreSetAndAddedAsFieldsAre(t *testing.T) {
	one, two := field.Make("X-A", "1"), field.Make("X-A", "2")
	for kind, head := range heads() {
		steps := []struct {
			do   func()
			want []string
		}{
			{func() { exchange.AddLine(head, one) }, []string{"1"}},
			{func() { exchange.AddLine(head, two) }, []string{"1", "2"}},
			{func() { exchange.SetLine(head, ""); exchange.AddLine(head, "") }, []string{"1", "2"}},
			{func() { head.Add("X-B", "b"); exchange.SetLine(head, two) }, []string{"2"}},
			{func() { head.Del("x-a") }, nil},
			{func() { exchange.SetLine(head, one); head.Add("x-a", "more") }, []string{"1", "more"}},
			{func() { head.Set("x-a", "other") }, []string{"other"}},
			{func() { exchange.SetLine(head, one) }, []string{"1"}},
		}
		for i, s := range steps {
			if s.do(); !slices.Equal(head.Values("X-A"), s.want) {
				t.Errorf("%s, step %d: %q, not %q", kind, i, head.Values("X-A"), s.want)
			}
		}
		if head.Get("X-B") != "b" && head.Len() > 0 {
			t.Errorf("%s: another field is gone", kind)
		}
	}
}

func TestEveryHeadSetsAndDeletesSeveralFieldsAlike(t *testing.T) {
	for kind, head := range heads() {
		t.Run(kind, func(t *testing.T) {
			head.Add("X-A", "old")
			head.Add("X-A", "older")
			head.Add("x-odd", "1")
			exchange.SetFields(head, exchange.Field{Name: "x-a", Value: "1"},
				exchange.Field{Name: "X-B", Value: "2"}, exchange.Field{Name: "X-B", Value: "3"})
			head.Add("X-A", "added")
			exchange.DelFields(head, func(name string) bool { return strings.EqualFold(name, "x-odd") })
			if a, b := head.Values("X-A"), head.Values("X-B"); !slices.Equal(a, []string{"1", "added"}) || !slices.Equal(b, []string{"2", "3"}) || head.Get("X-Odd") != "" {
				t.Errorf("got %q, %q and %q", a, b, head.Get("X-Odd"))
			}
		})
	}
}

// What strips a head by what a field of it says relies on this.
func TestValuesStayWhatTheyWere(t *testing.T) {
	for kind, head := range heads() {
		for _, many := range []bool{false, true} {
			head.Set("Connection", "X-A")
			if many {
				head.Add("Connection", "X-B")
			}
			values := head.Values("Connection")
			before := slices.Clone(values)
			head.Set("Connection", "other")
			head.Add("Connection", "another")
			head.Del("Connection")
			head.Add("Connection", "last")
			if !slices.Equal(values, before) {
				t.Errorf("%s: %q became %q", kind, before, values)
			}
		}
	}
}

func TestLinesKeepTheirOrderPlaceAndSpelling(t *testing.T) {
	head := exchange.MapHead(ordered("host", "a", "x-B", "1", "X-b", "2", "Accept", "*/*", "X-LAST", "3"))
	head.Set("X-B", "4")
	head.Add("new", "5")
	for name := range head.All() {
		if name == "Accept" {
			head.Del("accept")
		}
	}
	if got, want := text(head), "host: a\nX-B: 4\nX-LAST: 3\nnew: 5\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := head.Names(), []string{"host", "X-B", "X-LAST", "new"}; !slices.Equal(got, want) {
		t.Errorf("names %q", got)
	}
}

func TestPlainGivesOthersTheMapThatTheyExpect(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = ordered("x-B", "1", "gone", "", "X-b", "2", "cookie", "a=1")
	exchange.RequestHead(r).Del("Gone")
	r.Trailer = ordered("x-sum", "")
	for range 2 { // the second time there is nothing to do
		exchange.Plain(r)
		want := http.Header{"X-B": {"1", "2"}, "Cookie": {"a=1"}}
		if !maps.EqualFunc(r.Header, want, slices.Equal) || !slices.Equal(exchange.RequestTrailer(r).Names(), []string{"X-Sum"}) {
			t.Errorf("%v, trailers %v", r.Header, r.Trailer)
		}
	}
	if _, err := r.Cookie("a"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsMadeForARequestIsOfItsKind(t *testing.T) {
	for kind, header := range map[string]http.Header{"fields": {"A": {"1"}}, "lines": ordered("A", "1")} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = header
		out := exchange.NewRequest(t.Context(), r)
		exchange.AnnounceTrailers(out, []string{"x-Sum"})
		res := exchange.NewResponse(r, 204, exchange.Field{Name: "x-b", Value: "1"})
		isLines := kind == "lines"
		for part, h := range map[string]http.Header{"request": out.Header, "trailer": out.Trailer, "response": res.Header} {
			if ok := exchange.LinesOf(h) != nil; ok != isLines {
				t.Errorf("the %s to one with %s is %v", part, kind, h)
			}
		}
		if len(out.Header) > 1 || text(exchange.RequestHead(out)) != "" || res.Status != "204 No Content" || exchange.ResponseHead(res).Get("X-B") != "1" {
			t.Errorf("%s: %v, %v", kind, out, res)
		}
		if names := exchange.RequestTrailer(out).Names(); len(names) != 1 || !strings.EqualFold(names[0], "X-Sum") {
			t.Errorf("%s: announced are %q", kind, names)
		}
	}
}

// Whatever is done to a head: lines say the same as a map, in an order of their own.
func FuzzLinesSayWhatAMapSays(f *testing.F) {
	f.Add([]byte("aA1bA2cA3dA"))
	f.Add([]byte("aB1aA1aB2sB3dAtC9kB"))
	names := []string{"A", "a", "X-Long", "x-long", "B"}
	f.Fuzz(func(t *testing.T, program []byte) {
		fields, list := exchange.MapHead(http.Header{}), exchange.MapHead(ordered())
		for len(program) >= 3 {
			op, name, value := program[0], names[int(program[1])%len(names)], string(program[2:3])
			program = program[3:]
			for _, head := range []exchange.Head{fields, list} {
				switch op % 6 {
				case 0:
					head.Set(name, value)
				case 1:
					head.Del(name)
				case 2:
					exchange.SetFields(head, exchange.Field{Name: name, Value: value}, exchange.Field{Name: name, Value: "twice"})
				case 3:
					exchange.DelFields(head, func(n string) bool { return strings.EqualFold(n, name) })
				default:
					head.Add(name, value)
				}
			}
		}
		for _, name := range names {
			if a, b := fields.Values(name), list.Values(name); !slices.Equal(a, b) || fields.Get(name) != list.Get(name) {
				t.Fatalf("%s: %q and %q", name, a, b)
			}
		}
		again := exchange.MapHead(http.Header{})
		exchange.CopyAll(again, list)
		if a, b := again.Names(), fields.Names(); !slices.Equal(a, b) || len(list.Names()) != len(b) {
			t.Fatalf("%q and %q", a, b)
		}
		if a, b := text(list), text(fields); strings.Count(a, ": ") != strings.Count(b, ": ") {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

// A name that a function or a config has made up is a name, not an address.
func TestNoFieldStandsForLines(t *testing.T) {
	h := http.Header{":lines": {"lines", "an address"}, "A": {"1"}}
	head := exchange.MapHead(h)
	head.Add(":lines", "more")
	if exchange.LinesOf(h) != nil || head.Get("A") != "1" || head.Get(":lines") != "lines" {
		t.Errorf("%v", h)
	}
	if of := exchange.Ordered("A", "1"); exchange.LinesOf(http.Header{":lines": {of[":lines"][0]}}) != nil {
		t.Error("a part of what stands for lines does")
	}
}

// What is done to a detached request does not show in the one that it was made of, nor the other way round.
func TestADetachedHeadIsItsOwn(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = ordered("A", "1")
	_, r = exchange.Begin(exchange.Nowhere(), r, new(exchange.Exchange))
	detached := exchange.Detach(r)
	exchange.RequestHead(detached).Set("A", "2")
	exchange.RequestHead(r).Add("B", "3")
	if a, b := text(exchange.RequestHead(r)), text(exchange.RequestHead(detached)); a != "A: 1\nB: 3\n" || b != "A: 2\n" {
		t.Errorf("it has\n%sand\n%s", a, b)
	}
}

// Lines that are used again have what was added, whatever stood in its place before.
func TestLinesThatAreUsedAgain(t *testing.T) {
	l := exchange.NewLines(2)
	for _, pairs := range [][]string{{"A", "1", "B", "2"}, {"A", "1", "B", "2", "C", "3"}, {"A", "1", "B", "3"}, {"a", "1"}, {"B", "3"}, {"A", ""}} {
		l.Renew()
		for i := 0; i < len(pairs); i += 2 {
			l.Add(pairs[i], pairs[i+1])
		}
		if want := text(exchange.MapHead(ordered(pairs...))); text(l) != want {
			t.Errorf("got\n%swant\n%s", text(l), want)
		}
	}
}

// A map that stands for lines is copied by nobody: what others keep of it is not the next request's.
func TestACopyOfTheMapStandsForNothing(t *testing.T) {
	l := exchange.NewLines(1)
	l.Add("Authorization", "alice")
	kept := l.Map().Clone()
	l.Renew()
	l.Add("Authorization", "bob")
	if got := exchange.MapHead(kept).Get("Authorization"); exchange.LinesOf(kept) != nil || got != "" {
		t.Errorf("it says %q", got)
	}
	if got := exchange.MapHead(l.Map()).Get("Authorization"); got != "bob" {
		t.Errorf("and the map itself %q", got)
	}
}

// What others have made of a map, or put into it, is theirs, and not the next request's.
func TestWhatOthersDoToTheMapEndsWithTheRequest(t *testing.T) {
	for name, spoil := range map[string]func(r *http.Request){
		"made plain":        exchange.Plain,
		"something beside":  func(r *http.Request) { r.Header.Set("X-User", "alice") },
		"plain, and beside": func(r *http.Request) { exchange.Plain(r); r.Header.Set("X-User", "alice") },
	} {
		l := exchange.NewLines(1)
		r := &http.Request{Header: l.Map()}
		l.Add("A", "1")
		spoil(r)
		kept, before := r.Header, len(r.Header)
		next := &http.Request{Header: l.Renew()}
		l.Add("B", "2")
		exchange.Plain(next)
		if len(next.Header) != 1 || next.Header.Get("B") != "2" || len(kept) != before || kept.Get("B") != "" {
			t.Errorf("%s: the next one has %v, and the one before %v", name, next.Header, kept)
		}
	}
}

// Who has kept a map that the next request did not get may write into it what he likes.
func TestWhatIsDoneToAMapOfBeforeIsNotDoneToTheNextOne(t *testing.T) {
	l := exchange.NewLines(1)
	kept := l.Map()
	kept.Set("X-User", "alice")
	next := l.Renew()
	l.Add("A", "1")
	for _, values := range kept {
		clear(values)
	}
	if exchange.LinesOf(next) != l || exchange.LinesOf(kept) != nil || exchange.MapHead(next).Get("A") != "1" {
		t.Errorf("the next one has %q, and the one before %v", exchange.MapHead(next).Get("A"), kept)
	}
}

// The lines of an engine are found by their map, whatever was done to it; who keeps a request with its context finds nothing of the next one.
func TestAnEnginesLinesAreFoundByTheirMapAlone(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *http.Request)
		want  string // what A says
		lines bool   // by the engine's own lines
	}{
		"made plain":        {exchange.Plain, "1", false},
		"another map":       {func(r *http.Request) { r.Header = http.Header{"A": {"9"}} }, "9", false},
		"none":              {func(r *http.Request) { r.Header = nil }, "", false},
		"a copy":            {func(r *http.Request) { r.Header = r.Header.Clone() }, "", false},
		"a head of its own": {func(r *http.Request) { exchange.OwnHead(r) }, "1", false},
		"emptied":           {func(r *http.Request) { clear(r.Header) }, "", false},
		"emptied of more":   {func(r *http.Request) { r.Header.Set("B", "9"); clear(r.Header) }, "", false},
		"something beside":  {func(r *http.Request) { r.Header.Set("B", "9") }, "1", true},
	} {
		in := exchange.NewLines(1)
		in.Add("A", "1")
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		ctx.Heads(in, exchange.NewLines(0))
		r := (&http.Request{Header: in.Map()}).WithContext(ctx)
		if exchange.RequestHead(r) != exchange.Head(in) {
			t.Fatal("they are not found")
		}
		c.spoil(r)
		head := exchange.RequestHead(r)
		if l, _ := head.(*exchange.Lines); head.Get("A") != c.want || (l == in) != c.lines {
			t.Errorf("%s: A is %q", name, head.Get("A"))
		}
		in.Renew()
		in.Add("A", "of the next one")
		r.Header.Del("B")
		if got := exchange.RequestHead(r).Get("A"); got == "of the next one" {
			t.Errorf("%s: afterwards A is %q", name, got)
		}
	}
}

// Several fields that are set are those of the last value each, whatever stood in their places before.
func TestFieldsThatAreSetAgain(t *testing.T) {
	fields := []exchange.Field{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "A", Value: "3"}}
	l := exchange.NewLines(4)
	for _, remembered := range []bool{false, true} {
		l.Renew()
		if remembered {
			for _, f := range fields {
				l.Add(f.Name, f.Value)
			}
			l.Renew()
		}
		exchange.SetFields(l, fields...)
		if got := text(l); got != "A: 3\nB: 2\n" {
			t.Errorf("remembered: %t: got\n%s", remembered, got)
		}
	}
}

// What is remembered of a head is bounded: not many lines, not long ones, none that the last message did not have.
func TestLittleIsRemembered(t *testing.T) {
	l := exchange.NewLines(4)
	remembered := func() (n int) {
		l.Forget()
		for _, line := range l.List()[:cap(l.List())] {
			if line != "" && !poison.On {
				n++
			}
		}
		return n
	}
	add := func(n int, value string) {
		for range n {
			l.Add("A", value)
		}
	}
	if add(20, "1"); remembered() != 20 && !poison.On {
		t.Error("nothing is remembered")
	}
	if add(3, "1"); remembered() > 3 {
		t.Error("lines are that the last message did not have")
	}
	if add(3, strings.Repeat("v", 4000)); remembered() > 0 {
		t.Error("long lines are")
	}
	if add(200, "1"); remembered() > 0 || cap(l.List()) > 128 {
		t.Error("very many are")
	}
}

func TestACopyTellsWhichNamesThereAre(t *testing.T) {
	names := &exchange.Names{All: field.SetOf(field.Connection)}
	for _, src := range []http.Header{
		exchange.Ordered("Content-Length", "1", "X", "y", "Connection", "close"),
		exchange.Ordered("Content_Length", "1", "Via", "1.1 a"),
		exchange.Ordered(),
		{"Content-Length": {"1"}, "Connection": {"close"}},
	} {
		from := exchange.MapHead(src)
		if got, want := exchange.CopyWithout(exchange.NewLines(0), from, names), exchange.KnownIn(from); got != want {
			t.Errorf("of %v: %v, want %v", src, got, want)
		}
	}
}
