package dns

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/internal/discovery"
)

// The limits and defaults of resolv.conf(5). A server gets less time than there (5 s), because requests may be waiting.
const (
	mostServers     = 3
	mostNdots       = 15
	longestTimeout  = 30
	mostAttempts    = 5
	defaultTimeout  = 2 * time.Second
	defaultAttempts = 2
	// mostDomains limits the search domains: each costs a query.
	mostDomains = 32
)

// settings are which servers to ask, and how.
type settings struct {
	servers  []string // host:port
	search   []string // domains, absolute
	ndots    int      // with this many dots a name is first looked up as it is
	timeout  time.Duration
	attempts int
	rotate   bool // servers take turns
	tcp      bool
	singly   bool // one question at a time
	families []kind
	hosts    hosts
	system   bool // ask the system resolver, not servers
}

// readResolvConf reads resolv.conf(5) and ignores unknown options, as all resolvers do. host is the machine's name,
// whose domain is searched if no search domain is configured.
func readResolvConf(text []byte, host string) settings {
	s := settings{ndots: 1, timeout: defaultTimeout, attempts: defaultAttempts, families: []kind{kindA, kindAAAA}}
	_, domain, _ := strings.Cut(host, ".")
	s.search = domains([]string{domain})
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if server, ok := serverAt(words[1]); ok && len(s.servers) < mostServers {
				s.servers = append(s.servers, server)
			}
		case "domain":
			s.search = domains(words[1:2])
		case "search":
			s.search = domains(words[1:])
		case "options":
			for _, o := range words[1:] {
				s.option(o)
			}
		}
	}
	if len(s.servers) == 0 {
		s.servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	return s
}

func (s *settings) option(o string) {
	name, value, _ := strings.Cut(o, ":")
	switch name {
	case "ndots":
		s.ndots = bounded(value, 0, mostNdots, s.ndots)
	case "timeout":
		s.timeout = time.Duration(bounded(value, 1, longestTimeout, int(s.timeout/time.Second))) * time.Second
	case "attempts":
		s.attempts = bounded(value, 1, mostAttempts, s.attempts)
	case "rotate":
		s.rotate = true
	case "use-vc", "usevc", "tcp":
		s.tcp = true
	case "single-request", "single-request-reopen":
		s.singly = true
	case "no-aaaa":
		s.families = []kind{kindA}
	}
}

// bounded reads a number and keeps it within bounds.
func bounded(text string, least, most, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return min(max(n, least), most)
}

// serverAt returns the address of a server. It must be an IP address, because a name would have to be looked up.
func serverAt(text string) (string, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", false
	}
	return net.JoinHostPort(addr.String(), "53"), true
}

func domains(words []string) []string {
	var list []string
	for _, w := range words {
		w = strings.ToLower(w)
		if w == "." || discovery.CheckName(w) != nil || len(list) == mostDomains {
			continue
		}
		if full := protocol.Fqdn(w); !slices.Contains(list, full) {
			list = append(list, full)
		}
	}
	return list
}
