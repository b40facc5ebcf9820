package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is how a job stands.
type State string

// The states. Those from Done on are ends; all of these but Done can be left again, by Retry.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"      // the lane is content with the answer
	Failed    State = "failed"    // there is an answer, and asking again would give the same
	Dead      State = "dead"      // it was tried as often and as long as it may be
	Cancelled State = "cancelled" // somebody did not want it any more
)

// Ended tells whether nothing more happens to a job of its own accord.
func (s State) Ended() bool { return s != Queued && s != Running }

// States are all of them, in the order of a job's life.
func States() []State { return []State{Queued, Running, Done, Failed, Dead, Cancelled} }

// Place names who sends a job: a kind of sender and, of that kind, which one.
type Place struct {
	Kind string `json:"kind"` // "route", "lambda"
	Lane string `json:"lane"` // the name of the route, of the function
}

// LaneName is both in one text.
func (p Place) LaneName() string { return p.Kind + " " + p.Lane }

// Job is a job as those see it who ask. It is a copy.
type Job struct {
	Place

	// ID is 24 bytes in hexadecimal, of which 16 are random: who does not know it cannot
	// guess it.
	ID string `json:"-"`
	// Owner is who may ask for the job, in a form of the lane's; "": whoever knows the ID.
	Owner string `json:"owner,omitempty"`
	// Key makes two Puts one job, where the place is the same; "": none. Digest is then what
	// must be the same too.
	Key    string `json:"key,omitempty"`
	Digest string `json:"digest,omitempty"`
	// About tells operators what it is, "POST /orders", and never a secret.
	About string `json:"about,omitempty"`
	// Purpose is the lane's own word for what is to be done with it.
	Purpose string `json:"purpose,omitempty"`

	State    State         `json:"state"`
	Created  time.Time     `json:"created"`
	Age      time.Duration `json:"age"`              // for how long it is tried, from Created or the latest Retry on
	Due      time.Time     `json:"due"`              // when it is tried next, at the earliest
	Expires  time.Time     `json:"expires"`          // when it is not tried any more
	Started  time.Time     `json:"started,omitzero"` // the latest attempt
	Ended    time.Time     `json:"ended,omitzero"`
	Until    time.Time     `json:"until,omitzero"` // when it is forgotten, once it has ended
	Attempts int           `json:"attempts"`       // all of them
	Failures int           `json:"failures"`       // those that count against it
	// Reason tells operators and the owner why it is where it is; never a secret.
	Reason string `json:"reason,omitempty"`
	Keep   Keep   `json:"keep"`

	// heldBy is the file of the process that is still at it, where this is the next one.
	HeldBy string `json:"held_by,omitempty"`
	// HasResult tells that Result gives one.
	HasResult bool `json:"has_result,omitempty"`
}

// Keep is for how long a job is kept that has ended.
type Keep struct {
	Ended time.Duration `json:"ended"`
	Dead  time.Duration `json:"dead"`
}

// Draft is a job to be put.
type Draft struct {
	Place

	Owner, Key, Digest, About, Purpose string

	Delay time.Duration // before the first attempt
	Age   time.Duration // for how long it is tried
	Keep  Keep
	// Most is how many jobs of the place may wait or run; 0: as many as the queue holds.
	Most int
	// Body is what the lane's Run reads.
	Body []byte
}

// Verdict is what an attempt says of its job.
type Verdict uint8

// The verdicts.
const (
	// Succeeded ends the job as Done, Refused as Failed, Hopeless as Dead.
	Succeeded Verdict = iota
	Refused
	Hopeless
	// Again counts against the job, which is tried once more if it may be.
	Again
	// NotNow does not count: who should have done it was not there or had no time.
	NotNow
)

func (v Verdict) String() string {
	return [...]string{"succeeded", "refused", "hopeless", "failed", "not-now"}[v]
}

// Outcome is what became of an attempt.
type Outcome struct {
	Verdict Verdict
	// After is when to come back at the earliest, with Again and NotNow; 0: as the lane's
	// Retry says.
	After  time.Duration
	Reason string
	// Result is kept with a job that ends, and with one that is tried again until then.
	Result []byte
}

// The errors of Put, Result and what changes a job.
var (
	// ErrFull says that there is no room; later there may be.
	ErrFull = errors.New("the queue is full")
	// ErrUnavailable says that nothing can be stored just now.
	ErrUnavailable = errors.New("the queue cannot be written")
	// ErrMismatch says that the key was used for something else.
	ErrMismatch = errors.New("the key was used for another job")
	// ErrUnknown says that there is no such job, or none any more.
	ErrUnknown = errors.New("there is no such job")
	// ErrState says that the job is not in a state for that.
	ErrState = errors.New("the job is in no state for that")
)

// version is that of the form of records; one of another version is not read.
const version = 1

// record is what is stored of a job beside its body and its result.
type record struct {
	Version int `json:"v"`
	Job
}

func (j *Job) encode() ([]byte, error) { return json.Marshal(record{version, *j}) }

// decode reads a record. It takes nothing that a queue would not have written.
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
