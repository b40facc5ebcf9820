package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// laterOn is options with a queue in folder.
func (w *world) laterOn(folder string) app.Options {
	w.t.Helper()
	o := w.options()
	q, err := queue.New(queue.Options{Folder: folder, Log: o.Log})
	if err != nil {
		w.t.Fatal(err)
	}
	o.Queue = q
	return o
}

// startLater starts a gateway that may send later.
func (w *world) startLater() {
	w.t.Helper()
	a, err := app.Start(w.laterOn(w.t.TempDir()))
	if err != nil {
		if refused, ok := errors.AsType[*app.RefusedError](err); ok {
			w.t.Log(refused.Problems)
		}
		w.t.Fatal(err)
	}
	w.app = a
	w.t.Cleanup(a.Stop)
}

// message is a request, or a response, as far as these tests look at it.
type message struct {
	status int
	header http.Header
	body   string
}

// send sends a request with fields, names and values by turns.
func (w *world) send(method, path, body string, fields ...string) message {
	w.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = w.url(path)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return message{res.StatusCode, res.Header, string(text)}
}

// jobStatus is what the address of a job tells.
type jobStatus struct {
	ID, Status, Href, Reason string
	Attempts                 int
	Result                   *struct {
		Status  int
		Headers map[string][]string
		Body    string
	}
}

// posted sends a request that must be taken, and gives the address of its job.
func (w *world) posted(path, body string, fields ...string) string {
	w.t.Helper()
	m := w.send(http.MethodPost, path, body, fields...)
	if m.status != http.StatusAccepted || m.header.Get("Location") == "" || m.header.Get("Retry-After") == "" {
		w.t.Fatalf("post: %d %s", m.status, m.body)
	}
	return m.header.Get("Location")
}

// ends waits until the job has ended.
func (w *world) ends(href string, fields ...string) (s jobStatus) {
	w.t.Helper()
	await.That(w.t, "the job ends", func() bool {
		m := w.send(http.MethodGet, href, "", fields...)
		if m.status != http.StatusOK || json.Unmarshal([]byte(m.body), &s) != nil {
			w.t.Fatalf("the job: %d %s", m.status, m.body)
		}
		return s.Status != "queued" && s.Status != "running"
	})
	return s
}

// recorder is a backend that tells of its requests.
func recorder(t *testing.T, answer http.HandlerFunc) (string, <-chan message) {
	t.Helper()
	got := make(chan message, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing is seen
		got <- message{header: r.Header, body: string(body)}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func TestARequestIsTakenAndSentLater(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	backend, got := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI())
	})
	w := newWorld(t, off+"telemetry: { traces: "+collector.URL+" }\nroutes:\n  POST /orders/{id}:\n    async: true\n    rewrite: /internal/{id}\n    headers: { request: { set: { X-Route: later } } }\n    to: "+backend+"\n")
	w.startLater()
	href := w.posted("/orders/7?x=1", "tea", "Traceparent", parent, "Cookie", "a=b")
	s := w.ends(href)
	if s.Status != "done" || s.Attempts != 1 || s.Result == nil || s.Result.Status != http.StatusCreated || s.Result.Body != "POST /internal/7?x=1" || s.Result.Headers["Content-Type"][0] != "text/plain" {
		t.Errorf("the job is %+v with %+v", s, s.Result)
	}
	sent := <-got
	for name, want := range map[string]string{"Weir-Attempt": "1", "Idempotency-Key": s.ID, "X-Route": "later", "Cookie": "a=b", "Content-Length": "3"} {
		if value := sent.header.Get(name); value != want {
			t.Errorf("%s is %q", name, value)
		}
	}
	if trace := sent.header.Get("Traceparent"); sent.body != "tea" || !strings.HasPrefix(trace, parent[:36]) || trace == parent {
		t.Errorf("the backend got %q with the trace %q", sent.body, trace)
	}
	if m := w.send(http.MethodDelete, href, ""); m.status != http.StatusConflict {
		t.Errorf("what has ended is taken back: %d", m.status)
	}
	if m := w.send(http.MethodGet, href+"0", ""); m.status != http.StatusNotFound || !strings.Contains(m.body, "job-not-found") {
		t.Errorf("another id: %d %s", m.status, m.body)
	}
	w.app.Stop()
	line := w.entry("request")
	if line == nil || line["job"] != s.ID || line["backend"] != "async" || w.entry("attempt")["status"] != 201.0 || w.entry("job")["state"] != "done" {
		t.Errorf("the lines are %v, %v, %v", line, w.entry("attempt"), w.entry("job"))
	}
}

func TestWhoPrefersItIsNotKeptWaiting(t *testing.T) {
	backend, _ := recorder(t, nil)
	w := newWorld(t, off+"routes:\n  POST /: { async: asked, to: "+backend+" }\n")
	w.startLater()
	if m := w.send(http.MethodPost, "/", ""); m.status != http.StatusOK {
		t.Errorf("who waits: %d", m.status)
	}
	for _, prefer := range []string{"respond-async", "return=minimal, Respond-Async; foo=1"} {
		if m := w.send(http.MethodPost, "/", "", "Prefer", prefer); m.status != http.StatusAccepted || m.header.Get("Preference-Applied") != "respond-async" {
			t.Errorf("%s: %d %v", prefer, m.status, m.header)
		}
	}
	if m := w.send(http.MethodPost, "/", "", "Prefer", "wait=10"); m.status != http.StatusOK {
		t.Errorf("who prefers something else: %d", m.status)
	}
}

func TestAJobBelongsToWhoHasPostedIt(t *testing.T) {
	backend, got := recorder(t, nil)
	w := newWorld(t, off+`auth:
  key:
    keys: { ann: sha256:3b1fe550394e00f3d20c8cee4531f0bdd09956e9920a91cd63d717ff39ecd3b6, ben: sha256:96bff3197a9d848f53ee688ec544d2dc6cf5add79fbf78030bbf392fa2b9fb1c }
    forward: { headers: { X-User: =auth.sub }, jwt: { header: X-Identity } }
routes:
  POST /users/{user}/orders:
    auth: key
    allow: =path.user == auth.sub
    async: true
    to: `+backend+"\n")
	w.startLater()
	ann := []string{"X-Api-Key", "ann-secret-0123456789", "Idempotency-Key", "k"}
	ben := []string{"X-Api-Key", "ben-secret-0123456789", "Idempotency-Key", "k"}
	href := w.posted("/users/ann/orders", "1", ann...)
	if again := w.posted("/users/ann/orders", "1", ann...); again != href {
		t.Error("the same request twice is two jobs")
	}
	if m := w.send(http.MethodPost, "/users/ann/orders", "2", ann...); m.status != http.StatusUnprocessableEntity || !strings.Contains(m.body, "idempotency-key-reused") {
		t.Errorf("the key of another request: %d %s", m.status, m.body)
	}
	if other := w.posted("/users/ben/orders", "1", ben...); other == href {
		t.Error("two callers with one key share a job")
	}
	w.ends(href, ann...)
	for name, c := range map[string]struct {
		fields []string
		want   int
	}{"nobody": {nil, 401}, "another one": {ben, 403}, "who has posted it": {ann, 200}} {
		if m := w.send(http.MethodGet, href, "", c.fields...); m.status != c.want {
			t.Errorf("%s: %d %s", name, m.status, m.body)
		}
	}
	sent := <-got
	if sent.header.Get("X-User") == "" || len(strings.Split(sent.header.Get("X-Identity"), ".")) != 3 || sent.header.Get("X-Api-Key") != "" {
		t.Errorf("the backend was told %v", sent.header)
	}
}

func TestAnotherCallersJobIsNotThere(t *testing.T) {
	backend, _ := recorder(t, nil)
	w := newWorld(t, off+"auth:\n  key: { keys: { ann: sha256:3b1fe550394e00f3d20c8cee4531f0bdd09956e9920a91cd63d717ff39ecd3b6, ben: sha256:96bff3197a9d848f53ee688ec544d2dc6cf5add79fbf78030bbf392fa2b9fb1c } }\nroutes:\n  POST /: { auth: key, async: true, to: "+backend+" }\n  POST /open: { async: true, to: "+backend+" }\n")
	w.startLater()
	href := w.posted("/", "", "X-Api-Key", "ann-secret-0123456789")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if m := w.send(method, href, "", "X-Api-Key", "ben-secret-0123456789"); m.status != http.StatusNotFound {
			t.Errorf("%s: %d", method, m.status)
		}
	}
	open := w.posted("/open", "")
	id := href[strings.LastIndexByte(href, '/')+1:]
	if m := w.send(http.MethodGet, open[:strings.LastIndexByte(open, '/')+1]+id, ""); m.status != http.StatusNotFound {
		t.Errorf("by the way of an open route: %d", m.status)
	}
}

func TestWhatIsGivenUpAndWhoIsTold(t *testing.T) {
	var calls atomic.Int32
	backend, _ := recorder(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/refused":
			http.Error(w, "no", http.StatusBadRequest)
		case calls.Add(1) <= 2:
			http.Error(w, "broken", http.StatusInternalServerError)
		}
	})
	hook, called := recorder(t, nil)
	mourner, mourned := recorder(t, nil)
	w := newWorld(t, off+`routes:
  POST /**:
    async:
      retry: { times: 1, first: 1ms, most: 1ms }
      callback: { allow: `+hook+`, secret: whsec_c2VjcmV0 }
      dead: `+mourner+`
    to: `+backend+"\n")
	w.startLater()
	if m := w.send(http.MethodPost, "/", "", "X-Callback-Url", "http://127.0.0.1:1/x"); m.status != http.StatusBadRequest {
		t.Errorf("another origin: %d", m.status)
	}
	dead := w.ends(w.posted("/dead", "letter", "X-Callback-Url", hook+"/told?x=1", "Authorization", "Bearer secret"))
	if dead.Status != "dead" || dead.Attempts != 2 || dead.Reason != "status 500" || dead.Result == nil || dead.Result.Status != 500 {
		t.Errorf("the dead letter is %+v", dead)
	}
	told := await.From(t, "the callback", called)
	stamp := told.header.Get("Webhook-Timestamp")
	sum := hmac.New(sha256.New, []byte("secret"))
	sum.Write([]byte(told.header.Get("Webhook-Id") + "." + stamp + "." + told.body))
	if want := "v1," + base64.StdEncoding.EncodeToString(sum.Sum(nil)); told.header.Get("Webhook-Signature") != want || stamp == "" {
		t.Errorf("the signature is %q, not %q", told.header.Get("Webhook-Signature"), want)
	}
	var notice jobStatus
	if err := json.Unmarshal([]byte(told.body), &notice); err != nil || notice.ID != dead.ID || notice.Status != "dead" || notice.Result == nil {
		t.Errorf("the callback told %s, %v", told.body, err)
	}
	letter := await.From(t, "the dead letter", mourned)
	if !strings.Contains(letter.body, `"route":"POST /**"`) || !strings.Contains(letter.body, base64.StdEncoding.EncodeToString([]byte("letter"))) || strings.Contains(letter.body, "Bearer") {
		t.Errorf("the letter is %s", letter.body)
	}
	if refused := w.ends(w.posted("/refused", "")); refused.Status != "failed" || refused.Attempts != 1 || refused.Result.Body != "no\n" {
		t.Errorf("what the backend refuses is %+v", refused)
	}
}

func TestJobsOutliveReloadsAndRestarts(t *testing.T) {
	busy := atomic.Bool{}
	busy.Store(true)
	backend, _ := recorder(t, func(w http.ResponseWriter, _ *http.Request) {
		if busy.Load() {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	withRoute := "admin: { address: 127.0.0.1:0, token: right }\nroutes:\n  POST /later: { async: true, to: " + backend + " }\n"
	folder := t.TempDir()
	w := newWorld(t, withRoute)
	stop := w.runs(w.laterOn(folder))
	o := operator{t, w.app.AdminAddress()}
	href := w.posted("/later", "")
	id := href[strings.LastIndexByte(href, '/')+1:]
	state := func() (j struct {
		State    string
		Attempts int
		Failures int
	}) {
		_ = json.Unmarshal([]byte(o.expect(200, "GET", "/v1/jobs/"+id, "").everything), &j)
		return j
	}
	await.That(t, "it was tried", func() bool { s := state(); return s.State == "queued" && s.Attempts > 0 })
	w.write("admin: { address: 127.0.0.1:0, token: right }\nroutes:\n  GET /other: respond:other\n")
	o.expect(200, "POST", "/v1/reload", "")
	await.That(t, "no attempt is under way", func() bool { return state().State == "queued" }) // else it may succeed yet
	busy.Store(false)
	if m := w.send(http.MethodGet, href, ""); m.status != http.StatusNotFound {
		t.Errorf("the address of a route that is gone: %d", m.status)
	}
	if s := state(); s.State != "queued" && s.State != "running" {
		t.Errorf("the job of a route that is gone is %+v", s)
	}
	if a := o.expect(200, "GET", "/metrics", ""); !strings.Contains(a.everything, `weir_jobs_unserved{kind="route",lane="POST /later"} 1`) {
		t.Error("no metric tells of the lane that nobody serves")
	}
	w.write(withRoute)
	o.expect(200, "POST", "/v1/reload", "")
	stop()
	w2 := newWorld(t, withRoute)
	defer w2.runs(w2.laterOn(folder))()
	if s := w2.ends(href); s.Status != "done" || s.Attempts < 2 {
		t.Errorf("after a restart: %+v", s)
	}
}

// runs starts a gateway, and gives what stops it.
func (w *world) runs(o app.Options) (stop func()) {
	w.t.Helper()
	a, err := app.Start(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = a
	w.t.Cleanup(a.Stop)
	return a.Stop
}

func TestOperatorsHandleJobs(t *testing.T) {
	backend, _ := recorder(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	w := newWorld(t, "admin: { address: 127.0.0.1:0, token: right }\nroutes:\n  POST /: { async: { retry: none }, to: "+backend+" }\n")
	w.startLater()
	o := operator{t, w.app.AdminAddress()}
	s := w.ends(w.posted("/", "swordfish", "Authorization", "swordfish"))
	list := o.expect(200, "GET", "/v1/jobs?state=dead&lane=POST%20/", "").everything
	if s.Status != "dead" || !strings.Contains(list, s.ID) || strings.Contains(list, "swordfish") || !strings.Contains(list, `"all": 1`) {
		t.Errorf("the list is %s", list)
	}
	if other := o.expect(200, "GET", "/v1/jobs?state=done", "").everything; !strings.Contains(other, `"all": 0`) {
		t.Errorf("those that are done: %s", other)
	}
	o.expect(400, "GET", "/v1/jobs?state=asleep", "")
	o.expect(400, "GET", "/v1/jobs?limit=0", "")
	o.expect(409, "POST", "/v1/jobs/"+s.ID+"/cancel", "")
	o.expect(200, "POST", "/v1/jobs/"+s.ID+"/retry", "")
	await.That(t, "it was tried once more", func() bool {
		return strings.Contains(o.expect(200, "GET", "/v1/jobs/"+s.ID, "").everything, `"attempts": 2`)
	})
	w.ends(s.Href)
	o.expect(204, "DELETE", "/v1/jobs/"+s.ID, "")
	o.expect(404, "GET", "/v1/jobs/"+s.ID, "")
}

func TestTestsOfAConfigKnowWhatIsTaken(t *testing.T) {
	w := newWorld(t, off+`routes:
  POST /: { async: true, to: "http://127.0.0.1:1" }
  POST /asked: { async: asked, to: "http://127.0.0.1:1" }
tests:
  - { request: POST /, route: POST /, status: 202 }
  - { request: POST /asked, status: 200 }
  - { request: { line: POST /asked, headers: { Prefer: respond-async } }, status: 202 }
  - { request: GET /.weir/jobs/0123456789ab/1, status: 404 }
`)
	w.startLater()
}

func TestWhatCannotBeKeptIsNotPromised(t *testing.T) {
	const text = off + "routes:\n  POST /: { async: true, to: 'http://127.0.0.1:1' }\n"
	w := newWorld(t, text)
	_, err := app.Start(w.options())
	refused, ok := errors.AsType[*app.RefusedError](err)
	if !ok || len(refused.Problems) != 1 || !strings.Contains(refused.Problems[0].String(), "weir.yaml:4:13: filter async; there is no state folder; what is not kept on disk cannot be promised with 202") {
		t.Errorf("without a folder: %v, %+v", err, refused)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	q, err := queue.New(queue.Options{Folder: file + "/below"})
	if err == nil {
		o := w.options()
		o.Queue = q
		_, err = app.Start(o)
	}
	if err == nil {
		t.Error("it serves with a folder that cannot be")
	}
}

func TestTheEndWaitsForAttempts(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "at last")
	}))
	defer backend.Close()
	folder := t.TempDir()
	text := off + "routes:\n  POST /: { async: true, to: " + backend.URL + " }\n"
	w := newWorld(t, text)
	stop := w.runs(w.laterOn(folder))
	href := w.posted("/", "")
	await.From(t, "the attempt", entered)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	await.That(t, "the socket is closed", func() bool { return len(w.app.Addresses()) == 0 })
	time.AfterFunc(20*time.Millisecond, func() { close(leave) })
	<-stopped
	after := newWorld(t, text)
	defer after.runs(after.laterOn(folder))()
	if s := after.ends(href); s.Status != "done" || s.Attempts != 1 || s.Result.Body != "at last" {
		t.Errorf("the job is %+v", s)
	}
}
