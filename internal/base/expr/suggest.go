package expr

import (
	"regexp"
	"slices"
	"strings"
)

// foreign maps names from other programs to ours. The keys are in lower case and without underscores.
var foreign = map[string]string{
	"req": "request", "resp": "response", "res": "response", "verb": "request.method",
	"url": requestPath, "uri": requestPath, "querystring": requestQuery,
	"param": pathName, "params": pathName, "pathparam": pathName, "pathparams": pathName, "pathparameters": pathName, "pathvariables": pathName,
	"arg": queryName, "args": queryName, "queries": queryName, "queryparam": queryName, "queryparams": queryName, "queryparameters": queryName, "querystringparameters": queryName,
	"ip": clientAddress, "addr": clientAddress, "address": clientAddress, "clientip": clientAddress, "remoteip": clientAddress, "remoteaddr": clientAddress,
	"user": authSubject, "userid": authSubject, "subject": authSubject, "issuer": "auth.iss", "jwt": authClaims,
	"code": responseStatus, "statuscode": responseStatus,
}

// plainName matches a name that may follow a dot.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// meant suggests query.page to a user who wrote request.query_params.page, and client.ip to a user who wrote
// request.client.ip. It handles a root below another root, and a name from another program. rest is what follows the
// name. It returns "" if it has no suggestion.
func (r *resolver) meant(name string, rest []link) string {
	ours := name
	if _, root := scopeOf[name]; !root {
		ours = foreign[strings.ReplaceAll(strings.ToLower(name), "_", "")]
	}
	root, _, _ := strings.Cut(ours, ".")
	if scopeOf[root]&r.scope == 0 {
		return ""
	}
	if t, whole := variables[ours]; !whole || t == celFields || ours == authName || ours == authClaims {
		ours = below(ours, rest)
	}
	return didYouMeanThis(ours)
}

// membersOf suggests query.page to a user who wrote request.query.page. name is the name of a string that is also the
// name of a map of its parts. It returns "" if there is no such map.
func membersOf(name string, rest []link) string {
	if variables[name] != celFields {
		return ""
	}
	return didYouMeanThis(below(name, rest))
}

// below returns name with the first element of rest appended.
func below(name string, rest []link) string {
	switch {
	case len(rest) == 0:
		return name
	case plainName.MatchString(rest[0].name):
		return name + "." + rest[0].name
	default:
		return name + "['" + rest[0].name + "']"
	}
}

// didYouMeanThis suggests a name. A name in brackets has quotes already and gets no more.
func didYouMeanThis(name string) string {
	if strings.Contains(name, "'") {
		return "did you mean " + name + "?"
	}
	return "did you mean " + quoted(name) + "?"
}

// didYouMean suggests the known name that is nearest to a misspelt one, or returns "".
func didYouMean(name string, known []string) string {
	slices.Sort(known)
	best, distance := "", max(2, len(name)/3)+1
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + quoted(best) + "?"
}

// orList returns the suggestion, or a list of all known names if there is none.
func orList(suggestion string, known []string) string {
	if suggestion != "" {
		return suggestion
	}
	return "it has " + strings.Join(known, ", ")
}

// editDistance counts the insertions, deletions, replacements and swaps of adjacent bytes between a and b (optimal
// string alignment).
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j]+change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
