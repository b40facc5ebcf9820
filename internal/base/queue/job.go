package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is the state of a job.
type State string

// The states. Done and those after it are final, but Retry can take a job out of each of them except Done.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"      // the lane accepted the answer
	Failed    State = "failed"    // there is an answer, and asking again would give the same
	Dead      State = "dead"      // it was tried as often and as long as it may be
	Cancelled State = "cancelled" // it was cancelled on request
)

// Ended reports whether nothing more happens to a job by itself.
func (s State) Ended() bool { return s != Queued && s != Running }

// States returns all states, in the order of a job's life.
func States() []State { return []State{Queued, Running, Done, Failed, Dead, Cancelled} }

// Place names what sends a job: a kind of sender, and which sender of that kind.
type Place struct {
	Kind string `json:"kind"` // "route", "lambda"
	Lane string `json:"lane"` // the name of the route or function
}

// LaneName returns both in one text.
func (p Place) LaneName() string { return p.Kind + " " + p.Lane }

// Job is a job as callers see it. It is a copy.
type Job struct {
	Place

	// ID is 24 bytes in hexadecimal. 16 of them are random, so that nobody can guess it.
	ID string `json:"-"`
	// Owner is who may ask for the job, in a form that the lane defines. If it is "", anyone who knows the ID may.
	Owner string `json:"owner,omitempty"`
	// Key makes two Puts with the same place and owner one job; "" for no key. Their Digest must then be the same, too.
	Key    string `json:"key,omitempty"`
	Digest string `json:"digest,omitempty"`
	// About tells operators what the job is, as in "POST /orders". It never contains a secret.
	About string `json:"about,omitempty"`
	// Purpose is the lane's own term for what is to be done with the job.
	Purpose string `json:"purpose,omitempty"`

	State    State         `json:"state"`
	Created  time.Time     `json:"created"`
	Age      time.Duration `json:"age"`              // how long it is tried, counted from Created or the latest Retry
	Due      time.Time     `json:"due"`              // when it is tried next, at the earliest
	Expires  time.Time     `json:"expires"`          // when it is no longer tried
	Started  time.Time     `json:"started,omitzero"` // start of the latest attempt
	Ended    time.Time     `json:"ended,omitzero"`
	Until    time.Time     `json:"until,omitzero"` // when it is forgotten, once it has ended
	Attempts int           `json:"attempts"`       // all attempts
	Failures int           `json:"failures"`       // attempts that count against it
	// Reason tells operators and the owner why the job is in its state. It never contains a secret.
	Reason string `json:"reason,omitempty"`
	Keep   Keep   `json:"keep"`

	// HeldBy names the late file of an earlier process that is still running the job's attempt.
	HeldBy string `json:"held_by,omitempty"`
	// HasResult says that Result returns a result.
	HasResult bool `json:"has_result,omitempty"`
}

// Keep is how long an ended job is kept.
type Keep struct {
	Ended time.Duration `json:"ended"`
	Dead  time.Duration `json:"dead"`
}

// Draft is a job to be put.
type Draft struct {
	Place

	Owner, Key, Digest, About, Purpose string

	Delay time.Duration // before the first attempt
	Age   time.Duration // how long it is tried
	Keep  Keep
	// Most is how many jobs of the place may wait or run; 0 for as many as the queue holds.
	Most int
	// Body is what the lane's Run receives.
	Body []byte
}

// Verdict is what an attempt says about its job.
type Verdict uint8

// The verdicts.
const (
	// Succeeded ends the job as Done, Refused as Failed, Hopeless as Dead.
	Succeeded Verdict = iota
	Refused
	Hopeless
	// Again counts against the job, which is tried again if it may be.
	Again
	// NotNow does not count against the job: the backend was not available or had no time.
	NotNow
)

func (v Verdict) String() string {
	return [...]string{"succeeded", "refused", "hopeless", "failed", "not-now"}[v]
}

// Outcome is the result of an attempt.
type Outcome struct {
	Verdict Verdict
	// After is how long the next attempt must wait at least, with Again and NotNow. If it is 0, the lane's Retry
	// decides.
	After  time.Duration
	Reason string
	// Result is kept with the job, whether it ends or is tried again; a later result replaces it.
	Result []byte
}

// The errors of Put, of Result and of the methods that change a job.
var (
	// ErrFull says that there is no room now; later there may be.
	ErrFull = errors.New("the queue is full")
	// ErrUnavailable says that nothing can be stored at the moment.
	ErrUnavailable = errors.New("the queue cannot be written")
	// ErrMismatch says that the key was used for something else.
	ErrMismatch = errors.New("the key was used for another job")
	// ErrUnknown says that there is no such job, or that it has been forgotten.
	ErrUnknown = errors.New("there is no such job")
	// ErrState says that the job's state does not allow the operation.
	ErrState = errors.New("the job is in no state for that")
)

// version is the version of the record format. Records of another version are not read.
const version = 1

// record is what is stored of a job, apart from its body and its result.
type record struct {
	Version int `json:"v"`
	Job
}

func (j *Job) encode() ([]byte, error) { return json.Marshal(record{version, *j}) }

// decode reads a record. It accepts only what a queue would have written.
func decode(id string, raw []byte) (Job, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Job{}, err
	}
	switch {
	case r.Version != version:
		return Job{}, fmt.Errorf("it has version %d", r.Version)
	case !slices.Contains(States(), r.State):
		return Job{}, fmt.Errorf("its state is %q", r.State)
	case r.Kind == "" || r.Created.IsZero() || r.Expires.IsZero():
		return Job{}, errors.New("it is not whole")
	case r.State.Ended() && r.Until.IsZero():
		return Job{}, errors.New("it has ended, and is never forgotten")
	case r.Attempts < 0 || r.Failures < 0:
		return Job{}, errors.New("it was tried less than never")
	}
	r.ID = id
	return r.Job, nil
}
