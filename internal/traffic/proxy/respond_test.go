package proxy

import "testing"

func TestSizesOfPieces(t *testing.T) {
	for name, test := range map[string]struct {
		before       int
		passed, left int64
		want         int
	}{
		"the first one":                     {0, 0, 1 << 30, smallPiece},
		"little came":                       {100, 5000, 1 << 30, smallPiece},
		"much came":                         {smallPiece, smallPiece, 20_000, largePiece},
		"of an unknown length":              {largePiece, 1 << 30, -1 << 30, largePiece},
		"of a known length":                 {smallPiece, smallPiece, 100 << 10, hugePiece},
		"the last of it":                    {hugePiece, 68 << 10, largePiece, largePiece},
		"of all that is not long":           {smallPiece, smallPiece, long - smallPiece, hugePiece},
		"of what is long":                   {smallPiece, smallPiece, long, largePiece},
		"of what is long, when much passed": {largePiece, long, long, hugePiece},
	} {
		if got := sizeOfPiece(test.before, test.passed, test.left); got != test.want {
			t.Errorf("%s: %d bytes, want %d", name, got, test.want)
		}
	}
}
