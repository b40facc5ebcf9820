package gcf

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud/google"
	"github.com/weir-gateway/weir/internal/config"
)

// isName reports whether a reference can only mean a function of the config.
func isName(rest string) bool { return config.IsElementName(rest) }

// checkRef reports what is wrong with the text that follows `gcf:` or `run:` in a route.
func checkRef(parse func(string) (google.Target, error), shape string) func(config.Ref) error {
	return func(ref config.Ref) error {
		if isName(ref.Rest) {
			return nil
		}
		_, err := parse(ref.Rest)
		switch {
		case err != nil:
			return fmt.Errorf("%s: is followed by %s, by a URL, or by the name of a function of this config: %w", ref.Scheme, shape, err)
		case strings.Contains(ref.Rest, google.RegionPlace):
			return fmt.Errorf("%s: a function in several regions is declared under functions", ref.Scheme)
		}
		return nil
	}
}

// inline returns the config of a function that a route names together with its location.
func inline(parse func(string) (google.Target, error)) func(config.Ref) (any, error) {
	return func(ref config.Ref) (any, error) {
		if isName(ref.Rest) {
			return nil, errNowhere
		}
		target, err := parse(ref.Rest)
		if err != nil {
			return nil, err //nolint:wrapcheck // it says what is wrong
		}
		c := defaults()
		c.Pos, c.Function = ref.Origin.Pos, Name{target}
		return &c, nil
	}
}
