package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

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

// comes is content of which a given part has arrived and need not be waited for.
type comes struct {
	exchange.Lent // its other methods are not called
	io.ReadCloser

	here int
	read []int // the sizes of the pieces that were read without waiting
}

func (c *comes) ReadAtOnce(p []byte) int {
	n, _ := io.ReadFull(c.ReadCloser, p[:min(len(p), c.here)])
	c.here -= n
	c.read = append(c.read, n)
	return n
}

// writes records how a response is written; -1 is a flush.
type writes struct {
	http.ResponseWriter

	pieces []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.pieces = append(w.pieces, len(p))
	return len(p), nil
}
func (w *writes) Flush() { w.pieces = append(w.pieces, -1) }

func TestWhatHasComeBehindTheFirstPieceGoesTogetherWithIt(t *testing.T) {
	for name, test := range map[string]struct {
		length, here int
		major        int
		tls          *tls.ConnectionState
		want         []int
	}{
		"all":                        {100_000, 200_000, 1, nil, []int{smallPiece, 100_000 - smallPiece}},
		"some":                       {100_000, 50_000, 1, nil, []int{smallPiece, 50_000, -1, 100_000 - 50_000 - smallPiece}},
		"nothing":                    {100_000, 0, 1, nil, []int{smallPiece, -1, hugePiece, -1, 100_000 - hugePiece - smallPiece}},
		"of more than would be held": {200_000, 200_000, 1, nil, []int{smallPiece, -1, hugePiece, -1, hugePiece, -1, 200_000 - 2*hugePiece - smallPiece}},
		"over HTTP/2":                {100_000, 200_000, 2, nil, []int{smallPiece, -1, hugePiece, -1, 100_000 - hugePiece - smallPiece}},
		"over TLS":                   {100_000, 200_000, 1, &tls.ConnectionState{}, []int{smallPiece, -1, hugePiece, -1, 100_000 - hugePiece - smallPiece}},
	} {
		w := &writes{}
		body := &comes{ReadCloser: io.NopCloser(bytes.NewReader(make([]byte, test.length))), here: test.here}
		p := &passage{}
		p.w, p.r = w, &http.Request{ProtoMajor: test.major, TLS: test.tls}
		if err := p.pass(&http.Response{ContentLength: int64(test.length), Body: body}, body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(w.pieces, test.want) {
			t.Errorf("%s: written is %v, want %v; read at once was %v", name, w.pieces, test.want, body.read)
		}
	}
}
