package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// hosts are the addresses that hosts(5) gives to names in lower case.
type hosts map[string][]netip.Addr

func readHosts(text []byte) hosts {
	h := hosts{}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		addr = addr.Unmap()
		for _, name := range words[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			if !slices.Contains(h[name], addr) {
				h[name] = append(h[name], addr)
			}
		}
	}
	return h
}
