package local

import "testing"

// Of a thousand ports that nobody listens on the system gives some twice.
func TestNoTwoInstancesAreGivenOnePort(t *testing.T) {
	m := newMachine(nil)
	contract := &web{concurrency: 1, ports: &m.ports, tells: []string{portVariable}}
	seen := map[string]bool{}
	var links []link
	for range 1000 {
		l, err := contract.link()
		must(t, err)
		port := l.variables()[portVariable]
		if seen[port] {
			t.Fatalf("port %s was given twice", port)
		}
		seen[port] = true
		links = append(links, l)
	}
	for _, l := range links {
		l.close(nil)
	}
	if len(m.ports.given) > 0 {
		t.Errorf("%d ports are still given to instances that have ended", len(m.ports.given))
	}
}
