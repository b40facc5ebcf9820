package admin

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

// outcome is the result of a requested change.
type outcome struct {
	Digest  string          `json:"digest"`
	Applied bool            `json:"applied"`
	DryRun  bool            `json:"dry_run,omitempty"`
	Changes []config.Change `json:"changes"`
	// Problems are warnings, and errors of the files under Bad.
	Problems []string `json:"problems"`
	Bad      []bad    `json:"bad,omitempty"`
	Hold     *hold    `json:"hold,omitempty"`
}

// bad is a file whose present text does not serve.
type bad struct {
	File     string    `json:"file"`
	Since    time.Time `json:"since"`
	Kept     bool      `json:"kept"` // its last good text serves; otherwise it is new and omitted
	Problems []string  `json:"problems"`
}

// hold is what serves in place of the files.
type hold struct {
	By     string    `json:"by"`
	Digest string    `json:"digest"`
	Since  time.Time `json:"since"`
}

func badFiles(list []follow.Bad) []bad {
	files := make([]bad, len(list))
	for i, b := range list {
		files[i] = bad{b.File, b.Since, b.LastGood, texts(b.Problems)}
	}
	return files
}

func (a *api) hold() *hold {
	if h := a.Follower.Status().Hold; h != nil {
		return &hold{h.By, h.Digest, h.Since}
	}
	return nil
}

// put makes the body serve in place of the files.
func (a *api) put(w http.ResponseWriter, r *http.Request) {
	match := strings.TrimSpace(r.Header.Get("If-Match"))
	if match == "" {
		answer(w, r, fault.ConfigUnseen.New("Send `If-Match` with the digest of the configuration that this one replaces, in quotes, or `*`."))
		return
	}
	seen, err := strconv.Unquote(match)
	if err != nil && match != "*" {
		answer(w, r, fault.BadParameter.New("`If-Match` is one digest in quotes, or `*`."))
		return
	}
	text, f := content(r, "A configuration", "")
	if f != nil {
		answer(w, r, f)
		return
	}
	dryRun := r.URL.Query().Get("dry_run")
	if dryRun != "" && dryRun != "true" && dryRun != "false" {
		answer(w, r, fault.BadParameter.New("`dry_run` is true or false."))
		return
	}
	report, err := a.Follower.Put(text, seen, dryRun == "true")
	a.tell(w, r, report, err, dryRun == "true")
}

// content reads the body of r within its bound. what describes the body in error messages; why is added to the message
// about a body that is too large.
func content(r *http.Request, what, why string) ([]byte, *fault.Fault) {
	text, err := io.ReadAll(r.Body)
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.BodyTooLarge.New(what + " has at most " + strconv.FormatInt(large.Limit, 10) + " bytes" + why + ".")
	}
	if err != nil {
		return nil, fault.MalformedRequest.New("The body ends early.", fault.Cause(err))
	}
	return text, nil
}

// release goes back to the files.
func (a *api) release(w http.ResponseWriter, r *http.Request) {
	report, err := a.Follower.Release()
	a.tell(w, r, report, err, false)
}

// reload reads the files again.
func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	report, err := a.Follower.Read()
	a.tell(w, r, report, err, false)
}

// rollback goes back to a config that served before.
func (a *api) rollback(w http.ResponseWriter, r *http.Request) {
	report, err := a.Follower.Rollback(r.URL.Query().Get("to"))
	a.tell(w, r, report, err, false)
}

// tell answers with the result of a change.
func (a *api) tell(w http.ResponseWriter, r *http.Request, report follow.Report, err error, dryRun bool) {
	_, notKept := errors.AsType[*history.NotKeptError](err)
	switch {
	case errors.Is(err, follow.ErrChanged):
		answer(w, r, fault.ConfigChanged.New("What serves has the digest "+report.Digest+".", fault.WithField("ETag", strconv.Quote(report.Digest))))
	case notKept:
		answer(w, r, fault.ConfigNotKept.New(sentence(err.Error())))
	case errors.Is(err, reconcile.ErrRefused):
		answer(w, r, fault.ConfigRefused.New("What served before serves on.", fault.Problems(texts(report.Problems))))
	case err != nil:
		answer(w, r, fault.ConfigRefused.New(sentence(err.Error()), fault.Problems(texts(report.Problems))))
	default:
		w.Header().Set("ETag", strconv.Quote(a.Reconciler.Serves().Digest))
		writeJSON(w, outcome{
			Digest: report.Digest, Applied: !dryRun, DryRun: dryRun, Changes: orEmpty(report.Changes),
			Problems: texts(report.Problems), Bad: badFiles(report.Bad), Hold: a.hold(),
		})
	}
}

// served is an entry of the history.
type served struct {
	Digest string    `json:"digest"`
	Time   time.Time `json:"time"`
	From   string    `json:"from"`
	Serves bool      `json:"serves"`
}

func (a *api) history(w http.ResponseWriter, _ *http.Request) {
	serves := a.Reconciler.Serves().Digest
	list := []served{}
	for _, e := range a.Follower.History() {
		list = append(list, served{e.Digest, e.Time, e.From, e.Digest == serves})
	}
	writeJSON(w, list)
}

func (a *api) historical(w http.ResponseWriter, r *http.Request) {
	cfg, err := a.Follower.OfHistory(r.PathValue("digest"))
	if err == nil && cfg == nil {
		err = errors.New("this version does not read it any more")
	}
	if err != nil {
		answer(w, r, fault.ConfigNotKept.New(sentence(err.Error())))
		return
	}
	a.print(w, r, cfg)
}

func (a *api) config(w http.ResponseWriter, r *http.Request) {
	current, digest := a.Reconciler.Config(), a.Reconciler.Serves().Digest
	if current == nil {
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
		return
	}
	if written := a.Follower.Written(); written != nil && r.URL.Query().Get("format") == elements {
		current = written // addresses that the command line replaces do not count as differences
	}
	w.Header().Set("ETag", strconv.Quote(digest))
	a.print(w, r, current)
}

// elements is the format that lists a config's elements.
const elements = "elements"

// print answers with a config in its long form, or as its elements (format=elements).
func (a *api) print(w http.ResponseWriter, r *http.Request, cfg *config.Config) {
	switch r.URL.Query().Get("format") {
	case elements:
		writeJSON(w, config.Elements(cfg))
	case "", "yaml":
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(a.Expand(cfg))
	default:
		answer(w, r, fault.BadParameter.New("`format` is yaml or elements."))
	}
}

// sentence turns an error's text into a sentence.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// orEmpty makes JSON show an empty list instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
