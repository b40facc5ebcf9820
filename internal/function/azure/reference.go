package azure

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config"
)

// checkRef reports what is wrong with the text that follows `azure:` in a route.
func checkRef(ref config.Ref) error {
	app, function, parted := strings.Cut(ref.Rest, "/")
	if parted && !functionForm.MatchString(function) {
		return fmt.Errorf("azure: is followed by APP/FUNCTION, or by the name of an app of this config: %q is no name of a function", function)
	}
	if config.IsElementName(app) {
		return nil
	}
	var a App
	if err := a.UnmarshalText([]byte(app)); err != nil {
		return fmt.Errorf("azure: is followed by APP/FUNCTION, or by the name of an app of this config: %w", err)
	}
	return nil
}

// inline returns the config of an app that a route names. The function in the reference is a part of it.
func inline(ref config.Ref) (any, error) {
	name, _ := ref.Function()
	c := defaults()
	if err := c.App.UnmarshalText([]byte(name)); err != nil {
		return nil, err
	}
	if strings.Contains(name, regionPlace) {
		return nil, fmt.Errorf("an app in several regions is declared under functions")
	}
	c.Pos = ref.Origin.Pos
	return &c, nil
}

// checkPart reports what is wrong with a function that a route puts after an app's name.
func checkPart(c *Config, part string) error {
	if !functionForm.MatchString(part) {
		return fmt.Errorf("%q is no name of a function; names are letters, digits, - and _", part)
	}
	_, err := c.template(part)
	return err
}

// checkPath reports why requests of a route cannot be sent to a function.
func checkPath(c *Config, part string, path pattern.Path, captured func(name string) bool) error {
	at, err := c.template(part)
	if err != nil {
		return err
	}
	return at.takes(path, captured)
}
