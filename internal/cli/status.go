package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/control/follow"
)

// gatewayStatus is the part of GET /v1/status that is shown.
type gatewayStatus struct {
	Version  string
	Digest   string
	Applied  time.Time
	Age      string
	Source   string
	Input    string
	Sockets  map[string]string
	InFlight int64 `json:"in_flight"`
	Problems []string
	Hold     *struct {
		By    string
		Since time.Time
	}
	Bad []struct {
		File     string
		Since    time.Time
		Kept     bool
		Problems []string
	}
	Refused *struct {
		Time     time.Time
		Problems []string
	}
	Certificates []struct {
		Listener string
		Names    []string
		NotAfter time.Time `json:"not_after"`
	}
	Heard    []heard
	Registry *struct {
		Services, Instances, Suspect int
		Problem                      string
	}
	Reloads struct{ Applied, Refused int64 }
}

// heard is what an outside source has delivered.
type heard struct {
	Kind, Of         string
	Count            int
	Confirmed, Until time.Time
	Kept             bool
	Problem          string
}

// fresh reports whether there is nothing worth showing.
func (h heard) fresh() bool {
	return h.Kind == "endpoints" && !h.Kept && h.Problem == "" && !h.Confirmed.IsZero()
}

func (h heard) String() string {
	text := fmt.Sprintf("%s: %d", h.Of, h.Count)
	if h.Kept {
		text += " from before the start"
	}
	if h.Confirmed.IsZero() {
		text += ", never confirmed"
	} else {
		text += ", last confirmed " + moment(h.Confirmed)
	}
	if !h.Until.IsZero() {
		text += ", valid until " + moment(h.Until)
	}
	if h.Problem != "" {
		text += ": " + h.Problem
	}
	return text
}

func statusCommand(s Streams) *cobra.Command {
	var o operator
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a running gateway serves, and what is wrong with its config.",
		Long: `Show what a running gateway serves, since when and from which source, which files are
bad, and what was refused. The exit code is 0 if all is well, and 2 if the gateway does
not serve what the files say because they contain a mistake.`,
		Example: `  weir status
  weir status --admin unix:/run/weir/admin.sock --json`,
		Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			var now gatewayStatus
			var raw []byte
			if err := o.ask("GET", "/v1/status", &now, &raw); err != nil {
				return err
			}
			if asJSON {
				_, _ = s.Out.Write(raw)
			} else {
				var before []historyEntry
				if err := o.ask("GET", "/v1/history", &before, nil); err != nil {
					return err
				}
				s.status(now, before)
			}
			if len(now.Bad) > 0 || now.Refused != nil || now.Source == follow.FromLastGood {
				return errSaid
			}
			return nil
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// historyEntry is a config that served.
type historyEntry struct {
	Digest string
	Time   time.Time
	From   string
	Serves bool
}

func (s Streams) status(now gatewayStatus, before []historyEntry) {
	line := func(label, format string, values ...any) {
		_, _ = fmt.Fprintf(s.Out, "%-13s %s\n", label, printable(fmt.Sprintf(format, values...)))
	}
	more := func(list []string) {
		for _, text := range list {
			line("", "  %s", text)
		}
	}
	line("version", "%s", now.Version)
	line("serves", "%s since %s (%s)", now.Digest, moment(now.Applied), now.Age)
	line("from", "%s", now.from())
	more(now.Problems)
	if h := now.Hold; h != nil {
		line("hold", "%s since %s, until the files change or `weir rollback --release`", h.By, moment(h.Since))
	}
	for _, b := range now.Bad {
		what := "its last good text serves"
		if !b.Kept {
			what = "it is new, and left out"
		}
		line("bad", "%s since %s; %s", b.File, moment(b.Since), what)
		more(b.Problems)
	}
	if r := now.Refused; r != nil {
		line("refused", "%s", moment(r.Time))
		more(r.Problems)
	}
	for _, name := range slices.Sorted(maps.Keys(now.Sockets)) {
		line("socket", "%s at %s", name, now.Sockets[name])
	}
	for _, c := range now.Certificates {
		line("certificate", "%s for %s until %s", c.Listener, strings.Join(c.Names, ", "), moment(c.NotAfter))
	}
	for _, h := range now.Heard {
		if !h.fresh() {
			line(h.Kind, "%s", h)
		}
	}
	if r := now.Registry; r != nil {
		line("registry", "%s of %s, %d suspect", count(r.Instances, "instance"), count(r.Services, "service"), r.Suspect)
		if r.Problem != "" {
			line("", "  in memory only: %s", r.Problem)
		}
	}
	line("requests", "%d in flight", now.InFlight)
	line("reloads", "%d applied, %d refused", now.Reloads.Applied, now.Reloads.Refused)
	for i, e := range before {
		label, note := "", ""
		if i == 0 {
			label = "history"
		}
		if e.Serves {
			note = ", serves"
		}
		line(label, "%s from %s, %s%s", e.Digest, now.named(e.From), moment(e.Time), note)
	}
}

// from says where the served config comes from: from what the command line named, unless an operator has put another
// config in its place.
func (g gatewayStatus) from() string {
	name := g.named(g.Source)
	if name != g.Source {
		name += ", as given to weir run"
	}
	return name
}

// named returns the name of a source, or what the command line named if that is the source.
func (g gatewayStatus) named(from string) string {
	if from == follow.FromInput && g.Input != "" {
		return g.Input
	}
	return from
}

// moment formats a time for people at this machine, or "never" for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime) //nolint:gosmopolitan // it is for them
}
