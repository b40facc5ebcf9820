package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// mostRoutes bounds how many routes a summary shows.
const mostRoutes = 40

// summary prints what is served, the state of the functions, and what to try. It suggests only what is among changes,
// or everything if changes is nil.
func (d *developer) summary(a *app.App, changes []config.Change) {
	cfg := a.Reconciler().Config()
	functions := a.Functions()
	var b strings.Builder
	b.WriteString("\n")
	addresses, secure := a.Addresses(), a.Reconciler().Secure()
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		b.WriteString("  " + d.out.paint(bold, link(addresses[name], secure[name])) + "\n")
	}
	d.table(&b, "routes", routeRows(cfg))
	d.table(&b, "functions", d.functionRows(functions))
	if d.input.Finds() {
		d.table(&b, "left out", leftRows(d))
	}
	var tries [][]string
	for _, url := range d.urls(cfg, changes, addresses, secure) {
		tries = append(tries, []string{"curl " + url})
	}
	d.table(&b, "try", tries)
	if address := a.AdminAddress(); address != "" && changes == nil {
		b.WriteString(d.out.paint(dim, "\n  admin "+link(address, false)) + "\n")
	}
	b.WriteString("\n")
	d.out.write(b.String())
}

// table writes rows in columns under a title, or nothing if there are no rows.
func (d *developer) table(b *strings.Builder, title string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n  " + d.out.paint(dim, title) + "\n")
	columns := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(columns, "    "+strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a Builder never fails
}

func routeRows(cfg *config.Config) [][]string {
	var rows [][]string
	for i := range cfg.Routes {
		if i == mostRoutes {
			return append(rows, []string{fmt.Sprintf("and %d more", len(cfg.Routes)-i)})
		}
		r := &cfg.Routes[i]
		rows = append(rows, []string{r.Name, leadsTo(r)})
	}
	return rows
}

// touches reports whether a route is among the changes.
func touches(changes []config.Change, r *config.Route) bool {
	return slices.ContainsFunc(changes, func(c config.Change) bool { return c.Kind == "routes" && c.Name == r.Name })
}

// leadsTo says in a few words what answers a route.
func leadsTo(r *config.Route) string {
	var parts []string
	for _, b := range r.Backends {
		if text := b.Ref.String(); text != "" {
			parts = append(parts, text)
		}
	}
	for _, f := range r.Filters {
		if f.Name == "respond" || f.Name == "redirect" {
			parts = append(parts, f.Name)
		}
	}
	return strings.Join(parts, ", ")
}

func (d *developer) functionRows(functions []snapshot.FunctionNote) [][]string {
	var rows [][]string
	for _, f := range functions {
		s := f.Status()
		rows = append(rows, []string{f.Name, living(s), cmp.Or(firstLine(s.Problem), s.Note)})
	}
	return rows
}

// living describes the state of a function in a word or two.
func living(s function.Status) string {
	idle := s.Instances - s.Busy - s.Starting - s.Draining
	switch {
	case s.Problem != "":
		return "failing"
	case s.Busy > 0 && idle > 0:
		return fmt.Sprintf("%d busy, %d idle", s.Busy, idle)
	case s.Busy > 0:
		return fmt.Sprintf("%d busy", s.Busy)
	case idle > 0:
		return fmt.Sprintf("%d idle", idle)
	case s.Starting > 0:
		return "starting"
	}
	return "cold"
}

func leftRows(d *developer) [][]string {
	found, err := d.input.Find()
	if err != nil {
		return nil // what is served was read a moment ago
	}
	var rows [][]string
	for _, left := range found.Left {
		rows = append(rows, []string{left.Name, left.Why})
	}
	return rows
}

// mostTries is how many URLs a summary shows.
const mostTries = 4

// urls returns URLs to try: one for each backend that a plain GET can reach.
func (*developer) urls(cfg *config.Config, changes []config.Change, addresses map[string]string, secure map[string]bool) []string {
	var urls []string
	seen := map[string]bool{}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		to := leadsTo(r)
		url := sampleURL(cfg, r, addresses, secure)
		if url == "" || seen[to] || len(urls) == mostTries || changes != nil && !touches(changes, r) {
			continue
		}
		seen[to] = true
		urls = append(urls, url)
	}
	return urls
}
