package httpx_test

import (
	"testing"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestHostnameFitPrefersTheMoreSpecific(t *testing.T) {
	const host = "a.b.shop.dev"
	last := 0
	for _, hostname := range []string{"", "*.dev", "*.shop.dev", "*.b.shop.dev", "a.b.shop.dev"} {
		fit := httpx.HostnameFit(hostname, host)
		if fit <= last {
			t.Errorf("%q fits %q by %d, not more than what is less specific (%d)", hostname, host, fit, last)
		}
		last = fit
	}
	for _, hostname := range []string{"*.a.b.shop.dev", "b.shop.dev", "*.op.dev", "A.B.shop.dev", "*b.shop.dev.x"} {
		if fit := httpx.HostnameFit(hostname, host); fit != 0 {
			t.Errorf("%q fits %q by %d", hostname, host, fit)
		}
	}
	if httpx.HostnameFit("*.shop.dev", "shop.dev") != 0 {
		t.Error("a wildcard covers its own suffix")
	}
}
