package admin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// job is a job as operators see it, without the contents of its request and answer.
type job struct {
	ID       string      `json:"id"`
	Kind     string      `json:"kind"`
	Lane     string      `json:"lane"`
	About    string      `json:"about"`
	Purpose  string      `json:"purpose,omitempty"`
	Owner    string      `json:"owner,omitempty"`
	State    queue.State `json:"state"`
	Reason   string      `json:"reason,omitempty"`
	Attempts int         `json:"attempts"`
	Failures int         `json:"failures"`
	Created  time.Time   `json:"created"`
	Due      time.Time   `json:"due,omitzero"`
	Expires  time.Time   `json:"expires"`
	Started  time.Time   `json:"started,omitzero"`
	Ended    time.Time   `json:"ended,omitzero"`
	Until    time.Time   `json:"until,omitzero"`
}

func jobOf(j queue.Job) job {
	told := job{
		ID: j.ID, Kind: j.Kind, Lane: j.Lane, About: j.About, Purpose: j.Purpose, Owner: j.Owner, State: j.State, Reason: j.Reason,
		Attempts: j.Attempts, Failures: j.Failures, Created: j.Created, Expires: j.Expires, Started: j.Started, Ended: j.Ended, Until: j.Until,
	}
	if j.State == queue.Queued {
		told.Due = j.Due
	}
	return told
}

// The default and maximum number of jobs in a list.
const (
	usualJobs = 100
	mostJobs  = 10_000
)

// jobs lists jobs.
func (a *api) jobs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := queue.Filter{Place: queue.Place{Kind: q.Get("kind"), Lane: q.Get("lane")}, State: queue.State(q.Get("state")), Most: usualJobs}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostJobs {
			answer(w, r, fault.BadParameter.New("`limit` is a number from 1 to "+strconv.Itoa(mostJobs)+"."))
			return
		}
		f.Most = n
	}
	if f.State != "" && !slices.Contains(queue.States(), f.State) {
		answer(w, r, fault.BadParameter.New("`state` is queued, running, done, failed, dead or cancelled."))
		return
	}
	list, all := a.Queue.List(f)
	told := struct {
		All  int   `json:"all"` // that match, including those beyond the limit
		Jobs []job `json:"jobs"`
	}{all, make([]job, len(list))}
	for i, j := range list {
		told.Jobs[i] = jobOf(j)
	}
	writeJSON(w, told)
}

func (a *api) job(w http.ResponseWriter, r *http.Request) {
	j, err := a.Queue.Get(r.Context(), r.PathValue("id"))
	a.tellJob(w, r, j, err)
}

func (a *api) retryJob(w http.ResponseWriter, r *http.Request) {
	j, err := a.Queue.Retry(r.Context(), r.PathValue("id"))
	a.tellJob(w, r, j, err)
}

func (a *api) cancelJob(w http.ResponseWriter, r *http.Request) {
	j, err := a.Queue.Cancel(r.Context(), r.PathValue("id"))
	a.tellJob(w, r, j, err)
}

func (a *api) dropJob(w http.ResponseWriter, r *http.Request) {
	if err := a.Queue.Drop(r.Context(), r.PathValue("id")); err != nil {
		a.tellJob(w, r, queue.Job{}, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) tellJob(w http.ResponseWriter, r *http.Request, j queue.Job, err error) {
	switch {
	case err == nil:
		writeJSON(w, jobOf(j))
	case errors.Is(err, queue.ErrUnknown):
		answer(w, r, fault.JobNotFound.New(""))
	case errors.Is(err, queue.ErrState):
		answer(w, r, fault.JobState.New("What is done is not tried again, what has ended is not taken back, and what has not ended is not forgotten."))
	default:
		answer(w, r, fault.QueueUnavailable.New("", fault.Cause(err)))
	}
}
