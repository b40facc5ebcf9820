package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
)

const (
	maxNear     = 3  // near misses that are told
	maxDistance = 8  // edits beyond which nothing is near
	farAway     = 99 // edits of what is not similar at all
	// A request's own text is compared no further than this, so that a hostile
	// path costs no more than a long one.
	maxCompared = 64
)

// miss is a rule that host or path rule out.
type miss struct {
	rule     *rule
	reason   string
	distance int // edits, roughly
}

// near finds the rules that q would have matched but for a slip in host or path.
func (ix *index) near(q *Query) []Candidate {
	var misses []miss
	for _, r := range ix.rules {
		if m := r.miss(q); m.distance > 0 && m.distance <= maxDistance {
			misses = append(misses, m)
		}
	}
	slices.SortStableFunc(misses, func(a, b miss) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), -compareBool(a.rule.accepts(q.Method), b.rule.accepts(q.Method)))
	})
	var near []Candidate
	for _, m := range misses[:min(len(misses), maxNear)] {
		near = append(near, m.rule.candidate(Near, m.reason))
	}
	return near
}

// miss measures how far q is from r in host and path; 0 is a fit.
func (r *rule) miss(q *Query) miss {
	host, path := r.hostMiss(q.Host), r.pathMiss(q.Path)
	m := miss{rule: r, distance: host.distance + path.distance, reason: path.reason}
	if host.distance > 0 {
		m.reason = host.reason
	}
	return m
}

func (r *rule) hostMiss(host string) miss {
	if r.host == nil || r.host.Covers(config.Host{Kind: config.HostExact, Name: host}) {
		return miss{}
	}
	// A forgotten "www." or another subdomain is near, however long it is.
	distance := min(similarity(host, strings.TrimPrefix(r.host.Name, ".")), farAway)
	if name := strings.TrimPrefix(r.host.Name, "."); strings.HasSuffix(host, "."+name) || strings.HasSuffix(name, "."+host) || host == name {
		distance = 2
	}
	return miss{reason: fmt.Sprintf("host is %q, route has %q", host, r.host), distance: distance}
}

// pathMiss compares segment by segment; the reason is the first difference.
func (r *rule) pathMiss(path string) miss {
	var m miss
	rest, more := strings.TrimPrefix(path, "/"), true
	for i := range r.segments {
		s := &r.segments[i]
		switch {
		case s.Kind == config.Rest:
			return m
		case !more:
			return m.add(len(r.segments)-i, fmt.Sprintf("path ends before segment %d, route goes on with %q", i+1, segmentText(s)))
		}
		var text string
		text, rest, more = strings.Cut(rest, "/")
		if d := segmentDistance(s, text); d > 0 {
			m = m.add(d, fmt.Sprintf("path differs at segment %d: %q vs %q", i+1, text, segmentText(s)))
		}
		if m.distance > maxDistance {
			return m
		}
	}
	switch {
	case more && rest == "":
		return m.add(1, "path ends in a slash, route does not")
	case more:
		return m.add(2*(1+strings.Count(rest, "/")), fmt.Sprintf("path goes on with %q, route ends", rest))
	}
	return m
}

// add counts a further difference; the first one keeps the word.
func (m miss) add(distance int, reason string) miss {
	if m.distance == 0 {
		m.reason = reason
	}
	m.distance = min(m.distance+distance, farAway)
	return m
}

func segmentText(s *config.Segment) string {
	return strings.TrimPrefix(config.Pattern{Segments: []config.Segment{*s}}.String(), "/")
}

// segmentDistance is 0 where text fits s.
func segmentDistance(s *config.Segment, text string) int {
	switch s.Kind {
	case config.Literal:
		return similarity(text, s.Prefix)
	case config.Mixed:
		if e := (mixedEdge{prefix: s.Prefix, suffix: s.Suffix}); e.fits(text) {
			return 0
		}
		return 3
	case config.Param:
		if text == "" {
			return 1
		}
	case config.Rest:
	}
	return 0
}

// similarity is the number of edits from a to b, farAway where it is more than
// half of what there is.
func similarity(a, b string) int {
	if a == b {
		return 0
	}
	if strings.EqualFold(a, b) {
		return 1
	}
	d := edits(a[:min(len(a), maxCompared)], b[:min(len(b), maxCompared)])
	if 2*d > max(len(a), len(b)) {
		return farAway
	}
	return max(d, 1)
}

// edits is the Levenshtein distance of a and b, in bytes; b has at most maxCompared.
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
