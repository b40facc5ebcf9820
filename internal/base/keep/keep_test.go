package keep_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-gateway/weir/internal/base/keep"
)

func TestStateIsOfItsTypeOrZero(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	makes := func(value int, err error) func() (int, func(context.Context), error) {
		return func() (int, func(context.Context), error) { return value, nil, err }
	}
	lives := func(_ string, makeIt func() (any, func(context.Context), error)) (any, error) {
		value, _, err := makeIt()
		return value, err
	}
	checks := func(string, func() (any, func(context.Context), error)) (any, error) { return nil, nil }
	for name, c := range map[string]struct {
		keeper keep.Keeper
		err    error
		want   int
	}{
		"made":         {keeper: lives, want: 7},
		"failed":       {keeper: lives, err: broken, want: 7},
		"only checked": {keeper: checks, want: 0},
	} {
		if got, err := keep.In(c.keeper, "n", makes(7, c.err)); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
}
