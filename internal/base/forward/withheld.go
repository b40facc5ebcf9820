package forward

import (
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// Withheld is which fields Request leaves out. The zero value leaves out none.
type Withheld struct{ names field.Set }

// withholdable are the fields that can be withheld, in the order in which Request adds them. Via is not among them:
// gateways must send it (RFC 9110 section 7.6.3), and loops are found by it.
var withholdable = []struct {
	name string
	is   field.Known
}{
	{"X-Forwarded-Proto", field.XForwardedProto}, {"X-Forwarded-Port", field.XForwardedPort}, {"X-Forwarded-Host", field.XForwardedHost},
	{"X-Forwarded-For", field.XForwardedFor}, {"X-Request-Id", field.XRequestID},
}

// Withholdable returns the names of the fields that can be withheld. X-Forwarded-For also stands for Forwarded.
func Withholdable() []string {
	names := make([]string, 0, len(withholdable))
	for _, w := range withholdable {
		names = append(names, w.name)
	}
	return names
}

// AllBut withholds those of Withholdable that are not named.
func AllBut(told []string) (w Withheld) {
	for _, one := range withholdable {
		if !slices.Contains(told, one.name) {
			w.names.Add(one.is)
		}
	}
	return w
}

// add adds the lines that are not withheld.
func (w Withheld) add(dst exchange.Head, lines []field.Line) {
	if w.names == 0 {
		exchange.AddLines(dst, lines...)
		return
	}
	for i, line := range lines {
		if !w.names.Has(line.Known()) {
			exchange.AddLines(dst, lines[i:i+1]...)
		}
	}
}
