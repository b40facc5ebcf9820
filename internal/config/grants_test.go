package config

import "testing"

func TestGrantsOfHostsEndWithTheHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		grant, name string
		want        bool
	}{
		{"gcf:https://orders-*.run.app", "gcf:https://orders-1.europe-west1.run.app", true},
		{"gcf:https://orders-*.run.app", "gcf:https://orders-evil.example/a.run.app", false},
		{"gcf:https://orders-*.run.app", "gcf:https://orders-1.run.app/a", false},
		{"gcf:https://orders-*.run.app/*", "gcf:https://orders-1.run.app/a/b", true},
		{"gcf:https://orders-*.run.app/a/*", "gcf:https://orders-1.run.app/b", false},
		{"https://*/x", "https://a/b/x", false},
		{"https://*", "https://a/b", true},
		{"https://*", "http://a", false},
		{"https://a:8443", "https://a:8443", true},
		{"*://a", "https://a", true},
		{"gcf:*", "gcf:https://a/b", true},
		{"*", "https://a/b", true},
		{"lambda:orders*@eu-west-1", "lambda:orders-2@eu-west-1", true},
		{"unix:/run/*", "unix:/run/a/b", true},
	} {
		if got := covers(test.grant, test.name); got != test.want {
			t.Errorf("%s covers %s: %v", test.grant, test.name, got)
		}
	}
}
