// Package admin is the operators' API. Access is closed by default: it listens on loopback or a Unix socket, answers
// only to Host names that mean this machine (against DNS rebinding), refuses requests from web pages of other origins,
// and requires a token for everything that changes state. To other machines it answers the two probes, metrics where
// the config opens them to everybody, and everything else only with a token.
package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/loopback"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/explain"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Options are what the API reports and may change.
type Options struct {
	Gateway    *snapshot.Gateway
	Reconciler *reconcile.Reconciler
	Follower   *follow.Follower
	Queue      *queue.Queue // nil if there is none
	// Registry returns the status of this process's registry; ok is false if the config has none. nil: there is none.
	Registry func() (s registry.Status, ok bool)
	// Token protects changes; if it is empty, nothing can be changed over the API.
	Token secret.Value
	// Expand prints a config in its long form.
	Expand  func(*config.Config) []byte
	Level   *slog.LevelVar
	Version string
	// Leaving reports whether the gateway has begun to stop; nil: it never does.
	Leaving func() bool
	// Metrics answers scrapes.
	Metrics http.Handler
}

// New makes the API's handler.
func New(o Options) http.Handler {
	api := &api{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", api.index)
	mux.HandleFunc("GET /healthz", api.healthz)
	mux.HandleFunc("GET /readyz", api.readyz)
	mux.HandleFunc("GET /v1/status", taking(api.status))
	mux.HandleFunc("GET /v1/config", taking(api.config, "format"))
	mux.HandleFunc("PUT /v1/config", taking(api.put, "dry_run"))
	mux.HandleFunc("DELETE /v1/config", taking(api.release))
	mux.HandleFunc("POST /v1/reload", taking(api.reload))
	mux.HandleFunc("POST /v1/rollback", taking(api.rollback, "to"))
	mux.HandleFunc("GET /v1/history", taking(api.history))
	mux.HandleFunc("GET /v1/history/{digest}", taking(api.historical, "format"))
	explained := taking(api.explain, "method", "url", "header", "as", "client", "socket", "format")
	mux.HandleFunc("GET "+explainPath, explained)
	mux.HandleFunc("POST "+explainPath, explained)
	mux.HandleFunc("GET /v1/services", taking(api.services))
	mux.HandleFunc("GET /v1/services/{name}", taking(api.service))
	mux.HandleFunc("GET /v1/jobs", taking(api.jobs, "state", "kind", "lane", "limit"))
	mux.HandleFunc("GET /v1/jobs/{id}", taking(api.job))
	mux.HandleFunc("DELETE /v1/jobs/{id}", taking(api.dropJob))
	mux.HandleFunc("POST /v1/jobs/{id}/retry", taking(api.retryJob))
	mux.HandleFunc("POST /v1/jobs/{id}/cancel", taking(api.cancelJob))
	mux.HandleFunc("GET /v1/keys", taking(api.keys))
	mux.HandleFunc("PUT /v1/log-level", taking(api.logLevel))
	mux.Handle("GET "+metricsPath, o.Metrics)
	profiles(mux)
	mux.HandleFunc(everywhere, elsewise(mux))
	return api.guard(mux)
}

type api struct{ Options }

// guard lets only those requests through that may be answered.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if f := a.refuse(r); f != nil {
			answer(w, r, f)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, a.mostBody(r))
		next.ServeHTTP(w, r)
	})
}

// largestBody bounds every body except those that are explained.
const largestBody = 1 << 20

// mostBody returns the maximum body length of r. A body that is explained may be as long as a batch on any route, which
// the config bounds.
func (a *api) mostBody(r *http.Request) int64 {
	current := a.Gateway.Current()
	if r.URL.Path != explainPath || current == nil {
		return largestBody
	}
	return max(largestBody, current.BatchBytes)
}

// refuse returns why a request may not be answered, nil if it may.
func (a *api) refuse(r *http.Request) *fault.Fault {
	probe := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost && r.URL.Path == explainPath
	switch {
	case probe && reads:
		return nil
	case r.URL.Path == metricsPath && reads && a.mayScrape(r):
		return nil
	case bearer(r, a.Token):
		return nil // a client with the token may come from anywhere
	case loopback.OfPage(r):
		return fault.Forbidden.New("The admin API does not answer web pages of other origins.")
	case !loopback.Peer(r.RemoteAddr):
		return fault.Unauthorized.New("From other machines the admin API needs `Authorization: Bearer` with the token of `admin.token`.")
	case !loopback.Host(r.Host):
		return fault.Misdirected.New("The admin API answers to localhost and loopback addresses only.")
	case !reads && a.Token.Empty():
		return fault.Forbidden.New("Changes need a token, and the configuration has none: set `admin.token`.")
	case !reads:
		return fault.Unauthorized.New("Changes need `Authorization: Bearer` with the token of `admin.token`.")
	}
	return nil
}

const (
	metricsPath = "/metrics"
	explainPath = "/v1/explain"
)

// mayScrape reports whether the serving config lets r read the metrics.
func (a *api) mayScrape(r *http.Request) bool {
	current := a.Gateway.Current()
	if current == nil {
		return false
	}
	return current.Scrape.Open && !loopback.OfPage(r) || bearer(r, current.Scrape.Token)
}

// bearer reports whether r has the token; it is false if there is no token. It compares digests, so that the time
// reveals neither the token's content nor its length.
func bearer(r *http.Request, token secret.Value) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token.Empty() {
		return false
	}
	want, got := sha256.Sum256([]byte(token.Reveal())), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, `weir %s: the admin API

GET /healthz        the process lives
GET /readyz         a configuration is applied, and the gateway is not stopping
GET /v1/status      digest, age and problems of the configuration, one that was refused since, sockets, certificates, keys and endpoints, requests in flight
GET /v1/config      the configuration in its long form; ?format=elements takes it apart
GET /v1/explain     ?method=GET&url=/orders/1&header=Name:value&as=SUBJECT&client=IP&format=text; format=mermaid draws a composition
POST /v1/explain    the same of a request that has this body: of a batch the parts are explained too
GET /v1/services    services with their endpoints, how each stands and why; /v1/services/NAME is one of them
GET /v1/jobs        what is sent later (async), the newest first; ?state=dead&lane=ROUTE&limit=100; /v1/jobs/ID is one of them
GET /v1/keys        the keys that the gateway's own tokens (forward: jwt) are checked with, as a JWK Set
GET /v1/history     configurations that served; /v1/history/DIGEST is one of them
GET /metrics        in Prometheus's form
GET /debug/pprof/   for go tool pprof: profile?seconds=30, heap, allocs, goroutine, trace?seconds=5

With the token:

PUT /v1/config      serves the body in place of the files, until these change; If-Match: "DIGEST"; ?dry_run=true
DELETE /v1/config   goes back to the files
POST /v1/rollback   goes back to the configuration before, or ?to=DIGEST, until the files change
POST /v1/jobs/ID/retry, POST /v1/jobs/ID/cancel, DELETE /v1/jobs/ID: tries once more what has ended, takes back, forgets what has ended
POST /v1/reload     reads the files again
PUT /v1/log-level   debug, info, warn or error
`, a.Version)
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

func (a *api) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.Gateway.Current() == nil:
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
	case a.Leaving != nil && a.Leaving():
		answer(w, r, fault.ShuttingDown.New("The gateway is stopping; send requests elsewhere."))
	default:
		_, _ = w.Write([]byte("ready\n"))
	}
}

// keys publishes the keys for verifying the tokens that backends receive (RFC 7517 section 5).
func (a *api) keys(w http.ResponseWriter, r *http.Request) {
	s := a.Gateway.Current()
	if s == nil {
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
		return
	}
	keys := s.PublicKeys
	if keys == nil {
		keys = []json.RawMessage{}
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys}) // the client may be gone
}

// status is the answer of GET /v1/status.
type status struct {
	Version      string            `json:"version"`
	Digest       string            `json:"digest"`
	Applied      time.Time         `json:"applied"`
	Age          string            `json:"age"`
	Sockets      map[string]string `json:"sockets"`
	Certificates []certificate     `json:"certificates,omitempty"`
	Heard        []heard           `json:"heard,omitempty"`
	Registry     *registered       `json:"registry,omitempty"`
	InFlight     int64             `json:"in_flight"`
	Problems     []string          `json:"problems"`
	Source       string            `json:"source"` // origin of the serving config
	Input        string            `json:"input"`  // what the command line named
	Hold         *hold             `json:"hold,omitempty"`
	Bad          []bad             `json:"bad,omitempty"`
	Refused      *refused          `json:"refused,omitempty"`
	Reloads      reloads           `json:"reloads"`
}

// reloads counts the configs that were to serve.
type reloads struct {
	Applied     int64      `json:"applied"`
	Partly      int64      `json:"partly"` // of Applied: those with a bad file
	Refused     int64      `json:"refused"`
	LastApplied *time.Time `json:"last_applied,omitempty"`
	LastRefused *time.Time `json:"last_refused,omitempty"`
}

// certificate is a certificate that clients are shown.
type certificate struct {
	Listener string    `json:"listener"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}

func certificates(s *snapshot.Snapshot) []certificate {
	var list []certificate
	for _, l := range s.Listeners {
		if l.Policy == nil {
			continue
		}
		for _, c := range l.Policy.Certificates() {
			list = append(list, certificate{l.Name, c.Names, c.NotAfter})
		}
	}
	return list
}

// heard is what an outside source says: an issuer's keys, a service's endpoints.
type heard struct {
	Kind      string    `json:"kind"` // "keys" or "endpoints"
	Of        string    `json:"of"`
	Count     int       `json:"count"`
	Confirmed time.Time `json:"confirmed,omitzero"` // by the source; omitted: never
	Kept      bool      `json:"kept"`               // from before the start, and not confirmed since
	Until     time.Time `json:"until,omitzero"`     // when it stops counting unless it is confirmed
	Problem   string    `json:"problem,omitempty"`  // why the source could not be asked at the last attempt
}

func heardBy(s *snapshot.Snapshot) []heard {
	list := make([]heard, len(s.Heard))
	for i, ask := range s.Heard {
		list[i] = heardOf(ask())
	}
	return list
}

func heardOf(h telemetry.Heard) heard {
	told := heard{Kind: h.Kind, Of: h.Of, Count: h.Count, Confirmed: h.Confirmed.UTC(), Kept: h.Kept, Until: h.Until.UTC()}
	if h.Err != nil {
		told.Problem = h.Err.Error()
	}
	return told
}

// registered is the state of this process's registry.
type registered struct {
	Services  int    `json:"services"`
	Instances int    `json:"instances"`
	Suspect   int    `json:"suspect"`           // of the instances
	Kept      bool   `json:"kept"`              // in the state folder
	Problem   string `json:"problem,omitempty"` // why not, if it should be
}

func (a *api) registered() *registered {
	if a.Registry == nil {
		return nil
	}
	s, ok := a.Registry()
	if !ok {
		return nil
	}
	told := &registered{Services: s.Services, Instances: s.Instances, Suspect: s.Suspects, Kept: s.Kept}
	if s.Trouble != nil {
		told.Problem = s.Trouble.Error()
	}
	return told
}

// refused is a config that is newer than the serving one and could not serve.
type refused struct {
	Digest   string    `json:"digest,omitempty"` // omitted if it could not be read
	Time     time.Time `json:"time"`
	Problems []string  `json:"problems"`
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) {
	serves, last, how := a.Reconciler.Serves(), a.Reconciler.Last(), a.Follower.Status()
	s := status{
		Version: a.Version, Applied: serves.Time, Age: time.Since(serves.Time).Round(time.Second).String(),
		Sockets: a.Reconciler.Addresses(), InFlight: a.Gateway.InFlight(), Problems: texts(serves.Problems),
		Source: how.From, Input: a.Follower.Input(), Hold: a.hold(), Bad: badFiles(how.Bad), Reloads: reloads{
			how.Applied, how.Partly, how.Refused, orNil(how.LastApplied), orNil(how.LastRefused),
		},
	}
	if current := a.Gateway.Current(); current != nil {
		s.Digest, s.Certificates, s.Heard = current.Digest, certificates(current), heardBy(current)
	}
	s.Registry = a.registered()
	if !last.Applied && !last.Time.IsZero() {
		s.Refused = &refused{Digest: last.Digest, Time: last.Time, Problems: texts(last.Problems)}
	}
	writeJSON(w, s)
}

func texts(problems []doc.Problem) []string {
	list := make([]string, len(problems))
	for i, p := range problems {
		list[i] = p.String()
	}
	return list
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	current := a.Gateway.Current()
	if current == nil {
		answer(w, r, fault.ShuttingDown.New("No configuration is applied."))
		return
	}
	q, f := question(r)
	if f != nil {
		answer(w, r, f)
		return
	}
	e, err := explain.Run(current, q)
	if err != nil {
		answer(w, r, fault.BadParameter.New(err.Error()))
		return
	}
	var form bytes.Buffer // writing to it never fails
	switch r.URL.Query().Get("format") {
	case "text":
		_ = explain.Text(&form, e)
	case "mermaid":
		if err := explain.Diagram(&form, e); err != nil {
			answer(w, r, fault.BadParameter.New("format: "+err.Error()+"."))
			return
		}
	default:
		writeJSON(w, e)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = form.WriteTo(w) // the client may be gone; there is no one else to report to
}

// question returns what r asks about. It knows the body only for a POST.
func question(r *http.Request) (explain.Request, *fault.Fault) {
	q := r.URL.Query()
	asked := explain.Request{Method: orGet(q), URL: q.Get("url"), Headers: q["header"], As: q.Get("as"), Client: q.Get("client"), Socket: q.Get("socket")}
	if r.Method != http.MethodPost {
		return asked, nil
	}
	body, f := content(r, "A body to explain", ", and no batch of this configuration may have more")
	if f != nil {
		return asked, f
	}
	asked.Body = new(string(body))
	return asked, nil
}

func orGet(q url.Values) string {
	if m := q.Get("method"); m != "" {
		return m
	}
	return http.MethodGet
}

func (a *api) logLevel(w http.ResponseWriter, r *http.Request) {
	const longest = 16
	text, err := io.ReadAll(io.LimitReader(r.Body, longest))
	var level slog.Level
	if err != nil || level.UnmarshalText(bytes.TrimSpace(text)) != nil {
		answer(w, r, fault.BadParameter.New("Send debug, info, warn or error as the body."))
		return
	}
	a.Level.Set(level)
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // plain structs encode; a write error means that the client is gone
}

func answer(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	exchange.Refuse(w, r, f)
}
