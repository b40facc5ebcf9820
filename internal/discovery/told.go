package discovery

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits for what a source may report of an endpoint.
const (
	// MostWeight bounds weights, which are relative.
	MostWeight = 1_000_000
	// LongestText bounds ids, zones, nodes and hints, in bytes.
	LongestText = 512
	// longestLine bounds, in bytes, how much of a human-readable message of a source is passed on.
	longestLine = 400
)

// ToldError is what is wrong with what a source reports of an endpoint.
type ToldError struct {
	Field string // as it is called in files: id, zone, node, hints, weight
	What  string
}

func (e *ToldError) Error() string { return "its " + e.Field + " " + e.What }

// Check tells what is wrong with an endpoint apart from its address, nil if nothing is. Without it, anyone who may
// write to a source could write to terminals and into metrics. The error is a *ToldError.
func (e *Endpoint) Check() error {
	for _, one := range []struct{ field, text string }{{"id", e.ID}, {"zone", e.Zone}, {"node", e.Node}, {"hints", e.Hints}, {"node hints", e.NodeHints}} {
		switch {
		case len(one.text) > LongestText:
			return &ToldError{one.field, fmt.Sprintf("has %d bytes, and %d are read", len(one.text), LongestText)}
		case !printable(one.text):
			return &ToldError{one.field, fmt.Sprintf("holds what cannot be printed: %q", one.text)}
		}
	}
	if e.Weight < 0 || e.Weight > MostWeight {
		return &ToldError{"weight", fmt.Sprintf("is %d, and not from 0 to %d", e.Weight, MostWeight)}
	}
	return nil
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unprintable)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Line makes a human-readable message of a server safe to show: a single line, not too long, with unprintable
// characters replaced.
func Line(says string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(says), "\n")
	line = strings.Map(func(r rune) rune {
		if unprintable(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, line[:min(len(line), longestLine)])
	return strings.TrimSpace(line)
}

// CheckText tells what is wrong with a text that appears in logs and on terminals; spaces are allowed.
func CheckText(text string) error {
	if !printable(text) {
		return fmt.Errorf("%q holds what cannot be printed", text)
	}
	return nil
}

// CheckReference tells what is wrong with the part of a reference after the scheme, where that is the source's name for
// a service: it may contain neither spaces nor unprintable characters.
func CheckReference(rest string) error {
	if !printable(rest) || strings.ContainsFunc(rest, unicode.IsSpace) {
		return fmt.Errorf("%q holds a blank, or what cannot be printed", rest)
	}
	return nil
}
