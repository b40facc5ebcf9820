package expr

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
)

// syntaxError rewords an error of CEL's parser.
func syntaxError(source string, issues *cel.Issues) *Error {
	issue := firstIssue(issues)
	e := &Error{Line: max(issue.Location.Line(), 1), Col: max(issue.Location.Column()+1, 1)}
	message := strings.TrimPrefix(issue.Message, "Syntax error: ")
	e.Text = message
	switch {
	case strings.TrimSpace(source) == "":
		e.Text, e.Fix = "the expression is empty", ""
	case strings.Contains(message, "'<EOF>'"):
		e.Text = "the expression ends too early"
	case strings.HasPrefix(strings.TrimSpace(source), "="):
		e.Text, e.Fix = "the expression begins with a second =", "write one"
	case tripled.MatchString(e.before(source)) && strings.Contains(message, "token recognition error at: '="):
		operator := tripled.FindString(e.before(source))
		e.Text, e.Fix = "there is no operator "+operator+"=", "write "+operator
	case strings.Contains(message, "token recognition error at: '="):
		e.Text, e.Fix = "a single = compares nothing", "write == to compare"
	case strings.Contains(message, "token recognition error at: '&"):
		e.Text, e.Fix = "a single & means nothing", "write && for and"
	case strings.Contains(message, "token recognition error at: '|"):
		e.Text, e.Fix = "a single | means nothing", "write || for or"
	case strings.Contains(message, "token recognition error"):
		e.Text = "this cannot be read: " + message[strings.Index(message, "at: ")+4:]
	default:
		if m := offending.FindStringSubmatch(message); m != nil {
			word := m[1]
			if _, known := wordOperators[word]; !known {
				word = e.afterWord(source, word)
			}
			e.Text, e.Fix = quoted(word)+" is not expected here", wordOperators[word]
			if path := ownPath.FindString(strings.TrimSuffix(e.before(source), ".")); path != "" && strings.HasPrefix(word, ".") {
				e.Fix = "a name stands behind one dot, and what is no name in brackets: " + path + ".NAME, " + path + "['NAME']"
			}
		}
	}
	return e
}

// before returns what precedes the error on its line.
func (e *Error) before(source string) string {
	lines := strings.Split(source, "\n")
	if e.Line > len(lines) {
		return ""
	}
	line := []rune(lines[e.Line-1])
	return string(line[:min(e.Col-1, len(line))])
}

// afterWord returns the word from another language that makes word unexpected, such as the not of `not a`, and moves
// the error to it. If there is none, it returns word.
func (e *Error) afterWord(source, word string) string {
	m := lastWord.FindStringSubmatch(e.before(source))
	if m == nil {
		return word
	}
	if _, known := wordOperators[m[1]]; !known {
		return word
	}
	e.Col -= utf8.RuneCountInString(m[0])
	return m[1]
}

var (
	// tripled is how === and !== begin.
	tripled  = regexp.MustCompile(`[=!]=$`)
	lastWord = regexp.MustCompile(`\b([a-z]+)\s+$`)
	// ownPath is a name with the names after its dots.
	ownPath = regexp.MustCompile(`[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
)

var offending = regexp.MustCompile(`^(?:mismatched|extraneous|no viable alternative at) input '([^']*)'`)

// wordOperators maps the operators of other languages to advice on CEL's.
var wordOperators = map[string]string{
	"and": "write && for and",
	"or":  "write || for or",
	"not": "write ! for not",
	"is":  "write == to compare",
}

var (
	noOverload  = regexp.MustCompile(`^found no matching overload for '(.+)' applied to '(.*)'`)
	wrongType   = regexp.MustCompile(`^expected type '(.+)' but found '(.+)'`)
	noSelection = regexp.MustCompile(`^type '(.+)' does not support field selection`)
	noRange     = regexp.MustCompile(`^expression of type '(.+)' cannot be range`)
)

// typeError rewords an error of CEL's type checker.
func typeError(issues *cel.Issues) *Error {
	issue := firstIssue(issues)
	e := &Error{Line: max(issue.Location.Line(), 1), Col: max(issue.Location.Column()+1, 1), Text: issue.Message}
	if m := noOverload.FindStringSubmatch(issue.Message); m != nil {
		e.Text, e.Fix = mismatch(m[1], m[2])
		return e
	}
	if m := wrongType.FindStringSubmatch(issue.Message); m != nil {
		e.Text = "must be " + describe(m[1]) + ", this is " + describe(m[2])
		return e
	}
	if m := noSelection.FindStringSubmatch(issue.Message); m != nil {
		e.Text = describe(m[1]) + " has no fields"
		return e
	}
	if m := noRange.FindStringSubmatch(issue.Message); m != nil {
		e.Text = "this needs a list or a map, it is " + describe(m[1])
	}
	return e
}

// mismatch describes a call that fits no overload. arguments is "(string, int)" or, for a method, "string.(int)".
func mismatch(function, arguments string) (text, fix string) {
	target, rest, isMethod := strings.Cut(arguments, ".(")
	if !isMethod {
		target, rest = "", strings.TrimPrefix(arguments, "(")
	}
	var kinds []string
	for _, t := range splitTypes(strings.TrimSuffix(rest, ")")) {
		kinds = append(kinds, describe(t))
	}
	symbol, isOperator := symbols[function]
	switch {
	case isOperator && len(kinds) == 2:
		return symbol + " does not go with " + kinds[0] + " and " + kinds[1], conversion(kinds)
	case isOperator && len(kinds) == 1:
		return symbol + " does not go with " + kinds[0], ""
	case isMethod:
		text = describe(target) + " has no method " + function
	default:
		text = function
	}
	if len(kinds) == 0 {
		return text + "()", ""
	}
	if isMethod {
		return text + " that takes " + strings.Join(kinds, ", "), ""
	}
	return text + "() does not take " + strings.Join(kinds, ", "), ""
}

// conversion suggests how to convert two sides of different types to the same type.
func conversion(kinds []string) string {
	switch {
	case kinds[0] == aString && (kinds[1] == anInteger || kinds[1] == aNumber),
		kinds[1] == aString && (kinds[0] == anInteger || kinds[0] == aNumber):
		return "headers, query and path are strings: compare with a quoted value, or convert with int(...)"
	case kinds[0] == anInteger && kinds[1] == aNumber, kinds[0] == aNumber && kinds[1] == anInteger:
		return "convert the integer with double(...)"
	default:
		return ""
	}
}

// splitTypes splits a list like "string, map(string, int)" at its outer commas.
func splitTypes(list string) []string {
	var out []string
	depth, start := 0, 0
	for i := range len(list) {
		switch list[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(list[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(list[start:]); last != "" {
		out = append(out, last)
	}
	return out
}

// symbols maps CEL's internal names of operators to their symbols.
var symbols = map[string]string{
	"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=",
	"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "_&&_": "&&", "_||_": "||",
	"!_": "!", "-_": "-", "@in": "in", "_?_:_": "? :", "_[_]": "[...]",
}
