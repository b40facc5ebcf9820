package azure

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// constraint reports whether a parameter may have a value.
type constraint func(value string) bool

// parseConstraints reads "int:min(1)": names separated by colons, some with arguments.
func parseConstraints(text string) ([]constraint, error) {
	var list []constraint
	for text != "" {
		one, rest := cutConstraint(text)
		c, err := newConstraint(one)
		if err != nil {
			return nil, err
		}
		list, text = append(list, c), rest
	}
	return list, nil
}

func cutConstraint(text string) (one, rest string) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ':':
			if depth == 0 {
				return text[:i], text[i+1:]
			}
		}
	}
	return text, ""
}

var (
	alphaForm = regexp.MustCompile(`^[A-Za-z]*$`)
	guidForm  = regexp.MustCompile(`^(?i:[0-9a-f]{32}|\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?)$`)
)

// newConstraint supports the constraints of ASP.NET Core that need no culture but the invariant one.
func newConstraint(text string) (constraint, error) {
	name, arguments, hasArguments := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	if !hasArguments {
		if c, ok := plainConstraint(name); ok {
			return c, nil
		}
		return nil, fmt.Errorf("the constraint %q is not known", text)
	}
	if name == "regex" {
		// Braces and brackets are doubled within templates (ASP.NET Core routing, "Regular expressions").
		pattern, err := regexp.Compile("(?i)" + strings.NewReplacer("{{", "{", "}}", "}", "[[", "[", "]]", "]").Replace(arguments))
		if err != nil {
			return nil, fmt.Errorf("the constraint %q: %w", text, err)
		}
		return pattern.MatchString, nil
	}
	var numbers []int64
	for one := range strings.SplitSeq(arguments, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(one), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the constraint %q: %q is no number", text, one)
		}
		numbers = append(numbers, n)
	}
	if c := numberConstraint(name, numbers); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("the constraint %q is not known", text)
}

func plainConstraint(name string) (constraint, bool) {
	switch name {
	case "int":
		return func(v string) bool { _, err := strconv.ParseInt(v, 10, 32); return err == nil }, true
	case "long":
		return func(v string) bool { _, err := strconv.ParseInt(v, 10, 64); return err == nil }, true
	case "bool":
		return func(v string) bool { return strings.EqualFold(v, "true") || strings.EqualFold(v, "false") }, true
	case "decimal", "double", "float":
		return func(v string) bool { f, err := strconv.ParseFloat(v, 64); return err == nil && !math.IsInf(f, 0) }, true
	case "alpha":
		return alphaForm.MatchString, true
	case "guid":
		return guidForm.MatchString, true
	case "datetime":
		return isTime, true
	case "required":
		return func(v string) bool { return v != "" }, true
	}
	return nil, false
}

func isTime(v string) bool {
	for _, form := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "01/02/2006"} {
		if _, err := time.Parse(form, v); err == nil {
			return true
		}
	}
	return false
}

// numberConstraint returns the constraint of that name with those arguments, nil for none.
func numberConstraint(name string, n []int64) constraint {
	value := func(v string) (int64, bool) { i, err := strconv.ParseInt(v, 10, 64); return i, err == nil }
	length := func(v string) (int64, bool) { return int64(utf8.RuneCountInString(v)), true }
	between := func(of func(string) (int64, bool), least, most int64) constraint {
		return func(v string) bool { i, ok := of(v); return ok && least <= i && i <= most }
	}
	switch {
	case name == "min" && len(n) == 1:
		return between(value, n[0], math.MaxInt64)
	case name == "max" && len(n) == 1:
		return between(value, math.MinInt64, n[0])
	case name == "range" && len(n) == 2:
		return between(value, n[0], n[1])
	case name == "length" && len(n) == 1:
		return between(length, n[0], n[0])
	case name == "length" && len(n) == 2:
		return between(length, n[0], n[1])
	case name == "minlength" && len(n) == 1:
		return between(length, n[0], math.MaxInt64)
	case name == "maxlength" && len(n) == 1:
		return between(length, 0, n[0])
	}
	return nil
}
