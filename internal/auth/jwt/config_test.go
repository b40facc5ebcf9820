package jwt

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func decodeConfig(text string) (*Config, []doc.Problem) {
	var ps doc.Problems
	c := Definition().New().(*Config)
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), c, &ps)
	return c, ps.Sorted()
}

func TestMistakesAreToldWithTheirFix(t *testing.T) {
	for text, want := range map[string]string{
		"jwt: https://id.example.com/":                                                `"audience" is missing`,
		"jwt: https://id.example.com/\naudience: ''":                                  "audience names nobody",
		"jwt: https://id.example.com/\naudience: []":                                  "audience names nobody",
		"jwt: id.example.com\naudience: shop":                                         "is not a URL that can be called",
		"jwt: http://id.example.com/\naudience: shop":                                 "would come unencrypted",
		"jwt: https://id.example.com/?a=b\naudience: shop":                            "the issuer has a query",
		"jwt: https://u:p@id.example.com/\naudience: shop":                            "user name or password",
		"jwt: x\naudience: shop\njwks: http://id.example.com/keys":                    "would come unencrypted",
		"jwt: x\naudience: shop\njwks: https://id.example.com/keys\nsecret: ${env:S}": "jwks and a secret",
		"jwt: x\naudience: shop\njwks: '{}'":                                          "the keys are not understood",
		"jwt: x\naudience: shop\njwks: ''":                                            "no text that says where keys are",
		"jwt: https://id.example.com/\naudience: shop\nalgorithms: [RS256, none]":     "anybody could then write tokens",
		"jwt: https://id.example.com/\naudience: shop\nalgorithms: HS256":             "it needs a secret that both sides have",
		"jwt: https://id.example.com/\naudience: shop\nalgorithms: RS265":             `did you mean "RS256"`,
		"jwt: x\naudience: shop\nsecret: ${env:S}\nalgorithms: RS256":                 "there are HS256, HS384, HS512",
		"jwt: https://id.example.com/\naudience: shop\nleeway: 10m":                   "leeway is not between 0s and 5m",
		"jwt: https://id.example.com/\naudience: shop\nstale: 1s":                     "stale is not between 1m and 720h",
		"jwt: https://id.example.com/\naudience: shop\nremember: -1":                  "remember is not between",
		"jwt: https://id.example.com/\naudience: shop\nsubject: ''":                   "subject is empty",
		"jwt: https://id.example.com/\naudience: shop\nfrom: Authorization":           "is no place of a credential",
		"jwt: https://id.example.com/\naudience: shop\naud: shop":                     `unknown key "aud"`,
	} {
		_, problems := decodeConfig(text)
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s\nwant %q, got %v", text, want, problems)
		}
	}
}

func TestWhatIsGood(t *testing.T) {
	for _, text := range []string{
		"jwt: http://keycloak:8080/realms/shop\naudience: shop", "jwt: http://127.0.0.1:8080\naudience: shop", "jwt: http://[::1]:8080\naudience: shop",
		"jwt: http://keycloak.auth.svc:8080/realms/shop\naudience: [a, b]", "jwt: accounts.example.com\naudience: none\njwks: https://id.example.com/keys?tenant=a",
		"jwt: x\naudience: shop\nsecret: [\"${env:A}\", \"${env:B}\"]\nalgorithms: HS512", "jwt: x\naudience: \"none\"\njwks: '" + string(allIssued()) + "'",
		"jwt: x\naudience: shop\njwks: ./keys.json\nfrom: [header:Authorization, cookie:session]\ntype: at+jwt\nleeway: 0s\nremember: 0\nforward: token\nscopes: permissions\nca: /etc/ca.crt",
	} {
		c, problems := decodeConfig(text)
		if len(problems) > 0 {
			t.Errorf("%s\n%v", text, problems)
			continue
		}
		printed := doc.Encode(c)
		again, problems := decodeConfig(string(printed))
		if second := doc.Encode(again); len(problems) > 0 || !bytes.Equal(second, printed) {
			t.Errorf("%s\nis printed as\n%swhich is read with %v and printed as\n%s", text, printed, problems, second)
		}
	}
	c, _ := decodeConfig("jwt: https://id.example.com/\naudience: shop")
	if c.Leeway != time.Minute || c.Stale != 24*time.Hour || c.Remember != 10_000 || c.Discovery.URL != c.Issuer {
		t.Errorf("the defaults are %+v", c)
	}
}

func TestSecretsOfBothSides(t *testing.T) {
	now, next := strings.Repeat("now-", 8), strings.Repeat("next", 16)
	t.Setenv("NOW", now)
	t.Setenv("NEXT", next)
	t.Setenv("SHORT", now[1:])
	w := way(t, "jwt: x\naudience: shop\nsecret: [\"${env:NOW}\", \"${env:NEXT}\"]")
	token := func(alg, secret string) string {
		h := map[string]any{"alg": alg}
		return sealed(encode(h), claims("iss", "x"), byHMAC([]byte(secret), hashes[alg]))
	}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"a secret": {token("HS256", now), true}, "the next one": {token("HS256", next), true}, "HS512": {token("HS512", next), true},
		"too short for HS512": {token("HS512", now), false}, "another": {token("HS256", now+"x"), false}, "none": {b64([]byte(`{"alg":"none"}`)) + "." + b64(claims("iss", "x")) + ".", false},
		"by a key": {sealed([]byte(`{"alg":"RS256"}`), claims("iss", "x"), by("RS256", issued()["rsa"].Private)), false},
	} {
		if _, err := w.Recognise(request(c.token)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]string{"${env:SHORT}": "a secret of 31 bytes", now: "stands in the config itself", "${env:NOT_SET_ANYWHERE}": "NOT_SET_ANYWHERE is not set"} {
		_, err := Definition().Build(env(t, newKeeper(t)), configOf(t, "jwt: x\naudience: shop\nsecret: "+fmt.Sprintf("%q", text)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), now) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestOptionsOfAWay(t *testing.T) {
	only := fixed(t, "algorithms: ES256")
	if _, err := only.Recognise(request(good("p256", "ES256"))); err != nil {
		t.Error(err)
	}
	if _, err := only.Recognise(request(good("rsa", "RS256"))); err == nil {
		t.Error("an algorithm that is not allowed passes")
	}
	anybody := way(t, fmt.Sprintf("jwt: %s\naudience: none\njwks: '%s'", issuer, allIssued()))
	for _, aud := range []any{"bank", nil, []string{}} {
		if _, err := anybody.Recognise(request(good("rsa", "RS256", "aud", aud))); err != nil {
			t.Errorf("audience %v: %v", aud, err)
		}
	}
	cookie := fixed(t, "from: [header:Authorization, cookie:session]")
	r := request("x")
	r.Header.Set("Authorization", "Basic abc")
	r.Header.Set("Cookie", "session="+good("rsa", "RS256"))
	if _, err := cookie.Recognise(r); err != nil {
		t.Error(err)
	}
	forgetful := fixed(t, "remember: 0")
	for range 2 {
		if _, err := forgetful.Recognise(request(good("rsa", "RS256"))); err != nil {
			t.Error(err)
		}
	}
	if note := fixed(t).Note; note != "tokens of https://id.example.com/ for shop" {
		t.Error(note)
	}
	if w := fixed(t); w.Places[0] != auth.AuthorizationOf("Bearer") || w.Scheme != "Bearer" {
		t.Errorf("%+v", w)
	}
}
