package forward

import (
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// Withheld is which fields Request leaves out. The zero value leaves out none.
type Withheld struct {
	names   field.Set // of Weir's own fields
	notPass field.Set // of fields that trusted peers send and that tell the same
}

// withholdable are the fields that can be withheld, in the order in which Request adds them, and what else tells the
// same. Via is not among them: gateways must send it (RFC 9110 section 7.6.3), and loops are found by it.
var withholdable = []struct {
	name string
	is   field.Known
	also field.Set
}{
	{"X-Forwarded-Proto", field.XForwardedProto, 0},
	{"X-Forwarded-Port", field.XForwardedPort, 0},
	{"X-Forwarded-Host", field.XForwardedHost, field.SetOf(field.XOriginalHost)},
	{"X-Forwarded-For", field.XForwardedFor, field.SetOf(field.XForwarded, field.XOriginalForwardedFor, field.XRealIP, field.XClientIP,
		field.XClusterClientIP, field.TrueClientIP)},
	{"X-Request-Id", field.XRequestID, 0},
}

// toldByForwarded are the fields that say what Forwarded says.
var toldByForwarded = field.SetOf(field.XForwardedFor, field.XForwardedHost, field.XForwardedProto)

// Withholdable returns the names of the fields that can be withheld.
func Withholdable() []string {
	names := make([]string, 0, len(withholdable))
	for _, w := range withholdable {
		names = append(names, w.name)
	}
	return names
}

// AllBut withholds those of Withholdable that are not named. What a trusted peer says in other fields of the same
// meaning is withheld too. Forwarded is only sent if X-Forwarded-For, -Host and -Proto are.
func AllBut(told []string) (w Withheld) {
	for _, one := range withholdable {
		if !slices.Contains(told, one.name) {
			w.names.Add(one.is)
			w.notPass |= one.also
		}
	}
	return w
}

// notPassed returns the names of fields that are not copied from a request.
func (w Withheld) notPassed() exchange.Names {
	names := notPassed
	names.All |= w.notPass
	return names
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
