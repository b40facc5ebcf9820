package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// serviceStatus is what the admin API says about a service.
type serviceStatus struct {
	Name, Source, Asks string
	Asked              int
	Waiting, Queued    int64
	Resting            bool `json:"breaker_open"`
	Heard              *heard
	Endpoints          []endpointStatus
}

// endpointStatus is what the admin API says about an endpoint.
type endpointStatus struct {
	Address, ID, Zone, State, Why string
	Asked, Proving                bool
	Since                         time.Time
	Ejected                       time.Time `json:"ejected_until"`
	InFlight                      int64     `json:"in_flight"`
	LatencyMS                     float64   `json:"latency_ms"`
	PenaltyMS                     float64   `json:"penalty_ms"`
}

func servicesCommand(s Streams) *cobra.Command {
	var o operator
	var asJSON, watch bool
	c := &cobra.Command{
		Use:   "services [NAME]",
		Short: "Show the state of each endpoint of a running gateway's services, and why.",
		Long: `Show the state of each endpoint of a running gateway's services, and why. The exit code
is 2 if a service has no endpoint that may be asked, or too few healthy ones.`,
		Example: `  weir services
  weir services users --watch        print each change until interrupted
  weir services --json`,
		Args: args(0, 1, "at most the name of a service"),
		RunE: func(_ *cobra.Command, given []string) error {
			if asJSON && watch {
				return usageError{errors.New("--json and --watch cannot be combined: a program can ask again itself")}
			}
			ask := func(raw *[]byte) ([]serviceStatus, error) { return o.services(given, raw) }
			if asJSON {
				var raw []byte
				list, err := ask(&raw)
				if err != nil {
					return err
				}
				_, _ = s.Out.Write(raw)
				return ailing(list)
			}
			list, err := ask(nil)
			if err != nil {
				return err
			}
			if err := s.services(list); err != nil {
				return err
			}
			if !watch {
				return ailing(list)
			}
			return s.watchServices(list, func() ([]serviceStatus, error) { return ask(nil) })
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "keep running, and print each change of an endpoint")
	return c
}

// services asks for all services, or for the one that was given.
func (o *operator) services(given []string, raw *[]byte) ([]serviceStatus, error) {
	if len(given) == 1 {
		list := make([]serviceStatus, 1)
		err := o.ask(http.MethodGet, "/v1/services/"+url.PathEscape(given[0]), &list[0], raw)
		return list, err
	}
	var all struct{ Services []serviceStatus }
	err := o.ask(http.MethodGet, "/v1/services", &all, raw)
	return all.Services, err
}

// The values of Asks when something is wrong (package service).
const (
	asksNobody   = "nobody"
	asksPanicked = "panic"
)

// ailing returns errSaid, which sets the exit code, if a service in the list is in trouble.
func ailing(list []serviceStatus) error {
	for _, one := range list {
		if one.Asks == asksNobody || one.Asks == asksPanicked {
			return errSaid
		}
	}
	return nil
}

func (s Streams) services(list []serviceStatus) error {
	for i, one := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(s.Out)
		}
		_, _ = fmt.Fprintln(s.Out, s.heading(one))
		w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "  ENDPOINT\tSTATE\tSINCE\tIN FLIGHT\tLATENCY\tWHY")
		for _, e := range one.Endpoints {
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\t%s\n", printable(e.name()), printable(e.State), moment(e.Since), e.InFlight, e.latency(), printable(e.why()))
		}
		if len(one.Endpoints) == 0 {
			_, _ = fmt.Fprintln(w, "  none")
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// heading describes a service as a whole.
func (s Streams) heading(one serviceStatus) string {
	parts := []string{fmt.Sprintf("%d of %s asked", one.Asked, count(len(one.Endpoints), "endpoint"))}
	if one.Source != "" && one.Source != one.Name {
		parts = append([]string{"from " + printable(one.Source)}, parts...)
	}
	switch one.Asks {
	case asksNobody:
		parts = append(parts, s.color(red, "no endpoint can be asked"))
	case asksPanicked:
		parts = append(parts, s.color(yellow, "panic: too few are healthy, so unhealthy ones are asked too"))
	case "draining":
		parts = append(parts, s.color(yellow, "only draining endpoints are left"))
	case "untried":
		parts = append(parts, s.color(yellow, "nothing is known of its endpoints yet"))
	}
	if one.Waiting > 0 {
		parts = append(parts, count(int(one.Waiting), "request")+" waiting")
	}
	if one.Queued > 0 {
		parts = append(parts, count(int(one.Queued), "request")+" waiting for room")
	}
	if one.Resting {
		parts = append(parts, s.color(red, "its breaker is open"))
	}
	if h := one.Heard; h != nil {
		switch {
		case h.Kept:
			parts = append(parts, "endpoints from before the start")
		case h.Problem != "" && h.Confirmed.IsZero():
			parts = append(parts, "never confirmed: "+printable(h.Problem))
		case h.Problem != "":
			parts = append(parts, "last confirmed "+moment(h.Confirmed)+": "+printable(h.Problem))
		}
	}
	return printable(one.Name) + ": " + strings.Join(parts, ", ")
}

func (e endpointStatus) name() string {
	if e.Zone != "" {
		return e.Address + " (" + e.Zone + ")"
	}
	return e.Address
}

func (e endpointStatus) latency() string {
	if e.LatencyMS == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fms", e.LatencyMS)
}

func (e endpointStatus) why() string {
	switch {
	case e.State == "healthy" && e.PenaltyMS > 0:
		return "it failed recently, which the balance counts as a latency of " + time.Duration(e.PenaltyMS*float64(time.Millisecond)).Round(time.Millisecond).String()
	case e.Proving:
		return e.Why + "; the next request proves it"
	case !e.Ejected.IsZero():
		return e.Why + "; until " + moment(e.Ejected)
	}
	return e.Why
}

// watchPause is the pause between two requests of a watch.
const watchPause = time.Second

// watchServices prints changes until it is interrupted.
func (s Streams) watchServices(before []serviceStatus, ask func() ([]serviceStatus, error)) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		after, err := ask()
		if err != nil {
			return err
		}
		serviceChanges(s.Out, before, after)
		before = after
	}
}

// serviceChanges prints the endpoints whose state differs between before and after.
func serviceChanges(out io.Writer, before, after []serviceStatus) {
	type place struct{ service, address, id string }
	stood := map[place]string{}
	for _, one := range before {
		for _, e := range one.Endpoints {
			stood[place{one.Name, e.Address, e.ID}] = e.State
		}
	}
	now := time.Now().Format(time.TimeOnly)
	for _, one := range after {
		for _, e := range one.Endpoints {
			at := place{one.Name, e.Address, e.ID}
			was, known := stood[at]
			delete(stood, at)
			if known && was == e.State {
				continue
			}
			if !known {
				was = "new"
			}
			line := fmt.Sprintf("%s  %s  %s  %s -> %s", now, one.Name, e.name(), was, e.State)
			if why := e.why(); why != "" && e.State != "healthy" {
				line += "  " + why
			}
			_, _ = fmt.Fprintln(out, printable(line))
		}
	}
	for at, was := range stood {
		_, _ = fmt.Fprintln(out, printable(fmt.Sprintf("%s  %s  %s  %s -> gone", now, at.service, at.address, was)))
	}
}
