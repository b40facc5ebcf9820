package exchange_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

func zipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// plain reads a body by its head.
func decoded(body io.Reader, most int64, codings ...string) (string, error) {
	head := http.Header{}
	for _, coding := range codings {
		head.Add("Content-Encoding", coding)
	}
	r, length, err := exchange.Decoded(exchange.MapHead(head), body, -1, most)
	if err != nil {
		return "", err
	}
	text, err := exchange.ReadWhole(r, length, most)
	return string(text), err
}

func TestABodyIsReadWithoutItsCoding(t *testing.T) {
	t.Parallel()
	const text = `{"a": 1}`
	whole := zipped(t, text)
	broken := errors.New("the connection was lost")
	for name, c := range map[string]struct {
		body    io.Reader
		codings []string
		want    string
		err     error // CodingError stands for any
	}{
		"none":                   {strings.NewReader(text), nil, text, nil},
		"identity":               {strings.NewReader(text), []string{"Identity"}, text, nil},
		"gzip":                   {strings.NewReader(whole), []string{"gzip"}, text, nil},
		"gzip by its old name":   {strings.NewReader(whole), []string{" X-Gzip "}, text, nil},
		"byte for byte":          {iotest.OneByteReader(strings.NewReader(whole)), []string{"gzip"}, text, nil},
		"members one by one":     {strings.NewReader(zipped(t, `{"a":`) + zipped(t, ` 1}`)), []string{"gzip"}, text, nil},
		"nothing":                {strings.NewReader(""), []string{"gzip"}, "", nil},
		"an empty one":           {strings.NewReader(zipped(t, "")), []string{"gzip"}, "", nil},
		"brotli":                 {strings.NewReader(text), []string{"br"}, "", exchange.ErrCoding},
		"gzip twice":             {strings.NewReader(zipped(t, whole)), []string{"gzip", "gzip"}, "", exchange.ErrCoding},
		"identity, then another": {strings.NewReader(whole), []string{"identity", "gzip"}, "", exchange.ErrCoding},
		"no gzip":                {strings.NewReader(text), []string{"gzip"}, "", &exchange.CodingError{}},
		"cut short":              {strings.NewReader(whole[:len(whole)-4]), []string{"gzip"}, text, &exchange.CodingError{}},
		"more behind":            {strings.NewReader(whole + "x"), []string{"gzip"}, text, &exchange.CodingError{}},
		"another sum":            {strings.NewReader(whole[:len(whole)-8] + "12345678"), []string{"gzip"}, text, &exchange.CodingError{}},
		"a lost connection":      {io.MultiReader(strings.NewReader(whole[:12]), iotest.ErrReader(broken)), []string{"gzip"}, "{", broken},
		"much of nothing":        {strings.NewReader(strings.Repeat(zipped(t, ""), 1000)), []string{"gzip"}, "", exchange.ErrTooLong},
		"a bomb":                 {strings.NewReader(zipped(t, strings.Repeat(" ", 1<<20))), []string{"gzip"}, strings.Repeat(" ", 10_001), exchange.ErrTooLong},
	} {
		got, err := decoded(c.body, 10_000, c.codings...)
		_, coding := errors.AsType[*exchange.CodingError](err)
		_, wantsCoding := errors.AsType[*exchange.CodingError](c.err)
		if got != c.want || coding != wantsCoding || !wantsCoding && !errors.Is(err, c.err) {
			t.Errorf("%s: got %.50q, %v, want %.50q, %v", name, got, err, c.want, c.err)
		}
	}
}

func TestWhatIsTooLongInItsCodingIsNotBegun(t *testing.T) {
	t.Parallel()
	head := exchange.MapHead(http.Header{"Content-Encoding": {"gzip"}})
	if _, _, err := exchange.Decoded(head, iotest.ErrReader(io.ErrNoProgress), 101, 100); !errors.Is(err, exchange.ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

// FuzzDecoded holds that whatever comes as gzip ends, within the bounds, and that what was made here is read as it was.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte(zipped(f, "text")))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		const most = 1 << 16
		if got, err := decoded(bytes.NewReader(body), most, "gzip"); len(got) > most+1 || len(got) > most && !errors.Is(err, exchange.ErrTooLong) {
			t.Errorf("%q became %d bytes, %v", body, len(got), err)
		}
		if got, err := decoded(strings.NewReader(zipped(t, string(body))), most+1024, "gzip"); len(body) <= most && (got != string(body) || err != nil) {
			t.Errorf("%q became %q, %v", body, got, err)
		}
	})
}
