package jwt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

func read(t *testing.T, text string) *token {
	t.Helper()
	v, err := jsonx.Parse([]byte(text), jsonx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &token{claims: v, registered: registeredIn(v)}
}

// TestTheEdgesOfTime holds to the second when a token begins and ends.
func TestTheEdgesOfTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := policy{types: usualTypes(), leeway: time.Minute}
	for name, c := range map[string]struct {
		claims string
		ok     bool
	}{
		"ends in a second":                   {`{"exp":1800000001}`, true},
		"ended now, within the leeway":       {`{"exp":1800000000}`, true},
		"the last second of the leeway":      {`{"exp":1799999941}`, true},
		"a millisecond of the leeway left":   {`{"exp":1799999940.001}`, true},
		"the leeway is over":                 {`{"exp":1799999940}`, false},
		"a fraction":                         {`{"exp":1800000000.5}`, true},
		"an exponent":                        {`{"exp":1.8e9}`, true},
		"begins when the leeway ends":        {`{"exp":1800000600,"nbf":1800000060}`, true},
		"begins a bit later":                 {`{"exp":1800000600,"nbf":1800000060.5}`, false},
		"begins a second later":              {`{"exp":1800000600,"nbf":1800000061}`, false},
		"issued within the leeway":           {`{"exp":1800000600,"iat":1800000060}`, true},
		"issued after it":                    {`{"exp":1800000600,"iat":1800000061}`, false},
		"the last second that there is":      {`{"exp":253402300799}`, true},
		"after it":                           {`{"exp":253402300799.5}`, false},
		"minus zero":                         {`{"exp":-0}`, false},
		"the number of 2^63 in another form": {`{"exp":9223372036854775808}`, false},
	} {
		expires, err := p.check(read(t, c.claims), now)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && !expires.After(now) {
			t.Errorf("%s: it would be remembered until %s, which is over", name, expires)
		}
	}
	p.leeway = 0
	if _, err := p.check(read(t, `{"exp":1800000000}`), now); err == nil {
		t.Error("without a leeway a token counts in the second in which it ends")
	}
}

func TestTypesOfTokens(t *testing.T) {
	for _, c := range []struct {
		types []string
		typ   string
		ok    bool
	}{
		{usualTypes(), "", true},
		{usualTypes(), "JWT", true},
		{usualTypes(), "at+jwt", true},
		{usualTypes(), "application/AT+JWT", true},
		{usualTypes(), "logout+jwt", false},
		{usualTypes(), "application/application/jwt", false},
		{[]string{"at+jwt"}, "at+JWT", true},
		{[]string{"at+jwt"}, "JWT", false},
		{[]string{"at+jwt"}, "", false},
	} {
		tok := read(t, `{"exp":4000000000}`)
		tok.typ = typeOf(c.typ)
		p := policy{types: c.types}
		if _, err := p.check(tok, time.Now()); (err == nil) != c.ok {
			t.Errorf("%q of %q: %v", c.typ, c.types, err)
		}
	}
}

func TestWhoATokenSpeaksOf(t *testing.T) {
	tok := read(t, `{"sub":"ada","client_id":"app","scope":"a b  c","scp":["d",1,"e f",""],"permissions":["g"],"n":9007199254740993,"roles":{"r":["x"]}}`)
	p := policy{way: "customer", issuer: issuer, subject: "sub", scopes: []string{"scope", "scp"}}
	id, err := p.identity(tok)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(id.Scopes, "|"); got != "a|b|c|d|e f" {
		t.Errorf("scopes are %s", got)
	}
	if id.Claims.All()["n"] != int64(9007199254740993) || fmt.Sprint(id.Claims.All()["roles"]) != "map[r:[x]]" || id.Method != "customer" || id.Issuer != issuer {
		t.Errorf("%+v", id)
	}
	p.subject, p.scopes = "client_id", []string{"permissions"}
	if id, err := p.identity(tok); err != nil || id.Subject != "app" || strings.Join(id.Scopes, "|") != "g" {
		t.Errorf("%+v, %v", id, err)
	}
}
