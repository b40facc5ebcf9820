package runtimeapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// told starts a listener of telemetry, and gives the types of all that came.
func told(t *testing.T, a *agent) (types func() string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	l := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var batch []struct{ Type string }
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &batch); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, one := range batch {
			all = append(all, strings.TrimPrefix(one.Type, "platform."))
		}
	}))
	t.Cleanup(l.Close)
	wish := `{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"timeoutMs":25},"destination":{"protocol":"HTTP","URI":"` + l.URL + `"}}`
	if res, text := a.call(http.MethodPut, "/2022-07-01/telemetry", wish); res.StatusCode != http.StatusOK {
		t.Fatalf("the subscription got %s", text)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, " ")
	}
}

// An instance that asks to be restored goes on at once: there is no snapshot that it
// could wait for.
func TestAnInstanceIsTakenForRestored(t *testing.T) {
	r := listen(t)
	types := told(t, register(t, r, "agent", `[]`))
	res, text := r.do(http.MethodGet, "/restore/next", nil, nil, nil)
	if res == nil || res.StatusCode != http.StatusOK || text != "" {
		t.Fatalf("got %v %q", res, text)
	}
	if status := r.get("/restore/next"); status != http.StatusForbidden {
		t.Errorf("a second time it got %d", status)
	}
	r.deliver(invocation("id-1"))
	for _, path := range []string{"/restore/error", "/init/error"} {
		if status := r.post(path, `{}`); status != http.StatusForbidden {
			t.Errorf("%s got %d when it was ready", path, status)
		}
	}
	const want = "initStart telemetrySubscription initRuntimeDone initReport restoreStart restoreRuntimeDone restoreReport start"
	await.That(t, "all of it is told", func() bool { return types() == want || len(types()) >= len(want) })
	if got := types(); got != want {
		t.Errorf("it was told\n%s, want\n%s", got, want)
	}
}

func TestAFailedRestoreIsWhyTheInstanceDoesNotStart(t *testing.T) {
	r := listen(t)
	if status := r.post("/restore/error", `{}`); status != http.StatusForbidden {
		t.Errorf("before it was restored it got %d", status)
	}
	r.get("/restore/next")
	if status := r.post("/restore/error", `{"errorType":"HookError","errorMessage":"no database"}`); status != http.StatusAccepted {
		t.Errorf("got %d", status)
	}
	if got := r.server.InitError(); got == nil || got.Error() != "HookError: no database" {
		t.Errorf("it is told as %v", got)
	}
}
