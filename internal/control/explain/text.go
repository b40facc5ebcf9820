package explain

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Text writes e for people, from the client's side to the backend's.
func Text(w io.Writer, e snapshot.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s", e.Method, e.Host, e.Path)
	if e.Query != "" {
		b.WriteString("?" + e.Query)
	}
	b.WriteString("\n\n")
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s"+format+"\n", append([]any{label}, args...)...)
	}
	if e.Listener == nil {
		row("listener", "none of socket %s serves host %q", e.Socket, e.Host)
	} else {
		row("listener", "%s  (%s)", e.Listener.Name, e.Listener.Origin)
	}
	if e.Preflight != "" {
		row("preflight", "matched by the method it asks for, %s", e.Preflight)
	}
	writeRoute(row, e)
	for i, f := range e.Filters {
		row(once("filters", i), "%d. %s%s  (%s)", i+1, f.Name, filterNote(f), f.Origin)
	}
	for i, v := range e.Backends {
		row(once("backend", i), "%s%s", v.Name, backendNote(v, len(e.Backends)))
	}
	if p := e.Problem; p != nil {
		row("answer", "%d %s", p.Status, p.Code)
		for _, text := range []string{p.Detail, p.Operator} {
			if text != "" {
				row("", "%s", text)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeRoute(row func(label, format string, args ...any), e snapshot.Explanation) {
	if e.Route == nil {
		row("route", "none")
	} else {
		row("route", "%s  (%s)", e.Route.Name, e.Route.Origin)
	}
	for i, p := range e.Params {
		row(once("params", i), "%s = %q", p.Name, p.Value)
	}
	n := 0
	for _, c := range append(e.Trace.Candidates, e.Trace.Near...) {
		if c.Verdict == route.Won {
			continue
		}
		row(once("not", n), "%s  (%s): %s", cmp.Or(c.Pattern, c.Name), c.Origin, c.Reason)
		n++
	}
}

// once gives label for the first line of a list.
func once(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}

func filterNote(f snapshot.FilterStep) string {
	note := ""
	if f.Note != "" {
		note = ": " + f.Note
	}
	if f.On != "route" {
		note += " [on " + f.On + "]"
	}
	return note
}

func backendNote(v snapshot.BackendStep, of int) string {
	var notes []string
	if v.When != "" {
		notes = append(notes, "when "+v.When)
	} else if of > 1 {
		notes = append(notes, fmt.Sprintf("weight %d", v.Weight))
	}
	if v.Chosen && of > 1 {
		notes = append(notes, "chosen")
	}
	if len(v.Endpoints) > 0 {
		notes = append(notes, "-> "+strings.Join(v.Endpoints, ", "))
	}
	notes = append(notes, "("+v.Origin+")")
	return "  " + strings.Join(notes, "  ")
}
