package mtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/auth/mtls"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func build(t *testing.T, text string) (auth.Way, []doc.Problem) {
	t.Helper()
	var ps doc.Problems
	c := mtls.Definition().New()
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), c, &ps)
	w, err := mtls.Definition().Build(auth.Env{Name: "mesh"}, c)
	if err != nil {
		t.Fatal(err)
	}
	return w, ps.Sorted()
}

// certificate is one with names as they are written in a config.
func certificate(t *testing.T, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(int64(len(names))), Raw: []byte(strings.Join(names, " "))}
	for _, name := range names {
		kind, text, _ := strings.Cut(name, ":")
		switch kind {
		case "cn":
			c.Subject = pkix.Name{CommonName: text}
		case "dns":
			c.DNSNames = append(c.DNSNames, text)
		default:
			u, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
	return c
}

// TestACertificateThatNobodyAsksForIsWarnedOf holds that such a way is told with the config, not by its 401s.
func TestACertificateThatNobodyAsksForIsWarnedOf(t *testing.T) {
	const rest = "\nauth: { mesh: { mtls: any } }\nroutes: { GET /: http://a:1 }\n"
	for listen, want := range map[string]string{
		"listen: :8080": `weir.yaml:2:9: warning: no caller can pass auth "mesh"; no listener asks clients for a certificate; write ` + "`client_ca` in the `tls` of a listener",
		"listen: { a: { address: :8443, tls: { cert: a.crt, key: a.key } } }":                                     "asks clients for",
		"listen: { a: { address: :8443, tls: { cert: a.crt, key: a.key, client_ca: c.crt, client: optional } } }": "",
		"listen: [:8080, { address: :8443, tls: { cert: a.crt, key: a.key, client_ca: c.crt } }]":                 "",
	} {
		loaded := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(listen + rest)}}, config.Vocabulary{
			Auths: []config.Kind{mtls.Definition().Vocabulary()}, Schemes: []config.Scheme{{Name: "http"}},
		})
		if got := loaded.Problems; loaded.Config == nil || (len(got) > 0) != (want != "") || want != "" && !strings.Contains(got[0].String(), want) {
			t.Errorf("%s: %v", listen, got)
		}
	}
}

// over is a request over a connection with that client certificate.
func over(leaf *x509.Certificate, verified bool) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{}
	if leaf != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{leaf}
	}
	if verified {
		r.TLS.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	return exchange.With(r, &exchange.Exchange{})
}

func TestNamesOfACertificate(t *testing.T) {
	for name, c := range map[string]struct {
		allowed string
		own     []string
		want    string // subject, "" refused
	}{
		"a workload":                 {"spiffe://shop.dev/orders", []string{"spiffe://shop.dev/orders"}, "spiffe://shop.dev/orders"},
		"all workloads":              {"spiffe://shop.dev/*", []string{"spiffe://shop.dev/ns/a/sa/b"}, "spiffe://shop.dev/ns/a/sa/b"},
		"another trust domain":       {"spiffe://shop.dev/*", []string{"spiffe://shop.dev.evil/orders"}, ""},
		"a longer name":              {"spiffe://shop.dev/orders", []string{"spiffe://shop.dev/orders2"}, ""},
		"nothing for the star":       {"spiffe://shop.dev/*", []string{"spiffe://shop.dev/"}, ""},
		"dots":                       {"spiffe://shop.dev/a/*", []string{"spiffe://shop.dev/a/../b"}, ""},
		"encoded dots":               {"spiffe://shop.dev/a/*", []string{"spiffe://shop.dev/a/%2e%2e/b"}, ""},
		"a query":                    {"spiffe://shop.dev/a", []string{"spiffe://shop.dev/a?x"}, ""},
		"a URI is no DNS name":       {"dns:shop.dev", []string{"https://shop.dev"}, ""},
		"a DNS name":                 {"dns:Shop.dev", []string{"dns:SHOP.dev"}, "shop.dev"},
		"below a domain":             {"dns:*.shop.dev", []string{"dns:a.b.shop.dev"}, "a.b.shop.dev"},
		"the domain itself":          {"dns:*.shop.dev", []string{"dns:shop.dev"}, ""},
		"a domain that ends alike":   {"dns:*.shop.dev", []string{"dns:evilshop.dev"}, ""},
		"a wildcard certificate":     {"dns:*.shop.dev", []string{"dns:*.shop.dev"}, ""},
		"a common name":              {"cn:backup", []string{"cn:backup"}, "backup"},
		"a common name in case":      {"cn:backup", []string{"cn:Backup"}, ""},
		"a common name is no DNS":    {"dns:shop.dev", []string{"cn:shop.dev"}, ""},
		"a NUL":                      {"cn:backup", []string{"cn:backup\x00.evil"}, ""},
		"the first that counts":      {"[cn:a, dns:b]", []string{"dns:b", "cn:a"}, "a"},
		"any takes the most precise": {"any", []string{"cn:a", "dns:b", "spiffe://shop.dev/c"}, "spiffe://shop.dev/c"},
		"any takes a common name":    {"any", []string{"cn:a"}, "a"},
		"no name at all":             {"any", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, problems := build(t, "mtls: "+c.allowed)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			for range 2 { // the second time from memory
				id, err := w.Recognise(over(certificate(t, c.own...), true))
				got := ""
				if err == nil {
					got = id.Subject
				}
				if got != c.want {
					t.Errorf("%q (%v), not %q", got, err, c.want)
				}
			}
		})
	}
}

func TestOnlyWhatTheConnectionVerifiedCounts(t *testing.T) {
	w, _ := build(t, "mtls: any")
	leaf := certificate(t, "cn:a", "dns:b.dev")
	if _, err := w.Recognise(over(nil, false)); !errors.Is(err, auth.ErrAbsent) {
		t.Errorf("no certificate: %v", err)
	}
	plain := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{})
	plain.Header.Set("X-Forwarded-Client-Cert", "Subject=\"CN=a\"")
	plain.Header.Set("X-Ssl-Client-Verify", "SUCCESS")
	if _, err := w.Recognise(plain); !errors.Is(err, auth.ErrAbsent) {
		t.Errorf("no TLS: %v", err)
	}
	if _, err := w.Recognise(over(leaf, false)); err == nil || errors.Is(err, auth.ErrAbsent) {
		t.Errorf("a certificate that nobody verified: %v", err)
	}
	id, err := w.Recognise(over(leaf, true))
	if err != nil || id.Method != "mesh" || id.Issuer != "auth:mesh" || len(id.Claims.All()["dns"].([]any)) != 1 || id.Claims.All()["serial"] != "2" {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestNamesThatWouldCountForOthersAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"spiffe://shop.dev*": "does not stand behind a slash", "spiffe://*": "does not stand behind a slash", "spiffe://*/a": "does not stand behind a slash",
		"dns:*": "whole labels", "dns:a*.shop.dev": "whole labels", "dns:*shop.dev": "whole labels", "cn:*": "whole labels",
		"shop.dev": "names nobody", "dns:": "names nobody", "spiffe://": "names nobody", "ip:10.0.0.1": "names nobody",
	} {
		_, problems := build(t, "mtls: '"+text+"'")
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: want %q, got %v", text, want, problems)
		}
	}
}
