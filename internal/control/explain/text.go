package explain

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Text writes e for people, in order from the client to the backend. On the left is what applies, on the right where it
// was written.
func Text(w io.Writer, e snapshot.Explanation) error {
	var text strings.Builder
	text.WriteString(title(e) + "\n\n" + pageOf(e).String())
	for _, part := range e.Parts {
		text.WriteString("\n" + partTitle(part) + "\n\n" + pageOf(part.Explanation).String())
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// partTitle returns the heading for one request of a batch.
func partTitle(part snapshot.ExplainedPart) string {
	after := make([]string, len(part.After))
	for i, id := range part.After {
		after[i] = strconv.Quote(id)
	}
	text := "part " + strconv.Quote(part.ID)
	if len(after) > 0 {
		text += ", after " + strings.Join(after, " and ")
	}
	return text + ": " + title(part.Explanation)
}

// pageOf returns an explanation without its title.
func pageOf(e snapshot.Explanation) *page {
	p := &page{}
	p.request(e)
	p.matched(e)
	for i, f := range e.Filters {
		p.add(first("filters", i), fmt.Sprintf("%d %s%s", i+1, f.Name, filterNote(f)), f.Origin)
		if text := verdict(f); text != "" {
			p.add("", "    "+text, "")
		}
	}
	if f := e.Forwarded; f != nil {
		p.add("forwarded", cmp.Or(strings.Join(f.Fields, ", "), "none"), f.Origin)
	}
	for i, b := range e.Backends {
		p.backend(first("backend", i), e, b)
	}
	p.answer(e)
	return p
}

func title(e snapshot.Explanation) string {
	target := e.Path
	if e.Query != "" {
		target += "?" + e.Query
	}
	return e.Method + " " + e.Host + cmp.Or(target, e.Target)
}

func (p *page) request(e snapshot.Explanation) {
	if id := e.Identity; id != nil {
		text := cmp.Or(id.Subject, "nobody")
		if id.Issuer != "" {
			text += " of " + id.Issuer
		}
		if len(id.Scopes) > 0 {
			text += ", scopes " + strings.Join(id.Scopes, " ")
		}
		p.add("caller", text, "")
	}
	switch {
	case e.Listener != nil:
		p.add("listener", e.Listener.Name, e.Listener.Origin)
	case e.Path != "":
		p.add("listener", fmt.Sprintf("none of socket %s serves host %q", e.Socket, e.Host), "")
	}
	if e.Preflight != "" {
		p.add("preflight", "for "+e.Preflight, "")
	}
}

// matched shows the route, and why other routes do not match.
func (p *page) matched(e snapshot.Explanation) {
	switch {
	case e.Route != nil:
		p.add("route", e.Route.Name, e.Route.Origin)
	case e.Listener != nil:
		p.add("route", "none", "")
	}
	for i, param := range e.Params {
		p.add(first("params", i), fmt.Sprintf("%s = %q", param.Name, param.Value), "")
	}
	var last route.Outcome
	for _, c := range append(e.Trace.Candidates, e.Trace.Near...) {
		if c.Verdict == route.Won {
			continue
		}
		label := ""
		if c.Verdict != last {
			label, last = string(c.Verdict), c.Verdict
		}
		p.add(label, cmp.Or(place(c), c.Name), c.Origin.String())
		p.add("", "  "+c.Reason, "")
	}
}

// place returns a rule in the form of a config file.
func place(c route.Candidate) string {
	method, path, _ := strings.Cut(c.Pattern, " ")
	return strings.TrimSpace(method + " " + c.Host + path)
}

func filterNote(f snapshot.FilterStep) string {
	note := ""
	if f.Note != "" {
		note = ": " + f.Note
	}
	if f.On != "route" {
		note += ", for " + f.On
	}
	return note
}

// verdict returns what a guard decides about this request.
func verdict(f snapshot.FilterStep) string {
	switch {
	case f.Why != "":
		return string(f.Verdict) + ": " + f.Why
	case f.Verdict == snapshot.Passes:
		return "" // it had nothing to decide
	default:
		return string(f.Verdict)
	}
}

// backend shows which endpoints may be asked, and what they receive.
func (p *page) backend(label string, e snapshot.Explanation, b snapshot.BackendStep) {
	if b.Name == snapshot.NoBackend {
		return // a filter answers
	}
	p.add(label, b.Name, b.Origin)
	if len(e.Backends) > 1 {
		p.add("", "  "+choice(e, b), "")
	}
	if at := endpoints(b); at != "" {
		p.add("", "  at "+at, "")
	}
	for i, left := range b.Left {
		if i == shownEndpoints {
			p.add("", fmt.Sprintf("     nor %d more", len(b.Left)-i), "")
			break
		}
		p.add("", "     not "+leftText(left), "")
	}
	for _, text := range stands(b) {
		p.add("", "     "+text, "")
	}
	if !b.Kept.IsZero() {
		p.add("", "     from before the start, last confirmed "+b.Kept.UTC().Format(time.RFC3339), "")
	}
	indent := "  "
	for _, line := range b.State {
		p.add("", indent+plain(line), "")
		indent = "    "
	}
	p.steps(b.Steps)
	if r := b.Request; r != nil {
		text := "  gets " + r.Method + " " + r.Target
		if r.Host != e.Host {
			text += ", host " + r.Host
		}
		p.add("", text, "")
		for _, added := range r.Adds {
			p.add("", "    with "+added, "")
		}
	}
	if b.Answer != nil {
		p.add("", "  answers "+answerText(b.Answer), "")
	}
}

// steps shows what a composition calls. Steps of one level do not wait for each other; the first step of each level has
// the level's number.
func (p *page) steps(list []snapshot.ComposedStep) {
	level := 0
	for _, s := range list {
		number := " "
		if s.Level != level {
			level, number = s.Level, strconv.Itoa(s.Level)
		}
		text := fmt.Sprintf("  %s %s: %s", number, s.Name, s.Call)
		notes := s.Notes
		if len(s.After) > 0 {
			notes = append([]string{"after " + strings.Join(s.After, " and ")}, notes...)
		}
		p.add("", text, s.Origin)
		if len(notes) > 0 {
			p.add("", "      "+strings.Join(notes, "; "), "")
		}
	}
}

// plain returns a line that a function may have written, without characters that a terminal would interpret.
func plain(line string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, line)
}

// choice says when one of several backends is asked.
func choice(e snapshot.Explanation, b snapshot.BackendStep) string {
	text := "when " + b.When
	if b.When == "" {
		text = share(e, b) + " of the requests"
	}
	if b.Chosen {
		text += "; this one"
	}
	return text
}

// share returns the weight of a backend as a percentage of the weights of all backends without a condition.
func share(e snapshot.Explanation, b snapshot.BackendStep) string {
	total := 0
	for _, other := range e.Backends {
		if other.When == "" {
			total += other.Weight
		}
	}
	if total == 0 {
		return "none"
	}
	if b.Weight == total {
		return "the rest"
	}
	percent := strconv.FormatFloat(100*float64(b.Weight)/float64(total), 'f', 1, 64)
	return strings.TrimSuffix(percent, ".0") + "%"
}

// shownEndpoints is the maximum number of endpoints that are listed.
const shownEndpoints = 5

// endpoints lists the endpoints that would be asked, "" if the backend's name already says it.
func endpoints(b snapshot.BackendStep) string {
	if len(b.Endpoints) == 1 && strings.HasSuffix(b.Name, "://"+b.Endpoints[0]) {
		return ""
	}
	shown := strings.Join(b.Endpoints[:min(len(b.Endpoints), shownEndpoints)], ", ")
	if more := len(b.Endpoints) - shownEndpoints; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	if len(b.Endpoints) > 1 && b.Balance != "" {
		shown += "; " + b.Balance
	}
	return shown
}

func leftText(e snapshot.LeftEndpoint) string {
	text := e.Address + ", " + string(e.State)
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// stands lists what is not as it should be about a service.
func stands(b snapshot.BackendStep) (list []string) {
	switch b.Asks {
	case service.AsksPanicked:
		list = append(list, "panic: too few are healthy, so unhealthy ones are asked too")
	case service.AsksDraining:
		list = append(list, "only draining endpoints are left")
	case service.AsksUntried:
		list = append(list, "nothing is known of its endpoints yet")
	case service.AsksNobody:
		list = append(list, "no endpoint can be asked")
	case service.AsksHealthy:
	}
	if b.Resting {
		list = append(list, "its breaker is open: nothing is sent")
	}
	return list
}

// answer shows what the client gets if no backend is asked.
func (p *page) answer(e snapshot.Explanation) {
	switch {
	case e.Problem != nil:
		p.add("answer", fmt.Sprintf("%d %s", e.Problem.Status, e.Problem.Code), "")
		for _, text := range []string{e.Problem.Detail, e.Problem.Operator} {
			if text != "" {
				p.add("", text, "")
			}
		}
		for _, text := range e.Problem.Problems {
			p.add("", "  "+text, "")
		}
	case e.Preflighted:
		p.add("answer", "by cors, without a backend", "")
	case len(e.Backends) == 1 && e.Backends[0].Name == snapshot.NoBackend && e.Backends[0].Answer != nil:
		p.add("answer", answerText(e.Backends[0].Answer), "")
	}
}

func answerText(a *snapshot.Answer) string {
	return strings.Join(strings.Fields(fmt.Sprint(a.Status, " ", a.Code, " ", a.Location)), " ")
}

// first returns label for the first line of a list, and "" for the others.
func first(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}

// page formats rows in three columns.
type page struct{ rows []row }

type row struct{ label, text, origin string }

func (p *page) add(label, text, origin string) { p.rows = append(p.rows, row{label, text, origin}) }

const (
	labelWidth = 11
	widestText = 52 // a longer text pushes only its own origin to the right
)

func (p *page) String() string {
	width := 0
	for _, r := range p.rows {
		if n := utf8.RuneCountInString(r.text); r.origin != "" && n <= widestText {
			width = max(width, n)
		}
	}
	var b strings.Builder
	for _, r := range p.rows {
		line := fmt.Sprintf("%-*s%-*s  %s", labelWidth, r.label, width, r.text, r.origin)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
