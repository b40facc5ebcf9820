package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be meant is told before anything runs, by the flag that it stands behind.
func TestWhatRegisterRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, value, want string }{
		{"--port", "99999", "--port 99999: write a port from 1 to 65535, or 0 for a free one"},
		{"--port", "-5", "--port -5: write a port from 1 to 65535, or 0 for a free one"},
		{"--address", "foo", `--address "foo": write an IP address that others can call, such as 10.0.0.5`},
		{"--address", "0.0.0.0", `--address "0.0.0.0": write an IP address`},
		{"--address", "ff02::1", `--address "ff02::1": write an IP address`},
		{"--address", "fe80::1%eth0", `--address "fe80::1%eth0": write an IP address`},
		{"--drain", "-5s", "--drain -5s: write a time from 0s to 24h0m0s"},
		{"--stop", "-1s", "--stop -1s: write a time from 0s to 24h0m0s"},
		{"--stop", "1000000h", "--stop 1000000h0m0s: write a time from 0s to 24h0m0s"},
		{"--start", "0s", "--start 0s: write a time from 1ms to 24h0m0s"},
		{"--health-interval", "0s", "--health-interval 0s: write a time from 1ms to 1h0m0s"},
		{"--health-timeout", "-1s", "--health-timeout -1s: write a time from 1ms to 1h0m0s"},
		{"--health-failures", "0", "--health-failures 0: write a number from 1 to 1000"},
		{"--health", "healthz", `--health "healthz": write a path such as /healthz, tcp or none`},
		{"--health", "/a b", `--health "/a b": write a path such as /healthz, tcp or none`},
		{"--health", "/a\x1b[2J", `--health "/a\x1b[2J": write a path such as /healthz, tcp or none`},
		{"--health", "/a%zz", `--health "/a%zz": write a path such as /healthz, tcp or none`},
		{"--listener", "mine", `--listener "mine": write own or any`},
		{"--restart", "sometimes", `--restart "sometimes": write always, on-failure or never`},
		{"--ttl", "1s", "--ttl 1s: write a time from 3s to 1h0m0s"},
		{"--weight", "-1", "--weight -1: write a number from 0 to 1000"},
		{"--weight", "1001", "--weight 1001: write a number from 0 to 1000"},
		{"--zone", "a\x1b[2Jb", "--zone: holds what cannot be printed"},
		{"--zone", strings.Repeat("z", 129), "--zone: has 129 bytes; 128 are allowed"},
		{"--version-of", "1\n2", "--version-of: holds what cannot be printed"},
		{"--tag", "a,b", "--tag: a tag is empty or holds a comma"},
		{"--tag", "a\x00", "--tag: holds what cannot be printed"},
		{"--registry", "10.0.0.9:9090", "--registry: "},
		{"--registry", "http://10.0.0.9:99999", "--registry: "},
		{"--token-file", empty, "--token-file: "},
	} {
		arguments := []string{"register", "users", c.flag, c.value, "--", "go"}
		if c.flag != "--port" {
			arguments = append([]string{"register", "users", "--port", "9000"}, arguments[2:]...)
		}
		if got := weir(false, arguments...); got.code != 2 || !strings.HasPrefix(got.err, "weir: "+c.want) || strings.Contains(got.err, "\x1b") {
			t.Errorf("%s %q: %s", c.flag, c.value, got)
		}
	}
	tags := []string{"register", "users", "--port", "9000"}
	for range 33 {
		tags = append(tags, "--tag", "x")
	}
	for want, arguments := range map[string][]string{
		"weir: --tag: are 33; 32 are allowed":          append(tags, "--", "go"),
		"weir: --port is missing":                      {"register", "users", "--", "go"},
		"weir: the name of the service: \"a b\" is no": {"register", "a b", "--port", "0", "--", "go"},
	} {
		if got := weir(false, arguments...); got.code != 2 || !strings.HasPrefix(got.err, want) {
			t.Errorf("%q: %s", arguments, got)
		}
	}
}
