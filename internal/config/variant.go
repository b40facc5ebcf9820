package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// variantForm is one of the backends under `to`.
type variantForm struct {
	When   *Expr        `doc:"when" help:"if true, selects this variant before any share applies" example:"=request.headers['x-beta'] == '1'"`
	Share  *percentForm `doc:"share" help:"its share of the requests; the variant without when and share gets the rest" example:"5%"`
	Sticky *Expr        `doc:"sticky" help:"the value that keeps a client on the same variant" example:"auth.id"`
	Use    *doc.Node    `doc:"use" help:"the backend" example:"http://users:8080"`
}

func variantKeys() []string { return []string{"when", "share", "sticky", "use", "strip"} }

// variant is one lowered backend with what decides when it is chosen.
type variant struct {
	variantForm
	backend Backend
	pos     doc.Pos
}

// plain reports whether v gets the requests that no other variant takes.
func (v variant) plain() bool { return v.When == nil && v.Share == nil }

// to lowers `to` of route r.
func (l *loader) to(r *Route, to *doc.Node, c captures, ps *doc.Problems) {
	if to == nil || to.Kind == 0 {
		if to == nil && !slices.ContainsFunc(r.Filters, answers) && !ps.Failed() {
			ps.Add(doc.Problem{Pos: r.Origin.Pos, What: fmt.Sprintf("the route %q leads nowhere", r.Name), Fix: "add `to:` with a backend, as `to: http://users:8080`, or respond or redirect"})
		}
		return
	}
	nodes := []*doc.Node{to}
	if to.Kind == doc.List {
		nodes = to.Items
	}
	var variants []variant
	for _, item := range nodes {
		if v, ok := l.variant(r, item, c, ps); ok {
			variants = append(variants, v)
		}
	}
	if ps.Failed() { // the rules among variants need all of them; each variant's own rules do not
		for _, v := range variants {
			r.Backends = append(r.Backends, v.backend)
			if r.Sticky == nil {
				r.Sticky = v.Sticky
			}
		}
		return
	}
	if len(variants) == 0 {
		ps.Add(doc.Problem{Pos: to.Pos, What: "the list of backends is empty", Fix: "write at least one backend under to"})
		return
	}
	if one := variants[0]; len(variants) == 1 && one.plain() && one.backend.Ref == (Ref{}) && one.Sticky == nil {
		r.Filters = append(r.Filters, one.backend.Filters...)
		l.v.sort(r.Filters)
		return
	}
	weigh(r, variants, to, ps)
}

func answers(f Filter) bool { return slices.Contains(answering(), f.Name) }

// variant lowers one item under `to`.
func (l *loader) variant(r *Route, n *doc.Node, c captures, ps *doc.Problems) (variant, bool) {
	made := variant{pos: n.Pos, backend: Backend{Origin: Origin{Pos: n.Pos}}}
	var fields []inherited
	switch n.Kind {
	case doc.Scalar:
		made.Use = n
	case doc.Map:
		core, filters := l.v.split(n, variantKeys(), perBackend, ps)
		fields = inherit(slices.Concat(core.Entries, filters), nil)
		notStrip := entriesOf(n, fields, func(key string) bool { return slices.Contains(variantKeys(), key) && key != "strip" })
		doc.Decode(notStrip, &made.variantForm, ps)
		fields = slices.DeleteFunc(fields, func(f inherited) bool { return notStrip.Get(f.Key) != nil })
	case doc.List:
		ps.Add(doc.Problem{Pos: n.Pos, What: "a list stands inside the list of variants", Fix: "write each variant as one item"})
		return made, false
	default:
		return made, false
	}
	made.backend.When = made.When
	ok := l.use(r, &made, fields, c, ps)
	return made, ok
}

// use lowers the backend itself and its filters.
func (l *loader) use(r *Route, made *variant, fields []inherited, c captures, ps *doc.Problems) bool {
	rewrites := c.sent || slices.ContainsFunc(fields, setsPath)
	switch {
	case made.Use == nil && !slices.ContainsFunc(fields, func(f inherited) bool { return slices.Contains(answering(), f.Key) }):
		ps.Add(doc.Problem{Pos: made.pos, What: "the variant names no backend", Fix: "add `use:` with a backend, as `use: http://users:8080`"})
		return false
	case made.Use != nil:
		t, ok := passingOn(made.Use, r.Group, l.v, ps)
		if !ok {
			return false
		}
		made.backend.Ref = t.ref
		if t.answer.Key != "" {
			fields = append(fields, inherited{Entry: t.answer})
		}
		if t.path != nil {
			if rewrites {
				ps.Add(doc.Problem{Pos: t.path.Pos, What: "the path to send is given twice, by the backend's URL and by strip or rewrite", Fix: "keep one of them"})
				return false
			}
			fields = append(fields, inherited{Entry: doc.Entry{Key: "rewrite", KeyPos: t.path.Pos, Value: t.path}})
		}
		if t.ref.Scheme == "https" && !c.named && !slices.ContainsFunc(fields, setsHost) {
			fields = append(fields, ownHost(t.ref))
		}
	}
	made.backend.Filters = l.filters(filtersOf(fields), c, ps)
	return true
}

// setsPath reports whether f says which path to send; a rewrite may set only the host.
func setsPath(f inherited) bool {
	return slot(f.Key) == "rewrite" && (f.Value.Kind == doc.Scalar || said(f.Value, "path") != nil || said(f.Value, "strip") != nil)
}

func setsHost(f inherited) bool {
	return f.Key == "rewrite" && f.Value.Kind == doc.Map && said(f.Value, "host") != nil
}

// ownHost returns the rewrite that calls an https: URL by its own host name, because its certificate is checked for
// that name. Such a backend usually belongs to somebody else and knows no other name.
func ownHost(ref Ref) inherited {
	pos := ref.Origin.Pos
	host := scalarAt(strings.TrimPrefix(ref.Rest, "//"), pos)
	return inherited{Entry: doc.Entry{Key: "rewrite", KeyPos: pos, Value: mapAt(pos, doc.Entry{Key: "host", KeyPos: pos, Value: host})}}
}

// weigh turns shares into weights and checks the variants together.
func weigh(r *Route, variants []variant, to *doc.Node, ps *doc.Problems) {
	sum, plain := 0, -1
	for i, v := range variants {
		switch {
		case v.When != nil && v.Share != nil:
			ps.Add(doc.Problem{Pos: v.pos, What: "the variant has both when and share", Why: "the first when that is true takes the request, before any share", Fix: "keep one of them"})
		case v.Sticky != nil && v.Share == nil:
			ps.Add(doc.Problem{Pos: v.Sticky.Pos, What: "sticky stands where there is not a share", Why: "it keeps a client on its share", Fix: "move it beside share, or remove it"})
			if v.plain() {
				plain = i
			}
		case v.plain() && plain >= 0:
			ps.Add(doc.Problem{Pos: v.pos, What: "a second plain variant", Why: fmt.Sprintf("the one at %s already gets all the rest", variants[plain].pos), Fix: "give one of them a when or a share"})
		case v.plain():
			plain = i
		case v.Share != nil:
			sum += int(*v.Share)
		}
		stick(r, v, ps)
	}
	switch {
	case sum > 100:
		ps.Add(doc.Problem{Pos: to.Pos, What: fmt.Sprintf("the shares add up to %d%%", sum), Fix: "make them 100% or less; the plain variant gets the rest"})
	case plain < 0 && sum == 0:
		ps.Add(doc.Problem{Pos: to.Pos, What: "nothing answers the requests for which no when is true", Fix: "add a plain variant: a backend without when and share, as the last line `- http://users:8080`"})
	case plain < 0 && sum < 100:
		ps.Add(doc.Problem{Pos: to.Pos, What: fmt.Sprintf("the shares add up to %d%%, and nothing gets the other %d%%", sum, 100-sum), Fix: "add a plain variant, or make the shares add up to 100%"})
	case plain >= 0 && sum == 100:
		ps.Add(doc.Problem{Pos: variants[plain].pos, What: "the plain variant gets nothing", Why: "the shares of the others add up to 100%", Fix: "lower a share, or remove the plain variant"})
	}
	for i, v := range variants {
		switch {
		case i == plain:
			v.backend.Weight = 100 - sum
		case v.Share != nil:
			v.backend.Weight = int(*v.Share)
		}
		r.Backends = append(r.Backends, v.backend)
	}
}

// stick takes the one sticky key of a route's shares.
func stick(r *Route, v variant, ps *doc.Problems) {
	switch {
	case v.Sticky == nil:
	case r.Sticky == nil:
		r.Sticky = v.Sticky
	case r.Sticky.Source != v.Sticky.Source:
		ps.Add(doc.Problem{Pos: v.Sticky.Pos, What: fmt.Sprintf("a second sticky key %q", v.Sticky.Source), Why: fmt.Sprintf("all shares of a route use the same key, and %q stands at %s", r.Sticky.Source, r.Sticky.Pos), Fix: "write it once"})
	}
}

// longBackendForm is one of `backends` in the long form.
type longBackendForm struct {
	When    *Expr     `doc:"when" help:"if true, selects this backend before any weight applies"`
	Weight  *int      `doc:"weight" help:"its share of the requests, relative to the other backends without when; 1 by default" example:"3"`
	Use     *doc.Node `doc:"use" help:"the backend" example:"http://users:8080"`
	Status  int       `doc:"status" help:"responds with this status instead of calling a backend"`
	Reason  string    `doc:"reason" help:"the reason for that response"`
	Filters *doc.Node `doc:"filters" help:"filters for this backend only"`
	At      doc.Pos   `doc:"-,pos"`
}

func (l *loader) longBackend(r *Route, form longBackendForm, c captures, ps *doc.Problems) {
	b := Backend{When: form.When, Status: form.Status, Reason: form.Reason, Origin: Origin{Pos: form.At}}
	switch {
	case form.Weight != nil:
		b.Weight = *form.Weight
	case form.When == nil:
		b.Weight = 1
	}
	fields := inherit(unlist(form.Filters, ps), nil)
	for _, f := range fields {
		if kind, ok := l.v.filter(f.Key); ok && !kind.PerBackend {
			ps.Add(doc.Problem{Pos: f.KeyPos, What: fmt.Sprintf("%q cannot be on one backend", f.Key), Why: "a guard belongs to the route, so that no backend can be reached without it", Fix: "move it up to the route"})
		}
	}
	if form.Use != nil {
		t, ok := passingOn(form.Use, r.Group, l.v, ps)
		if !ok {
			return
		}
		if t.path != nil || t.answer.Key != "" {
			ps.Add(doc.Problem{Pos: form.Use.Pos, What: fmt.Sprintf("%q is the short form of a backend and a filter", form.Use.Value), Why: "the long form cannot contain short forms", Fix: "write the filter under filters: and the rest under use:"})
			return
		}
		b.Ref = t.ref
	}
	b.Filters = l.filters(filtersOf(fields), c, ps)
	r.Backends = append(r.Backends, b)
}
