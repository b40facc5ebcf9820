package lambda

import (
	"fmt"

	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config"
)

// checkRef reports what is wrong with the text that follows `lambda:` in a route.
func checkRef(ref config.Ref) error {
	if _, err := aws.ParseTarget(ref.Rest); err != nil {
		return fmt.Errorf("lambda: is followed by NAME:ALIAS@REGION, by an ARN, or by the name of a function of this config: %w", err)
	}
	return nil
}

// inline returns the config of a function that a route names together with its region.
func inline(ref config.Ref) (any, error) {
	target, err := aws.ParseTarget(ref.Rest)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	c := defaults()
	c.Pos, c.Lambda, c.inlined = ref.Origin.Pos, Name{target}, true
	return &c, nil
}

// checkPart reports what is wrong with an alias that a route puts after a function's name.
func checkPart(c *Config, part string) error {
	if c.Lambda.Qualifier != "" {
		return fmt.Errorf("it is declared as %s already, so no other alias can be named", c.Lambda)
	}
	_, err := aws.ParseTarget(c.Lambda.Name + ":" + part)
	return err //nolint:wrapcheck // it says what is wrong
}
