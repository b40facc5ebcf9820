package loopback_test

import (
	"net/http/httptest"
	"testing"

	"github.com/weir-gateway/weir/internal/base/loopback"
)

func TestPeersOfThisMachine(t *testing.T) {
	for remote, want := range map[string]bool{
		"127.0.0.1:4711": true, "127.8.9.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "@": true, "": true, "/run/client.sock": true,
		"10.0.0.7:1": false, "[fe80::1%eth0]:1": false, "0.0.0.0:1": false, "unknown": false, "127.0.0.1": false,
	} {
		if loopback.Peer(remote) != want {
			t.Errorf("%q: not %v", remote, want)
		}
	}
}

func TestHostsThatMeanThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost:9001": true, "127.0.0.1:9001": true, "[::1]:9001": true, "::1": true, "": true,
		"localhost.evil.dev": false, "127.0.0.1.nip.io:9001": false, "10.0.0.7": false, "evil.dev:9001": false,
	} {
		if loopback.Host(host) != want {
			t.Errorf("%q: not %v", host, want)
		}
	}
}

func TestPagesAreKnownByWhatBrowsersSay(t *testing.T) {
	for field, tests := range map[string]map[string]bool{
		"Origin":         {"": false, "https://evil.dev": true, "null": true},
		"Sec-Fetch-Site": {"": false, "none": false, "same-origin": false, "same-site": true, "cross-site": true, "later-words": true},
	} {
		for value, want := range tests {
			r := httptest.NewRequest("POST", "/", nil)
			if value != "" {
				r.Header.Set(field, value)
			}
			if loopback.OfPage(r) != want {
				t.Errorf("%s %q: not %v", field, value, want)
			}
		}
	}
}
