package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// base is the peer with which the others are compared.
const base = "nginx"

// The figures of a page stand between these two lines.
const (
	begins = "<!-- What follows until the end of figures is written by `make bench`. -->\n"
	ends   = "<!-- The end of figures. -->\n"
)

// report prints the figures and writes them to the page.
func (b *bench) report() error {
	text := b.figures()
	b.sayf("\n%s", text)
	if b.page == "" {
		return nil
	}
	page := filepath.FromSlash(b.page)
	if !filepath.IsAbs(page) {
		page = filepath.Join(b.root, page)
	}
	folder := strings.TrimSuffix(page, filepath.Ext(page))
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // a document
		return err
	}
	for name, p := range b.plots() {
		if err := os.WriteFile(filepath.Join(folder, name+".svg"), []byte(p.svg()), 0o644); err != nil { //nolint:gosec // a document
			return err
		}
		text += fmt.Sprintf("\n![%s](%s/%s.svg)\n", p.title, filepath.Base(folder), name)
	}
	was, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(was), begins)
	_, after, ended := strings.Cut(rest, ends)
	if !begun || !ended {
		return fmt.Errorf("%s has no place for figures, between %q and %q", page, begins, ends)
	}
	return os.WriteFile(page, []byte(before+begins+"\n"+text+"\n"+ends+after), 0o644) //nolint:gosec // a document
}

// figures returns all tables.
func (b *bench) figures() string {
	parts := []string{b.machine(), b.cpuTable(), b.programTable(), b.paceTable(), b.latencyTable(), b.reloadTable(), b.memoryTable(), b.callTable(), b.allocationTable()}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "\n")
}

// machine describes where and how the figures were measured.
func (b *bench) machine() string {
	var system unix.Utsname
	_ = unix.Uname(&system) // it has no reason to fail
	var versions []string
	for _, p := range b.peers {
		if p.version != "" {
			versions = append(versions, p.title+" "+p.version)
		}
	}
	others, rounds := b.noise()
	how := "each proxy on one of them, the origin and the clients on the others"
	if len(b.processors) == 0 {
		how = "all of which every process may use"
	}
	lines := []string{
		fmt.Sprintf("`make bench` on %s, %d processors (%s), Linux %s, %s; %s.", model(), b.all, how, unix.ByteSliceToString(system.Release[:]), runtime.Version(), strings.Join(versions, ", ")),
		fmt.Sprintf("%s for each figure, of %s. Meanwhile other programs used %.2f processors in the median, and %.2f in one sample of twenty.", many(rounds, "round"), b.time, middle(others), percentile(others, .95)),
	}
	for _, why := range b.missing {
		lines = append(lines, strings.ToUpper(why[:1])+why[1:]+".")
	}
	return strings.Join(lines, "\n") + "\n"
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// noise returns what other programs took in each sample, and the number of rounds.
func (b *bench) noise() (others []float64, rounds int) {
	for _, peers := range b.samples {
		for _, samples := range peers {
			rounds = max(rounds, len(samples))
			for _, s := range samples {
				others = append(others, s.other)
			}
		}
	}
	return others, rounds
}

func percentile(of []float64, share float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[int(share*float64(len(sorted)-1))]
}

// model returns the model name of the processor.
func model() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // if it fails, the model is unknown
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// values returns one figure from all samples of a peer in a case.
func (b *bench) values(kind, peer string, of func(sample) float64) (all []float64) {
	for _, s := range b.samples[kind][peer] {
		all = append(all, of(s))
	}
	return all
}

func cpu(s sample) float64 { return s.cpu.Seconds() * 1e6 }

// table formats a Markdown table.
func table(title, about string, heads []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "### %s\n\n%s\n\n| %s |\n|---%s|\n", title, about, strings.Join(heads, " | "), strings.Repeat("|--:", len(heads)-1))
	for _, row := range rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
	}
	return out.String()
}

// cpuTable is the table of processor times and their ratios.
func (b *bench) cpuTable() string {
	return b.caseTable("Processor time", "Microseconds of the whole process for each request (the median of all rounds) and the ratio to nginx (the median of the ratios within rounds, with its confidence interval of more than 90 %).", b.cell)
}

// programTable is the part of the processor time that the proxy's own program takes, without the system's part.
func (b *bench) programTable() string {
	return b.caseTable("In the program", "The part of these microseconds that is spent in the program itself, and its share. The rest is the kernel's work for the sockets.", func(kind, peer string) string {
		own := middle(b.values(kind, peer, func(s sample) float64 { return cpu(s) * s.user }))
		share := middle(b.values(kind, peer, func(s sample) float64 { return s.user }))
		return fmt.Sprintf("%.1f · %.0f %%", own, 100*share)
	})
}

// paceTable shows how many requests the proxies served, which explains the times above.
func (b *bench) paceTable() string {
	return b.caseTable("Requests a second", "The second figure is how busy the proxy kept its processors. Where it is well below 100 %, the clients and the origin were the limit.", func(kind, peer string) string {
		pace := middle(b.values(kind, peer, func(s sample) float64 { return s.perSecond }))
		busy := middle(b.values(kind, peer, func(s sample) float64 { return s.busy }))
		return fmt.Sprintf("%.0f · %.0f %%", pace, 100*busy/float64(b.cores()))
	})
}

// caseTable has a row for each case and a column for each peer.
func (b *bench) caseTable(title, about string, cell func(kind, peer string) string) string {
	heads := []string{"case"}
	for _, p := range b.peers {
		heads = append(heads, p.title)
	}
	var rows [][]string
	for _, k := range kinds() {
		if len(b.samples[k.name]) == 0 {
			continue
		}
		row := []string{k.title}
		for _, p := range b.peers {
			row = append(row, cell(k.name, p.name))
		}
		rows = append(rows, row)
	}
	return table(title, about, heads, rows)
}

// cell is a time with its ratio to nginx's time.
func (b *bench) cell(kind, peer string) string {
	mine := b.values(kind, peer, cpu)
	all := ratios(mine, b.values(kind, base, cpu))
	if peer == base || len(all) == 0 {
		return fmt.Sprintf("%.1f", middle(mine))
	}
	low, high := interval(all)
	return fmt.Sprintf("%.1f · **%.2f** (%.2f to %.2f)", middle(mine), middle(all), low, high)
}

func (b *bench) latencyTable() string {
	var rows [][]string
	for _, p := range b.peers {
		if len(b.samples["rate"][p.name]) == 0 {
			continue
		}
		of := func(d func(sample) time.Duration) string {
			return fmt.Sprintf("%.2f", middle(b.values("rate", p.name, func(s sample) float64 { return d(s).Seconds() * 1e3 })))
		}
		slow := b.values("rate", p.name, func(s sample) float64 { return 100 * s.slow })
		low, high := interval(slow)
		rows = append(rows, []string{
			p.title, of(func(s sample) time.Duration { return s.p50 }), of(func(s sample) time.Duration { return s.p99 }), of(func(s sample) time.Duration { return s.p999 }),
			fmt.Sprintf("%.2f %% (%.2f to %.2f)", middle(slow), low, high),
		})
	}
	return table("Latency", fmt.Sprintf("Milliseconds from when each of %d requests a second was scheduled until its answer was complete, even if the requests before it were late; medians of the rounds' percentiles.", openRate),
		[]string{"proxy", "p50", "p99", "p99.9", "over 1 ms"}, rows)
}

func (b *bench) reloadTable() string {
	var rows [][]string
	for _, p := range b.peers {
		var answers, lost, reloads int
		var longest time.Duration
		for _, s := range b.samples["reload"][p.name] {
			answers, lost, reloads, longest = answers+s.answers, lost+s.lost, reloads+s.reloads, max(longest, s.longest)
		}
		if answers == 0 {
			continue
		}
		p99 := middle(b.values("reload", p.name, func(s sample) float64 { return s.p99.Seconds() * 1e3 }))
		rows = append(rows, []string{p.title, fmt.Sprint(reloads), fmt.Sprint(answers), fmt.Sprint(lost), fmt.Sprintf("%.1f", p99), fmt.Sprintf("%.0f", longest.Seconds()*1e3)})
	}
	return table("Reloads", "Under full load, with a different config each time. A request is lost if its connection ended without an answer.",
		[]string{"proxy", "reloads", "answered", "lost", "p99, ms", "longest, ms"}, rows)
}

func (b *bench) memoryTable() string {
	var rows [][]string
	mega := func(bytes int) string {
		if bytes == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f", float64(bytes)/(1<<20))
	}
	for _, p := range b.peers {
		if r := b.rooms[p.name]; *r != (room{}) {
			rows = append(rows, []string{p.title, mega(r.begun), mega(r.worked), mega(r.idle)})
		}
	}
	return table("Memory", fmt.Sprintf("Resident MiB, with shared pages counted in part (PSS): after the start, after the cases above, and with %d idle connections that have made one request, %s later.", b.idle, b.settle),
		[]string{"proxy", "at the start", "after load", "with idle connections"}, rows)
}

func (b *bench) callTable() string {
	var rows [][]string
	for _, p := range b.peers {
		calls := b.called[p.name]
		if len(calls) == 0 {
			continue
		}
		var names []string
		sum := 0.0
		for name, n := range calls {
			if sum += n; n >= 0.05 {
				names = append(names, name)
			}
		}
		slices.SortFunc(names, func(x, y string) int { return int(math.Copysign(1, calls[y]-calls[x])) })
		for i, name := range names {
			names[i] = fmt.Sprintf("%s %.2f", name, calls[name])
		}
		rows = append(rows, []string{p.title, fmt.Sprintf("%.2f", sum), strings.Join(names, ", ")})
	}
	return table("System calls", "For each GET of 1 KiB, as strace counts them. strace slows the proxy down, so that more requests are ready at each poll.", []string{"proxy", "calls", "of them"}, rows)
}

func (b *bench) allocationTable() string {
	var rows [][]string
	for _, k := range kinds() {
		row := []string{k.title}
		for _, engine := range []string{"own", "std"} {
			if each, counted := b.allocations[k.name][engine]; counted {
				row = append(row, fmt.Sprintf("%.1f", each))
			}
		}
		if len(row) == 3 {
			rows = append(rows, row)
		}
	}
	return table("Allocations", "Heap allocations of the whole Weir process for each request, including those of timers and the garbage collector. They are counted once, apart from the samples.", []string{"case", "own", "std"}, rows)
}

// plots returns the plots of the figures.
func (b *bench) plots() map[string]plot {
	found := map[string]plot{}
	if p := b.cpuPlot(); len(p.groups) > 0 {
		found["cpu"] = p
	}
	if p := b.latencyPlot(); len(p.groups) > 0 {
		found["latency"] = p
	}
	if p := b.memoryPlot(); len(p.groups) > 0 {
		found["memory"] = p
	}
	return found
}

// series returns the series of all peers except one.
func (b *bench) series(but string) (all []series) {
	for _, p := range b.peers {
		if p.name != but {
			all = append(all, series{p.title, p.colour})
		}
	}
	return all
}

func (b *bench) cpuPlot() plot {
	p := plot{
		title: "Processor time of a request, nginx = 1", about: "The ratios in the table of processor time; less is better. The thin lines are the intervals.", series: b.series(base),
		scale: scale{low: 0.25, high: 16, logarithmic: true, marks: []float64{0.25, 0.5, 1, 2, 4, 8, 16}, one: true, form: "%g"},
	}
	for _, k := range kinds() {
		g := group{title: k.title}
		there := false
		for _, peer := range b.peers {
			if peer.name == base {
				continue
			}
			all := ratios(b.values(k.name, peer.name, cpu), b.values(k.name, base, cpu))
			low, high := interval(all)
			g.bars = append(g.bars, bar{middle(all), low, high, fmt.Sprintf("%.2f", middle(all))})
			there = there || len(all) > 0
		}
		if there {
			p.groups = append(p.groups, g)
		}
	}
	return p
}

func (b *bench) latencyPlot() plot {
	p := plot{
		title: fmt.Sprintf("Latency at %d requests a second, in milliseconds", openRate), about: "The figures in the table of latency; less is better.", series: b.series(""),
		scale: scale{low: 0.05, high: 50, logarithmic: true, marks: []float64{0.05, 0.1, 0.5, 1, 5, 10, 50}, form: "%g"},
	}
	if len(b.samples["rate"]) == 0 {
		return p
	}
	for _, of := range []struct {
		title string
		of    func(sample) time.Duration
	}{{"p50", func(s sample) time.Duration { return s.p50 }}, {"p99", func(s sample) time.Duration { return s.p99 }}, {"p99.9", func(s sample) time.Duration { return s.p999 }}} {
		g := group{title: of.title}
		for _, peer := range b.peers {
			all := b.values("rate", peer.name, func(s sample) float64 { return of.of(s).Seconds() * 1e3 })
			low, high := interval(all)
			g.bars = append(g.bars, bar{middle(all), low, high, fmt.Sprintf("%.2f", middle(all))})
		}
		p.groups = append(p.groups, g)
	}
	return p
}

func (b *bench) memoryPlot() plot {
	p := plot{title: "Memory, in MiB", about: "The figures in the table of memory; less is better.", series: b.series(""), scale: scale{high: 100, marks: []float64{0}, form: "%g"}}
	for i, title := range []string{"at the start", "after load", fmt.Sprintf("with %d idle connections", b.idle)} {
		g := group{title: title}
		sum := 0
		for _, peer := range b.peers {
			r := b.rooms[peer.name]
			bytes := []int{r.begun, r.worked, r.idle}[i]
			value := float64(bytes) / (1 << 20)
			sum += bytes
			p.scale.high = max(p.scale.high, math.Ceil(value/100)*100)
			g.bars = append(g.bars, bar{value: value, label: fmt.Sprintf("%.0f", value)})
		}
		if sum > 0 {
			p.groups = append(p.groups, g)
		}
	}
	for mark := p.scale.high / 4; mark <= p.scale.high; mark += p.scale.high / 4 {
		p.scale.marks = append(p.scale.marks, mark)
	}
	return p
}
