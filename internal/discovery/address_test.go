package discovery_test

import (
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/discovery"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port uint16
	}{
		"10.0.0.1:80": {"10.0.0.1", 80}, "[::1]:65535": {"::1", 65535}, "users:8080": {"users", 8080}, "my_app.internal.:1": {"my_app.internal.", 1},
	} {
		host, port, err := discovery.SplitAddress(text)
		if host != want.host || port != want.port || err != nil {
			t.Errorf("%s is %q, %d, %v", text, host, port, err)
		}
	}
	for _, text := range []string{
		"", "users", ":80", "users:", "users:0", "users:65536", "users:http", "::1:80", "[users]:80", "[10.0.0.1]:80", "a b:80", "http://users:80", "users:80/x", "-:80 ", "a..b:1",
		"unix:/run/app.sock", "user@host:80",
	} {
		if host, port, err := discovery.SplitAddress(text); err == nil {
			t.Errorf("%q is %q, %d", text, host, port)
		}
	}
}

func TestASetHasEachAddressOnce(t *testing.T) {
	got := discovery.Distinct([]discovery.Endpoint{
		{Address: "b:1", Condition: discovery.NotReady, ID: "old"}, {Address: "a:1", ID: "2"}, {Address: "b:1", ID: "new"}, {Address: "a:1", ID: "1"}, {Address: "b:1", Condition: discovery.Draining},
	})
	if want := []discovery.Endpoint{{Address: "a:1", ID: "1"}, {Address: "b:1", ID: "new"}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
