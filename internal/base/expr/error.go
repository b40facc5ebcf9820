package expr

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
)

// Error describes an error in an expression. Line and Col start at 1 and count within the source. Columns count runes.
// Fix says what to do, or is empty.
type Error struct {
	Line, Col int
	Text, Fix string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Text)
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// The descriptions of types that messages also compare.
const (
	aString   = "a string"
	anInteger = "an integer"
	aNumber   = "a number"
)

// describe returns a description of a CEL type.
func describe(celType string) string {
	name, _, _ := strings.Cut(celType, "(")
	switch name {
	case stringName:
		return aString
	case "int", "uint":
		return anInteger
	case "double":
		return aNumber
	case "bool":
		return "true or false"
	case bytesName:
		return bytesName
	case "list":
		return "a list"
	case "map":
		return "a map"
	case "null", "null_type":
		return "null"
	case "google.protobuf.Timestamp", "timestamp":
		return "a time"
	case "google.protobuf.Duration", "duration":
		return "a duration"
	case stepType:
		return "a step"
	case authType:
		return "the identity"
	case prefixType:
		return "a cidr"
	case "type":
		return "a type"
	default:
		return "a " + celType
	}
}

// firstIssue returns the issue that is first in the source.
func firstIssue(issues *cel.Issues) *cel.Error {
	list := issues.Errors()
	first := list[0]
	for _, e := range list[1:] {
		a, b := e.Location, first.Location
		if a.Line() < b.Line() || a.Line() == b.Line() && a.Column() < b.Column() {
			first = e
		}
	}
	return first
}
