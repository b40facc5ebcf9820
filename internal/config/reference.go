package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// target is a backend as a person wrote it.
type target struct {
	ref Ref
	// path is the template of the URL's path; nil: none.
	path *doc.Node
	// answer is the filter that answers instead (`respond:204`); Key "": none.
	answer doc.Entry
}

// readTarget reads a backend: a URL with a scheme, or the name of a service or function.
func readTarget(n *doc.Node, group string, v Vocabulary, ps *doc.Problems) (target, bool) {
	if !wantText(n, "the backend", "http://users:8080", ps) {
		return target{}, false
	}
	scheme, rest, hasScheme := strings.Cut(n.Value, ":")
	ref := Ref{Scheme: scheme, Rest: rest, Group: group, Origin: Origin{Pos: n.Pos}}
	if !hasScheme {
		return readName(n, ref, ps)
	}
	if slices.Contains(answerSchemes(), scheme) {
		return readAnswer(n, scheme, rest, v, ps)
	}
	if !knownScheme(n, scheme, rest, v, ps) {
		return target{}, false
	}
	t := target{ref: ref}
	if after, ok := strings.CutPrefix(rest, "//"); ok && scheme != unixScheme {
		if slash := strings.IndexByte(after, '/'); slash >= 0 {
			t.ref.Rest = "//" + after[:slash]
			t.path = scalarAt(after[slash:], textPos(n, len(scheme)+3+slash))
		}
	}
	if p := refProblem(t.ref, v); p != nil {
		p.Pos = n.Pos
		ps.Add(*p)
		return target{}, false
	}
	return t, true
}

// passingOn is readTarget for places where the request's own path is sent unless the URL has one.
func passingOn(n *doc.Node, group string, v Vocabulary, ps *doc.Problems) (target, bool) {
	t, ok := readTarget(n, group, v, ps)
	if t.path != nil && t.path.Value == "/" {
		ps.Add(doc.Problem{
			Pos: t.path.Pos, Severity: doc.Warning, What: "the slash at the end of the backend does nothing",
			Why: "the request's path is sent as it came", Fix: "leave it out, or write `rewrite: /` to send every request to /",
		})
		t.path = nil
	}
	return t, ok
}

func readName(n *doc.Node, ref Ref, ps *doc.Problems) (target, bool) {
	if !IsElementName(n.Value) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is neither a URL with a scheme nor a name", n.Value), Fix: meantBackend(n.Value)})
		return target{}, false
	}
	ref.Scheme, ref.Rest = "", n.Value
	return target{ref: ref}, true
}

// meantBackend guesses what was meant by a text without a scheme.
func meantBackend(text string) string {
	scheme, rest, slashes := strings.Cut(text, "//")
	switch {
	case strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") && !slashes:
		return "write dir:" + text + " to serve the files of a folder"
	case slashes && (scheme == "http" || scheme == "https"):
		return "write " + scheme + "://" + rest
	case !slashes && strings.Contains(text, ".") && !strings.ContainsAny(text, " {}"):
		return "write http://" + text
	default:
		return "write a backend such as http://users:8080, or the name of a service or function"
	}
}

// readAnswer reads `respond:204` as the filter's own short form.
func readAnswer(n *doc.Node, kind, short string, v Vocabulary, ps *doc.Problems) (target, bool) {
	if _, ok := v.filter(kind); !ok {
		ps.Add(notYet(n.Pos, kind))
		return target{}, false
	}
	if short == "" {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s: does not say what to answer", kind), Fix: "for example `to: respond:204` or `to: redirect:https://shop.dev/`"})
		return target{}, false
	}
	value := &doc.Node{Kind: doc.Scalar, Pos: textPos(n, len(kind)+1), Value: short}
	return target{answer: doc.Entry{Key: kind, KeyPos: n.Pos, Value: value}}, true
}

func knownScheme(n *doc.Node, scheme, rest string, v Vocabulary, ps *doc.Problems) bool {
	known, ok := v.scheme(scheme)
	switch {
	case ok && known.Missing != "":
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("this build of Weir cannot use %q", scheme+":"), Why: known.Missing})
	case ok:
		return true
	case strings.ContainsAny(scheme, "{}"):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the backend %q is computed from the request", n.Value), Why: "a client could then choose where it is sent", Fix: "write the scheme and the host out; parameters may stand in the path"})
	case isPort(rest) || strings.Contains(scheme, "."):
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the backend %q has no scheme", n.Value), Fix: fmt.Sprintf("write http://%s", n.Value)})
	case slices.Contains(reserved.scheme, scheme):
		names := v.schemeNames()
		slices.Sort(names)
		ps.Add(doc.Problem{
			Pos: n.Pos, What: fmt.Sprintf("%q is not in this version of Weir yet", scheme+":"), Why: "backends are found by " + strings.Join(names, ", "),
			Fix: "name a backend in one of these ways, or wait for the version that has it",
		})
	default:
		names := v.schemeNames()
		slices.Sort(names)
		ps.Add(doc.Problem{
			Pos: n.Pos, What: fmt.Sprintf("unknown scheme %q", scheme+":"), Why: "valid here: " + strings.Join(names, ", "),
			Fix: suggest(scheme, names, "name a service of the file without a colon"),
		})
	}
	return false
}

// isPort reports whether s is like "8080" or "8080/path".
func isPort(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// refProblem returns what is wrong with a reference that has a scheme, whatever its source.
func refProblem(ref Ref, v Vocabulary) *doc.Problem {
	scheme, _ := v.scheme(ref.Scheme)
	authority, isURL := strings.CutPrefix(ref.Rest, "//")
	isURL = isURL && ref.Scheme != unixScheme
	switch {
	case ref.Scheme == composeScheme: // its names include those of routes
	case strings.ContainsAny(ref.Rest, "{}"):
		return &doc.Problem{What: fmt.Sprintf("the backend %q has a parameter in its host", ref), Why: "a client could then choose where it is sent", Fix: "write the host out; parameters may stand in the path, and each host may be a variant with its own when"}
	case strings.Contains(scheme.Example, "://") && !isURL:
		return &doc.Problem{What: fmt.Sprintf("the backend %q has no // after its scheme", ref), Fix: fmt.Sprintf("write %s://%s", ref.Scheme, strings.TrimLeft(ref.Rest, "/"))}
	case isURL:
		if p := authorityProblem(ref, authority); p != nil {
			return p
		}
	}
	if scheme.Check == nil {
		return nil
	}
	if err := scheme.Check(ref); err != nil {
		p := &doc.Problem{What: fmt.Sprintf("the backend %q is not understood", ref), Why: err.Error()}
		if scheme.Example != "" {
			p.Fix = "for example " + scheme.Example
		}
		return p
	}
	return nil
}

func authorityProblem(ref Ref, authority string) *doc.Problem {
	switch {
	case authority == "":
		return &doc.Problem{What: fmt.Sprintf("the backend %q has no host", ref), Fix: fmt.Sprintf("write %s://host:port", ref.Scheme)}
	case strings.Contains(authority, "@"):
		return &doc.Problem{What: "the backend has a user name or password in its URL", Why: "it would appear in logs and in the output of explain", Fix: "remove it, and set the field that the backend wants, as `headers: {request: {set: {Authorization: \"Basic ${env:CREDENTIALS}\"}}}`"}
	case strings.ContainsAny(authority, "?#"):
		return &doc.Problem{What: fmt.Sprintf("the backend %q has a query or fragment", ref), Why: "the client's query is passed on as it is", Fix: "remove it"}
	}
	if err := checkAddress(authority, false); err != nil {
		return &doc.Problem{What: fmt.Sprintf("the backend %q is not an address", ref), Why: err.Error(), Fix: fmt.Sprintf("write %s://host:port", ref.Scheme)}
	}
	return nil
}

// IsElementName reports whether s may name a service, function, group or stream.
func IsElementName(s string) bool {
	if s == "" || s == none || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || strings.IndexByte("-_.", c) < 0) {
			return false
		}
	}
	return true
}
