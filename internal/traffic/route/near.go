package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
)

const (
	maxNear     = 3  // near misses that are reported
	maxDistance = 8  // a rule with more edits is not near
	farAway     = 99 // edits of texts that are not similar at all
	// maxCompared bounds the length of the texts to compare, so that a hostile path
	// costs no more than any other long one.
	maxCompared = 64
)

// difference is the kind of the first difference of a near miss.
type difference uint8

const (
	otherHost     difference = iota
	otherSegment             // a segment is spelled differently
	tooShort                 // the path ends before the route
	tooLong                  // the path continues after the route
	unwantedSlash            // the path has one more segment, which is empty
	missingSlash             // the route has one more segment, which is empty
)

// miss is a rule that does not fit by its host or path. It is cheap to make; words
// turns it into a reason.
type miss struct {
	rule     *rule
	distance int // approximate number of edits; 0 is a fit
	what     difference
	segment  int    // index in the pattern, of the first difference
	got      string // the text that the path has there
}

// add counts a further difference; only the first one is described.
func (m *miss) add(distance int, what difference, segment int, got string) {
	if m.distance == 0 {
		m.what, m.segment, m.got = what, segment, got
	}
	m.distance += distance
}

func (m *miss) words(q *Query) string {
	want := ""
	if m.segment < len(m.rule.segments) {
		want = segmentText(m.rule.segments[m.segment])
	}
	switch m.what {
	case otherHost:
		return fmt.Sprintf("host is %q, route has %q", q.Host, m.rule.host)
	case otherSegment:
		return fmt.Sprintf("path differs at segment %d: %q vs %q", m.segment+1, m.got, want)
	case tooShort:
		return fmt.Sprintf("path ends before segment %d, which is %q", m.segment+1, want)
	case tooLong:
		return fmt.Sprintf("path goes on with %q, route ends", m.got)
	case unwantedSlash:
		return "path ends in a slash, route does not"
	case missingSlash:
		return "route ends in a slash, path does not"
	}
	return ""
}

func segmentText(s pattern.Segment) string {
	return strings.TrimPrefix(pattern.Path{Segments: []pattern.Segment{s}}.String(), "/")
}

// manyRules is the largest number of rules that are all compared for a request that misses.
const manyRules = 2 * aroundPath

// How far around reaches on each side of a position, in rules.
const (
	aroundPath      = 128
	aroundParameter = 16
	aroundDepth     = 8 // segments
)

// byPath returns the rules sorted by the spelling of their paths.
func (ix *index) byPath() []*rule {
	return slices.SortedStableFunc(slices.Values(ix.rules), func(a, b *rule) int { return strings.Compare(a.pattern, b.pattern) })
}

// around picks the rules whose paths are spelled like path: those next to it in
// alphabetical order, and those that have a parameter where path has a segment. A
// client that mistypes a path mostly gets its beginning right.
func around(byPath []*rule, path string) []*rule {
	picked := make(map[int]bool, 2*aroundPath)
	pick := func(place string, reach int) {
		at, _ := slices.BinarySearchFunc(byPath, place, func(r *rule, place string) int { return strings.Compare(r.pattern, place) })
		for i := max(0, at-reach); i < min(len(byPath), at+reach); i++ {
			picked[i] = true
		}
	}
	pick(path, aroundPath)
	for i, depth := 0, 0; i < len(path) && depth < aroundDepth; i++ {
		if path[i] == '/' {
			pick(path[:i+1]+"{", aroundParameter)
			depth++
		}
	}
	rules := make([]*rule, 0, len(picked))
	for _, i := range slices.Sorted(maps.Keys(picked)) {
		rules = append(rules, byPath[i])
	}
	return rules
}

// near finds the rules that q would have matched but for a slip in host or path.
func near(rules []*rule, q *Query) []Candidate {
	var misses []miss
	for _, r := range rules {
		if m := r.miss(q); m.distance > 0 && m.distance <= maxDistance {
			misses = append(misses, m)
		}
	}
	slices.SortStableFunc(misses, func(a, b miss) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), -compareBool(a.rule.accepts(q.Method), b.rule.accepts(q.Method)))
	})
	var near []Candidate
	for _, m := range misses[:min(len(misses), maxNear)] {
		near = append(near, m.rule.candidate(Near, m.words(q)))
	}
	return near
}

// miss measures how far q is from r in host and path.
func (r *rule) miss(q *Query) miss {
	m := miss{rule: r}
	if d := r.hostDistance(q.Host); d > 0 {
		m.add(d, otherHost, 0, "")
	}
	rest, more := strings.TrimPrefix(q.Path, "/"), true
	for i := range r.segments {
		s := &r.segments[i]
		if s.Kind == pattern.Rest || m.distance > maxDistance {
			return m
		}
		if !more {
			m.addShort(i)
			return m
		}
		var text string
		text, rest, more = strings.Cut(rest, "/")
		if d := segmentDistance(s, text); d > 0 {
			m.add(d, otherSegment, i, text)
		}
	}
	switch {
	case more && rest == "":
		m.add(1, unwantedSlash, len(r.segments), "")
	case more:
		m.add(2*(1+strings.Count(rest, "/")), tooLong, len(r.segments), rest)
	}
	return m
}

// addShort records that the path ends before segment i.
func (m *miss) addShort(i int) {
	if last := m.rule.segments[i]; last.Kind == pattern.Literal && last.Prefix == "" {
		m.add(1, missingSlash, i, "")
		return
	}
	m.add(2*(len(m.rule.segments)-i), tooShort, i, "")
}

// hostDistance returns 0 if the host fits. A forgotten "www." or another
// subdomain is near, however long it is.
func (r *rule) hostDistance(host string) int {
	if r.host == nil || r.host.Covers(pattern.Host{Kind: pattern.HostExact, Name: host}) {
		return 0
	}
	name := strings.TrimPrefix(r.host.Name, ".")
	if host == name || isBelow(host, name) || isBelow(name, host) {
		return 2
	}
	return max(1, similarity(host, name))
}

// isBelow reports whether host is a subdomain of name.
func isBelow(host, name string) bool {
	parent, ok := strings.CutSuffix(host, name)
	return ok && name != "" && strings.HasSuffix(parent, ".")
}

// segmentDistance returns 0 if text fits s.
func segmentDistance(s *pattern.Segment, text string) int {
	switch s.Kind {
	case pattern.Literal:
		return similarity(text, s.Prefix)
	case pattern.Mixed:
		if e := (mixedEdge{prefix: s.Prefix, suffix: s.Suffix}); !e.fits(text) {
			return 3
		}
	case pattern.Param:
		if text == "" {
			return 1
		}
	case pattern.Rest:
	}
	return 0
}

// similarity returns the number of edits from a to b, 1 if they differ only in
// case, and farAway if the edits are more than half of the longer length.
func similarity(a, b string) int {
	switch longest := max(len(a), len(b)); {
	case a == b:
		return 0
	case strings.EqualFold(a, b):
		return 1
	case 2*(longest-min(len(a), len(b))) > longest || longest > maxCompared:
		return farAway
	default:
		if d := edits(a, b); 2*d <= longest {
			return d
		}
		return farAway
	}
}

// edits returns the Levenshtein distance of a and b in bytes; b has at most maxCompared bytes.
func edits(a, b string) int {
	var row [maxCompared + 1]int
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
