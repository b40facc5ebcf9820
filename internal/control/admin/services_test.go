package admin_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

func TestServicesAreTold(t *testing.T) {
	h, _, g := api("")
	if w := call(h, "GET", "/v1/services", here, "Host", "localhost"); w.Code != 503 {
		t.Errorf("before any configuration: %d", w.Code)
	}
	since := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	users := service.Status{Name: "users", Asks: service.AsksHealthy, Asked: 1, Waiting: 2, Queued: 3, Resting: true, Endpoints: []service.EndpointStatus{
		{
			Endpoint: discovery.Endpoint{ID: "1", Address: "10.0.0.1:80", Weight: 1, Zone: "a", Node: "n"}, State: service.Healthy, Asked: true, Since: since, Checked: since,
			Standing: balance.Standing{InFlight: 3, Latency: 1500 * time.Microsecond, Started: 1}, Local: true,
		},
		{Endpoint: discovery.Endpoint{Address: "10.0.0.2:80", Weight: 1}, State: service.Ejected, Why: "5 failures in a row", Since: since, Ejected: since.Add(time.Minute)},
	}}
	g.Swap(&snapshot.Snapshot{Services: []snapshot.ServiceNote{
		{Name: "shop/users", Source: "http://users", Status: func() service.Status { return users }, Heard: func() *telemetry.Heard { return &telemetry.Heard{Count: 2, Confirmed: since} }},
		{Name: "fixed", Status: func() service.Status { return service.Status{Asks: service.AsksNobody} }, Heard: func() *telemetry.Heard { return nil }},
	}})
	const one = `{"name":"shop/users","source":"http://users","asks":"healthy","asked":1,"waiting":2,"queued":3,"breaker_open":true,"heard":{"kind":"","of":"","count":2,"confirmed":"2026-11-28T09:00:00Z","kept":false},"endpoints":[` +
		`{"address":"10.0.0.1:80","id":"1","node":"n","zone":"a","weight":1,"state":"healthy","asked":true,"since":"2026-11-28T09:00:00Z","checked":"2026-11-28T09:00:00Z","in_flight":3,"latency_ms":1.5,"started":1,"near":true},` +
		`{"address":"10.0.0.2:80","weight":1,"state":"ejected","asked":false,"why":"5 failures in a row","since":"2026-11-28T09:00:00Z","ejected_until":"2026-11-28T09:01:00Z","in_flight":0,"latency_ms":0,"started":0}]}`
	for target, want := range map[string]string{
		"/v1/services":              `{"services":[` + one + `,{"name":"fixed","asks":"nobody","asked":0,"waiting":0,"endpoints":[]}]}`,
		"/v1/services/shop%2Fusers": one,
	} {
		w := call(h, "GET", target, here, "Host", "localhost")
		var got json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v: %s", target, err, w.Body)
		}
		if text := compact(t, got); text != want {
			t.Errorf("%s:\ngot  %s\nwant %s", target, text, want)
		}
	}
	for name, want := range map[string]string{"users": `Did you mean \"shop/users\"?`, "fixd": `Did you mean \"fixed\"?`, "none": `"detail":"GET /v1/services lists`} {
		if w := call(h, "GET", "/v1/services/"+name, here, "Host", "localhost"); w.Code != 404 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
