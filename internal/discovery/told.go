package discovery

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what a source may tell of an endpoint.
const (
	// MostWeight bounds weights, which are relative.
	MostWeight = 1_000_000
	// LongestText bounds ids, zones, nodes and hints, in bytes.
	LongestText = 512
	// longestLine bounds what is passed on of what a source says for people, in bytes.
	longestLine = 400
)

// ToldError is what is wrong with what a source tells of an endpoint.
type ToldError struct {
	Field string // as files call it: id, zone, node, hints, weight
	What  string
}

func (e *ToldError) Error() string { return "its " + e.Field + " " + e.What }

// Check tells what is wrong with an endpoint beside its address, nil where nothing is: whoever may write
// to a source writes on terminals and into metrics otherwise. The error is a *ToldError.
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

// Line is what a server says for people, as it may be shown: one line of it, not too long, and of what cannot be
// printed nothing.
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

// CheckText tells what is wrong with a text that stands in logs and on terminals, which may have blanks.
func CheckText(text string) error {
	if !printable(text) {
		return fmt.Errorf("%q holds what cannot be printed", text)
	}
	return nil
}

// CheckReference tells what is wrong with what stands behind the scheme of a reference, where it is the name
// that a source has for a service: blanks and what cannot be printed are in none.
func CheckReference(rest string) error {
	if !printable(rest) || strings.ContainsFunc(rest, unicode.IsSpace) {
		return fmt.Errorf("%q holds a blank, or what cannot be printed", rest)
	}
	return nil
}
