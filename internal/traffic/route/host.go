package route

import (
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
)

// index holds a tree of paths for each host pattern.
type index struct {
	rules  []*rule // all rules, in the order they were given
	exact  map[string]*node
	suffix map[string]*suffixNode // key: the text after the pattern's wildcard or label, with its dot
	any    *node                  // nil if every rule has a host
	dots   int                    // number of dots in the longest suffix
}

// suffixNode holds the patterns that end in one suffix.
type suffixNode struct {
	label    *node // {tenant}.shop.dev, nil if there is none
	wildcard *node // *.shop.dev, nil if there is none
}

func newIndex() index {
	return index{exact: map[string]*node{}, suffix: map[string]*suffixNode{}}
}

func (ix *index) add(r *rule) {
	ix.rules = append(ix.rules, r)
	ix.root(r.host).add(r, r.segments)
}

// root returns the tree of a host pattern and creates it if there is none.
func (ix *index) root(h *pattern.Host) *node {
	switch {
	case h == nil:
		return made(&ix.any)
	case h.Kind == pattern.HostExact:
		if ix.exact[h.Name] == nil {
			ix.exact[h.Name] = &node{}
		}
		return ix.exact[h.Name]
	}
	s := ix.suffix[h.Name]
	if s == nil {
		s = &suffixNode{}
		ix.suffix[h.Name] = s
		ix.dots = max(ix.dots, strings.Count(h.Name, "."))
	}
	if h.Kind == pattern.HostLabel {
		return made(&s.label)
	}
	return made(&s.wildcard)
}

func made(n **node) *node {
	if *n == nil {
		*n = &node{}
	}
	return *n
}

func (ix *index) finish(hidden func(first, second *rule)) {
	for _, n := range ix.exact {
		n.finish(hidden)
	}
	for _, s := range ix.suffix {
		for _, n := range []*node{s.label, s.wildcard} {
			if n != nil {
				n.finish(hidden)
			}
		}
	}
	if ix.any != nil {
		ix.any.finish(hidden)
	}
}

// hosts walks the trees whose host pattern fits, the more specific ones first.
// path has no leading slash.
func (s *search) hosts(ix *index, host, path string) bool {
	if len(ix.exact) > 0 {
		if n := ix.exact[host]; n != nil && s.walk(n, path, true) {
			return true
		}
	}
	if len(ix.suffix) > 0 && s.suffixes(ix, host, path) {
		return true
	}
	return ix.any != nil && s.walk(ix.any, path, true)
}

// suffixes tries the suffixes that begin at each dot of the host, the longest
// first. The dot is never the host's first character.
func (s *search) suffixes(ix *index, host, path string) bool {
	left := strings.Count(host, ".")
	for first := true; len(host) > 1; first = false {
		dot := strings.IndexByte(host[1:], '.')
		if dot < 0 {
			return false
		}
		host = host[1+dot:]
		if left <= ix.dots && s.suffix(ix.suffix[host], path, first) {
			return true
		}
		left--
	}
	return false
}

// suffix tries one suffix; label reports that exactly one label precedes it.
func (s *search) suffix(n *suffixNode, path string, label bool) bool {
	if n == nil {
		return false
	}
	if label && n.label != nil && s.walk(n.label, path, true) {
		return true
	}
	return n.wildcard != nil && s.walk(n.wildcard, path, true)
}
