package cli

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-gateway/weir/internal/config"
)

// errDiffers is the result of a diff that has found differences.
var errDiffers = errors.New("the configurations differ")

func diffCommand(s Streams) *cobra.Command {
	var o operator
	c := &cobra.Command{
		Use:   "diff [BEFORE] AFTER",
		Short: "Show which routes and other elements differ between two configs.",
		Long: `Show which routes and other elements differ between two configs. Their long forms are
compared, so the same thing written in another way or another place is no difference.

A config is a file or folder, "running" for what a gateway serves, or the digest of a
config that it has served. BEFORE is "running" by default. Secrets are compared by their
references, not by their values. The exit code is 3 if there are differences.`,
		Example: `  weir diff weir.yaml                 what would change if the gateway loaded it
  weir diff old.yaml weir.yaml
  weir diff 5f2a running              what has changed since that config`,
		Args: args(1, 2, "one or two configs"),
		RunE: func(_ *cobra.Command, given []string) error {
			if len(given) == 1 {
				given = []string{running, given[0]}
			}
			var sides [2][]config.Element
			for i, name := range given {
				elements, err := s.elements(&o, name)
				if err != nil {
					return err
				}
				sides[i] = elements
			}
			changes := config.Compare(sides[0], sides[1])
			s.differences(changes, sides[0], sides[1])
			if len(changes) > 0 {
				return errDiffers
			}
			return nil
		},
	}
	o.flags(c)
	return c
}

// running is the name for the config that a gateway serves.
const running = "running"

var isDigest = regexp.MustCompile(`^[0-9a-f]{4,16}$`)

// elements returns the elements of a config: a file or folder, the running one, or one from the history.
func (s Streams) elements(o *operator, name string) (elements []config.Element, err error) {
	_, missing := os.Stat(name)
	switch {
	case missing == nil:
		checked, _, err := s.check(name)
		if err != nil {
			return nil, err
		}
		return config.Elements(checked.Config), nil
	case name == running:
		err = o.ask("GET", "/v1/config?format=elements", &elements, nil)
	case isDigest.MatchString(name):
		err = s.saidBy(o.ask("GET", "/v1/history/"+name+"?format=elements", &elements, nil))
	default:
		err = usageError{fmt.Errorf("%q is not a file, a folder, a digest or `running`", name)}
	}
	return elements, err
}

// differences prints the elements that have changed, and how.
func (s Streams) differences(changes []config.Change, before, after []config.Element) {
	for _, c := range changes {
		sign := map[string]string{config.Added: "+", config.Removed: "-", config.Changed: "~"}[c.What]
		_, _ = fmt.Fprintln(s.Out, printable(strings.TrimSpace(sign+" "+c.Kind+" "+c.Name)))
		for _, line := range lineDiff(textOf(before, c), textOf(after, c)) {
			_, _ = fmt.Fprintln(s.Out, "    "+printable(line))
		}
	}
	_, _ = fmt.Fprintln(s.Err, config.Summary(changes))
}

// textOf returns the text of the element that has changed, or "" if elements does not have it.
func textOf(elements []config.Element, c config.Change) string {
	for _, e := range elements {
		if e.Kind == c.Kind && e.Name == c.Name {
			return e.Text
		}
	}
	return ""
}

// lineDiff returns the lines of both texts. Lines that only one of them has begin with a sign.
func lineDiff(before, after string) []string {
	a, b := lines(before), lines(after)
	// common[i][j] is the length of the longest common subsequence of lines of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, line := range slices.Backward(a) {
		for j, other := range slices.Backward(b) {
			if line == other {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
