package lambdaapi

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/function"
)

// reference is a function's name as AWS's clients write it, split into its parts.
type reference struct{ name, qualifier string }

// latest is the qualifier of the newest version, which is the only version here. Aliases are other names for it.
const latest = "$LATEST"

const (
	longestName      = 256 // of a whole ARN
	longestQualifier = 128
)

// parseName reads
//
//	NAME[:QUALIFIER]
//	ACCOUNT:function:NAME[:QUALIFIER]
//	arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
func parseName(text string) (ref reference, ok bool) {
	parts := strings.Split(text, ":")
	const arn, partial = 6, 2 // parts before the name
	switch {
	case len(text) > longestName:
		return ref, false
	case len(parts) > arn && parts[0] == "arn":
		if parts[1] != "aws" && !strings.HasPrefix(parts[1], "aws-") || parts[2] != "lambda" || !isRegion(parts[3]) || !isAccount(parts[4]) || parts[5] != "function" {
			return ref, false
		}
		parts = parts[arn:]
	case len(parts) > partial && parts[1] == "function":
		if !isAccount(parts[0]) {
			return ref, false
		}
		parts = parts[partial:]
	}
	const most = 2
	if len(parts) > most || !isName(parts[0], ".") {
		return ref, false
	}
	ref.name = parts[0]
	if len(parts) == most {
		ref.qualifier = parts[1]
		ok = isQualifier(ref.qualifier)
		return ref, ok
	}
	return ref, true
}

// isName reports whether s is not empty and consists of letters, digits, '-', '_' and the characters in more.
func isName(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && c != '-' && c != '_' && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return s != ""
}

func isQualifier(s string) bool { return s == latest || len(s) <= longestQualifier && isName(s, "") }

func isRegion(s string) bool { return isName(s, "") }

func isAccount(s string) bool {
	const digits = 12
	return len(s) == digits && strings.Trim(s, "0123456789") == ""
}

// function finds the function that a call names.
func (a *API) function(c *call) (Function, error) {
	text, _ := c.x.Params.Get(nameParameter)
	ref, ok := parseName(text)
	if !ok {
		return Function{}, validation.about("1 validation error detected: Value '%.300s' at 'functionName' failed to satisfy constraint: "+
			"it must be a name, NAME:QUALIFIER, ACCOUNT:function:NAME or an ARN", text)
	}
	for value := range httpx.QueryValues(c.x.Query, "Qualifier") {
		switch {
		case !isQualifier(value):
			return Function{}, validation.about("1 validation error detected: Value '%.300s' at 'qualifier' failed to satisfy constraint: it must be $LATEST, a version or an alias", value)
		case ref.qualifier != "" && ref.qualifier != value:
			return Function{}, invalidParameter.about("The derived qualifier from the function name does not match the specified qualifier.")
		}
		ref.qualifier = value
	}
	f, known := a.functions[ref.name]
	if !known || ref.qualifier != "" && ref.qualifier != latest && !slices.Contains(a.options.Aliases, ref.qualifier) {
		return Function{}, notFound.about("Function not found: %s", a.arn(ref.name, cmp.Or(ref.qualifier, latest)))
	}
	c.x.Backend, c.qualifier = "fn:"+f.Name, ref.qualifier
	return f, nil
}

// invoker finds the function that a call names, which must take payloads.
func (a *API) invoker(c *call) (Function, function.Invoker, error) {
	f, err := a.function(c)
	if err != nil {
		return f, nil, err
	}
	invoker, ok := f.Backend.(function.Invoker)
	if !ok || !invoker.Facts().Payloads {
		return f, nil, invalidParameter.about("The function %s takes HTTP requests, not payloads: its contract is not lambda. Call it through a route.", f.Name)
	}
	return f, invoker, nil
}

// arn returns the name of a function as AWS writes it; qualifier may be "".
func (a *API) arn(name, qualifier string) string {
	arn := "arn:aws:lambda:" + a.options.Region + ":" + a.options.Account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}
