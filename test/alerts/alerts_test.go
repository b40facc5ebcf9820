package alerts_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mentioned matches a label in the text of an alert.
var mentioned = regexp.MustCompile(`\$labels\.([a-z]+)`)

// TestAlertsFire plays each scene and checks that exactly the alerts that it names fire.
func TestAlertsFire(t *testing.T) {
	all := rules(t)
	var played []string
	for name, s := range scenes {
		played = append(played, s.rings...)
		t.Run(name, func(t *testing.T) {
			known := remember(t, s.play(t)...)
			for _, rule := range all {
				fired := fires(t, known, rule)
				if rule.Alert == "WeirBackendSlow" && len(s.rings) > 0 && !slices.Contains(s.rings, rule.Alert) {
					continue // a machine that is busy with other tests makes a few requests slow
				}
				if expected := slices.Contains(s.rings, rule.Alert); expected != (len(fired) > 0) {
					t.Errorf("%s fires for %v, expected: %v", rule.Alert, fired, expected)
				}
				for _, at := range fired {
					for _, m := range mentioned.FindAllStringSubmatch(rule.Annotations["summary"], -1) {
						if at.Get(m[1]) == "" && name != unknown {
							t.Errorf("the summary of %s names the label %s, and there is only %s", rule.Alert, m[1], at)
						}
					}
				}
			}
		})
	}
	for _, rule := range all {
		if !slices.Contains(played, rule.Alert) {
			t.Errorf("no scene makes %s fire", rule.Alert)
		}
	}
}

// TestEveryAlertHasItsPlaceInTheRunbook checks where the link of each alert leads.
func TestEveryAlertHasItsPlaceInTheRunbook(t *testing.T) {
	runbook := read(t, "docs", "runbook.md")
	all := rules(t)
	seen := map[string]bool{}
	for _, rule := range all {
		if seen[rule.Alert] {
			t.Errorf("there are two alerts %s", rule.Alert)
		}
		seen[rule.Alert] = true
		url := "https://github.com/weir-gateway/weir/blob/main/docs/runbook.md#" + strings.ToLower(rule.Alert)
		if rule.Annotations["runbook_url"] != url || !strings.Contains(runbook, "\n## "+rule.Alert+"\n") {
			t.Errorf("%s leads to %s", rule.Alert, rule.Annotations["runbook_url"])
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" || rule.Annotations["summary"] == "" {
			t.Errorf("%s: severity %q, summary %q", rule.Alert, severity, rule.Annotations["summary"])
		}
	}
	if titles := strings.Count(runbook, "\n## Weir"); titles != len(all) {
		t.Errorf("the runbook has %d alerts, and there are %d", titles, len(all))
	}
}
