package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// job is a job as the admin API describes it.
type job struct {
	ID, Kind, Lane, About, Purpose, Owner, State, Reason string
	Attempts, Failures                                   int
	Created, Due, Expires, Started, Ended, Until         time.Time
}

// jobList is the answer of GET /v1/jobs.
type jobList struct {
	All  int
	Jobs []job
}

func jobsCommand(s Streams) *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "jobs",
		Short: "List, retry, cancel and delete the jobs of a running gateway.",
		Long: `List, retry, cancel and delete the jobs of a running gateway: requests that it has
accepted and sends later (async). Dead letters are jobs that it has given up.`,
		Example: `  weir jobs                              the newest jobs
  weir jobs list --state dead            the dead letters
  weir jobs retry --state dead           retry all dead letters
  weir jobs show 0d234ccf52430000...`,
		Args: args(0, 0, "no arguments; its commands are list, show, retry, cancel and drop"),
	}
	o.persistent(c)
	list := listJobs(s, &o)
	c.RunE = list.RunE
	c.Flags().AddFlagSet(list.Flags())
	c.AddCommand(list, showJob(s, &o),
		changeJobs(s, &o, change{"retry", "Retry jobs that have ended, as if they were new.", "queued again", http.MethodPost, "/retry", []queue.State{queue.Dead, queue.Failed, queue.Cancelled}}),
		changeJobs(s, &o, change{"cancel", "Cancel jobs that are queued or running.", "cancelled", http.MethodPost, "/cancel", []queue.State{queue.Queued, queue.Running}}),
		changeJobs(s, &o, change{"drop", "Delete jobs that have ended.", "deleted", http.MethodDelete, "", []queue.State{queue.Done, queue.Failed, queue.Dead, queue.Cancelled}}),
	)
	return c
}

// picked says which jobs are selected.
type picked struct {
	state, lane string
	limit       int
}

func (p *picked) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.state, "state", "", "only jobs in this `state`: queued, running, done, failed, dead, cancelled")
	c.Flags().StringVar(&p.lane, "route", "", "only jobs of this `route`")
}

func (p *picked) query() string {
	q := url.Values{"limit": {strconv.Itoa(p.limit)}}
	if p.state != "" {
		q.Set("state", p.state)
	}
	if p.lane != "" {
		q.Set("lane", p.lane)
	}
	return "/v1/jobs?" + q.Encode()
}

func listJobs(s Streams, o *operator) *cobra.Command {
	var p picked
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List jobs, newest first.", Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			var found jobList
			var raw []byte
			if err := o.ask(http.MethodGet, p.query(), &found, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := s.Out.Write(raw)
				return err
			}
			return s.jobs(found)
		},
	}
	p.flags(c)
	c.Flags().IntVar(&p.limit, "limit", 20, "maximum `number` of jobs")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s Streams) jobs(found jobList) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tSTATE\tATTEMPTS\tCREATED\tWHAT\tREASON")
	for _, j := range found.Jobs {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(j.ID), printable(j.State), j.Attempts, moment(j.Created), printable(j.About), printable(j.Reason))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := found.All - len(found.Jobs); more > 0 {
		_, _ = fmt.Fprintf(s.Err, "and %d more (--limit)\n", more)
	}
	return nil
}

func showJob(s Streams, o *operator) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show one job.", Args: args(1, 1, "the id of a job"),
		RunE: func(_ *cobra.Command, given []string) error {
			var j job
			var raw []byte
			if err := o.ask(http.MethodGet, "/v1/jobs/"+url.PathEscape(given[0]), &j, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := s.Out.Write(raw)
				return err
			}
			s.job(j)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (s Streams) job(j job) {
	line := func(label, text string) {
		if text != "" {
			_, _ = fmt.Fprintf(s.Out, "%-9s %s\n", label, printable(text))
		}
	}
	at := func(label string, t time.Time) {
		if !t.IsZero() {
			line(label, moment(t))
		}
	}
	line("id", j.ID)
	line("state", j.State)
	line("what", j.About)
	line("purpose", j.Purpose)
	line(j.Kind, j.Lane)
	line("owner", j.Owner)
	line("reason", j.Reason)
	line("attempts", fmt.Sprintf("%d, of which %d count as failures", j.Attempts, j.Failures))
	at("created", j.Created)
	at("started", j.Started)
	at("next", j.Due)
	at("ended", j.Ended)
	if j.Ended.IsZero() {
		at("expires", j.Expires)
	}
	at("until", j.Until)
}

// change is what a command does to jobs.
type change struct {
	name, short, done, method, path string

	fits []queue.State // the states that it applies to
}

func (o *operator) change(to change, id string) error {
	return o.ask(to.method, "/v1/jobs/"+url.PathEscape(id)+to.path, nil, nil)
}

// mostChanged is how many jobs one command changes if it names none.
const mostChanged = 10_000

func changeJobs(s Streams, o *operator, to change) *cobra.Command {
	p := picked{limit: mostChanged}
	c := &cobra.Command{
		Use: to.name + " [ID...]", Short: to.short,
		Long: to.short + `

Jobs that --state and --route select but to which this does not apply stay unchanged.
The gateway accepts this only with its admin.token (--token).`,
		Args: args(0, mostChanged, "ids of jobs, or --state and --route"),
		RunE: func(_ *cobra.Command, given []string) error {
			if (len(given) == 0) == (p.state == "" && p.lane == "") {
				return usageError{errors.New("name jobs by their ids, or select them with --state and --route")}
			}
			if len(given) > 0 {
				return s.changeNamed(o, to, given)
			}
			return s.changePicked(o, to, p)
		},
	}
	p.flags(c)
	return c
}

// changeNamed changes the named jobs, up to the first one that cannot be changed.
func (s Streams) changeNamed(o *operator, to change, ids []string) error {
	for _, id := range ids {
		if err := o.change(to, id); err != nil {
			return fmt.Errorf("job %s: %w", id, err)
		}
	}
	_, err := fmt.Fprintf(s.Out, "%s %s\n", count(len(ids), "job"), to.done)
	return err
}

// changePicked changes those of the jobs that p selects to which the change applies. Others, and jobs that have left
// such a state meanwhile, are left as they are.
func (s Streams) changePicked(o *operator, to change, p picked) error {
	var found jobList
	if err := o.ask(http.MethodGet, p.query(), &found, nil); err != nil {
		return err
	}
	changed, left := 0, 0
	for _, j := range found.Jobs {
		if !slices.Contains(to.fits, queue.State(j.State)) {
			left++
			continue
		}
		err := o.change(to, j.ID)
		refused, ok := errors.AsType[*refusedError](err)
		switch {
		case ok && (refused.code == fault.JobState.Code || refused.code == fault.JobNotFound.Code):
			left++
			continue
		case err != nil:
			return fmt.Errorf("job %s, after %s %s: %w", j.ID, count(changed, "job"), to.done, err)
		}
		changed++
	}
	said := count(changed, "job") + " " + to.done
	if left > 0 {
		said += "; " + count(left, "job") + " left unchanged, because " + to.name + " does not apply"
	}
	_, err := fmt.Fprintln(s.Out, said)
	return err
}
