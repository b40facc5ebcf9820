package pattern

import (
	"fmt"
	"net/netip"
	"strings"
)

// Host is a parsed host pattern. The order of precedence is: first an exact host, then wildcards and labels, with the
// longer suffix first (with the same suffix the label, which covers less), then no host.
type Host struct {
	Kind HostKind
	// Name is the whole name of a HostExact. For the others it is the suffix with its leading dot: ".shop.dev". It is
	// in lower case and without a trailing dot.
	Name string
	// Param is the name under which a HostLabel's label is captured.
	Param string
}

// HostKind is how a host pattern matches.
type HostKind uint8

// The kinds of host patterns.
const (
	HostExact    HostKind = iota // shop.dev, an IP address (IPv6 without brackets)
	HostLabel                    // {tenant}.shop.dev: exactly one label before the suffix
	HostWildcard                 // *.shop.dev: one label or more before the suffix
)

const maxHostname = 253 // RFC 1035 section 2.3.4, without the root's dot

// ParseHost parses a host pattern: "shop.dev", "*.shop.dev", "{tenant}.shop.dev" or an IP address. Errors are *Error.
func ParseHost(text string) (Host, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return Host{Kind: HostExact, Name: addr.Unmap().WithZone("").String()}, nil
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r > '~' }); i >= 0 {
		return Host{}, &Error{i, fmt.Sprintf("the host %q is not ASCII", text), "write it in its xn-- form"}
	}
	lower := strings.TrimSuffix(strings.ToLower(text), ".")
	label, suffix, dotted := strings.Cut(lower, ".")
	switch {
	case text == "":
		return Host{}, &Error{0, "the host is empty", "leave it out for every host"}
	case strings.Contains(lower, ":"):
		return Host{}, &Error{strings.Index(lower, ":"), fmt.Sprintf("the host %q has a port", text), "leave the port out: the listener has it"}
	case label == "*" && dotted:
		return Host{Kind: HostWildcard, Name: "." + suffix}, checkHostname(suffix, text, 2)
	case label == "*":
		return Host{}, &Error{0, "* alone is no host", "leave the host out for every host"}
	case strings.HasPrefix(label, "{") && strings.HasSuffix(label, "}") && dotted:
		name := text[1 : len(label)-1] // names keep their case
		if !IsName(name) {
			return Host{}, &Error{1, fmt.Sprintf("{%s} is no name of a parameter", name), "a name is letters, digits and _, as {tenant}"}
		}
		return Host{Kind: HostLabel, Name: "." + suffix, Param: name}, checkHostname(suffix, text, len(label)+1)
	default:
		return Host{Kind: HostExact, Name: lower}, checkHostname(lower, text, 0)
	}
}

// checkHostname returns what is wrong with a name without patterns, which begins at offset in text.
func checkHostname(name, text string, offset int) error {
	if len(name) > maxHostname {
		return &Error{offset, fmt.Sprintf("the host is longer than %d characters", maxHostname), ""}
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label, text, offset); err != nil {
			return err
		}
		offset += len(label) + 1
	}
	return nil
}

func checkLabel(label, text string, offset int) error {
	switch {
	case label == "":
		return &Error{offset, fmt.Sprintf("the host %q has an empty label (two dots in a row)", text), ""}
	case len(label) > 63:
		return &Error{offset, fmt.Sprintf("a label of the host %q is longer than 63 characters", text), ""}
	case strings.ContainsAny(label, "*{}"):
		return &Error{offset, fmt.Sprintf("in the host %q a pattern stands elsewhere than as the first label", text), "write *.shop.dev or {tenant}.shop.dev"}
	case label[0] == '-' || label[len(label)-1] == '-':
		return &Error{offset, fmt.Sprintf("a label of the host %q begins or ends with a hyphen", text), ""}
	}
	for i := range len(label) {
		if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return &Error{offset + i, fmt.Sprintf("the host %q has the character %q", text, c), "a host is letters, digits, hyphens and dots"}
		}
	}
	return nil
}

// String returns the pattern in its normalised form, which parses to the same pattern.
func (h Host) String() string {
	switch h.Kind {
	case HostWildcard:
		return "*" + h.Name
	case HostLabel:
		return "{" + h.Param + "}" + h.Name
	default:
		return h.Name
	}
}

// Shape is the pattern without its parameter's name: equal shapes match the same hosts.
func (h Host) Shape() string {
	if h.Kind == HostLabel {
		return "{}" + h.Name
	}
	return h.String()
}

// Covers reports whether every host that matches other also matches h.
func (h Host) Covers(other Host) bool {
	switch h.Kind {
	case HostExact:
		return other.Kind == HostExact && h.Name == other.Name
	case HostLabel:
		label, suffix, _ := strings.Cut(other.Name, ".")
		return other.Kind == HostLabel && h.Name == other.Name || other.Kind == HostExact && label != "" && "."+suffix == h.Name
	default:
		return strings.HasSuffix(other.Name, h.Name) && (other.Kind != HostExact || len(other.Name) > len(h.Name))
	}
}
