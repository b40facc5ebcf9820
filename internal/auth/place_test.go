package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// request is one under an exchange, as it is when guards see it; lines are `Name: value`.
func request(target string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return exchange.With(r, &exchange.Exchange{Query: r.URL.RawQuery})
}

func place(t *testing.T, text string) auth.Place {
	t.Helper()
	var p auth.Place
	var ps doc.Problems
	p.DecodeDoc(&doc.Node{Kind: doc.Scalar, Value: text}, &ps)
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	return p
}

func TestPlacesAreReadAndPrintedAlike(t *testing.T) {
	for text, want := range map[string]string{
		"header:x-api-key": "header:X-Api-Key", "header:Authorization": "header:Authorization Bearer",
		"header:authorization Token": "header:Authorization Token", "cookie:session": "cookie:session", "query:access_token": "query:access_token",
	} {
		p := place(t, text)
		if again := place(t, p.String()); p.String() != want || again != p {
			t.Errorf("%q is %q, and then %q", text, p, again)
		}
	}
	for _, text := range []string{"", "X-API-Key", "header:", "header:X Y Z", "header:x:y", "cookie:a b", "cookie:a=b", "query:a&b", "query:%61", "body:token",
		"header:Cookie", "header:cookie", "header:Host", "header:Connection", "header:X-Forwarded-For", "header:Content-Length"} {
		var p auth.Place
		var ps doc.Problems
		p.DecodeDoc(&doc.Node{Kind: doc.Scalar, Value: text}, &ps)
		if !ps.Failed() {
			t.Errorf("%q is taken for a place: %v", text, p)
		}
	}
}

func TestFindTakesOneCredentialAndNeverOneOfSeveral(t *testing.T) {
	bearer, key := []string{"header:Authorization"}, []string{"header:X-API-Key"}
	several := []string{"header:Authorization", "cookie:session", "query:token"}
	for name, c := range map[string]struct {
		places []string
		target string
		lines  []string
		want   string // a credential, or "absent" or "refused"
	}{
		"bearer":                     {bearer, "/", []string{"Authorization: Bearer abc"}, "abc"},
		"in any case":                {bearer, "/", []string{"Authorization: bEARER   abc"}, "abc"},
		"another scheme":             {bearer, "/", []string{"Authorization: Basic abc"}, "absent"},
		"a scheme that begins alike": {bearer, "/", []string{"Authorization: BearerX abc"}, "absent"},
		"no scheme":                  {bearer, "/", []string{"Authorization: abc"}, "absent"},
		"no credential":              {bearer, "/", []string{"Authorization: Bearer"}, ""},
		"two lines":                  {bearer, "/", []string{"Authorization: Bearer abc", "Authorization: Bearer abc"}, "refused"},
		"two lines, two schemes":     {bearer, "/", []string{"Authorization: Basic abc", "Authorization: Bearer abc"}, "refused"},
		"two in a line":              {bearer, "/", []string{"Authorization: Bearer abc, Bearer def"}, "abc, Bearer def"},
		"a tab":                      {bearer, "/", []string{"Authorization: Bearer\tabc"}, "absent"},
		"another spelling":           {key, "/", []string{"X_Api_Key: abc"}, "absent"},
		"a key":                      {key, "/", []string{"X-Api-Key: abc"}, "abc"},
		"two keys":                   {key, "/", []string{"X-Api-Key: abc", "X-Api-Key: def"}, "refused"},
		"cookie":                     {several, "/", []string{"Cookie: a=1; session=abc"}, "abc"},
		"cookie twice":               {several, "/", []string{"Cookie: session=abc; session=def"}, "refused"},
		"cookie on two lines":        {several, "/", []string{"Cookie: session=abc", "Cookie: session=def"}, "refused"},
		"query":                      {several, "/?a=1&token=a%62c", nil, "abc"},
		"query by another spelling":  {several, "/?%74oken=abc", nil, "abc"},
		"query twice":                {several, "/?token=abc&%74oken=def", nil, "refused"},
		"query that is ambiguous":    {several, "/?a=1;token=abc", nil, "refused"},
		"header and query":           {several, "/?token=abc", []string{"Authorization: Bearer abc"}, "refused"},
		"header and cookie":          {several, "/", []string{"Authorization: Bearer abc", "Cookie: session=abc"}, "refused"},
		"two lines among several":    {several, "/", []string{"Authorization: Basic x", "Authorization: Bearer abc"}, "refused"},
		"nothing":                    {several, "/?tokens=abc", []string{"Cookie: sessions=1", "Authorization: Basic x"}, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			var places []auth.Place
			for _, p := range c.places {
				places = append(places, place(t, p))
			}
			got, err := auth.Find(request(c.target, c.lines...), places)
			refused, isRefused := errors.AsType[*auth.RefusedError](err)
			switch {
			case errors.Is(err, auth.ErrAbsent):
				got = "absent"
			case isRefused && refused.Code == auth.InvalidRequest:
				got = "refused"
			case err != nil:
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}

func TestStripLeavesEverythingElseAsItCame(t *testing.T) {
	places := []auth.Place{place(t, "header:X-API-Key"), place(t, "header:Authorization"), place(t, "cookie:session"), place(t, "query:token")}
	lines := []string{"Authorization: Bearer a", "X-Api-Key: b", "X_Api_Key: c", "x.api.key: d", "X-Api-Keys: e", "Cookie: a=1; session=s;b=2", "Cookie: session=t", "Cookie: c=3"}
	r := request("/p?x=%41&token=a&b;c&%74oken=c&y", lines...)
	auth.Strip(r, places, nil)
	if got := r.Header.Values("Cookie"); !slices.Equal(got, []string{"a=1;b=2", "c=3"}) {
		t.Errorf("cookies are %q", got)
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "X_Api_Key", "x.api.key"} {
		if len(r.Header[name]) > 0 {
			t.Errorf("%s is left", name)
		}
	}
	if r.Header.Get("X-Api-Keys") != "e" {
		t.Error("another field is gone")
	}
	const want = "x=%41&b;c&y"
	if x := exchange.Of(r); x.Query != want || r.URL.RawQuery != want || r.RequestURI != "/p?"+want {
		t.Errorf("the query is %q, %q and %q", x.Query, r.URL.RawQuery, r.RequestURI)
	}

	r = request("/?token=a", lines...)
	auth.Strip(r, places, places[:2])
	if r.Header.Get("Authorization") == "" || r.Header.Get("X-Api-Key") != "b" || r.RequestURI != "/" {
		t.Errorf("what is kept is gone, or the other is not: %v %s", r.Header, r.RequestURI)
	}
	for _, name := range []string{"X_Api_Key", "x.api.key"} {
		if len(r.Header[name]) > 0 {
			t.Errorf("%s goes on unchecked beside the credential that was checked", name)
		}
	}
}

// TestSpellingsOfAPlaceInUnderscoresGoToo holds for names that are no folded ones themselves.
func TestSpellingsOfAPlaceInUnderscoresGoToo(t *testing.T) {
	places := []auth.Place{place(t, "header:X_Api_Key")}
	for name, keep := range map[string][]auth.Place{"taken out": nil, "kept": places} {
		r := request("/", "X_api_key: a", "X-Api-Key: b", "x.api_key: c")
		r.Trailer = http.Header{"X-Api-Key": {"d"}}
		auth.Strip(r, places, keep)
		if len(r.Header) != len(keep) || len(r.Trailer) > 0 {
			t.Errorf("%s: %v and %v are left", name, r.Header, r.Trailer)
		}
	}
}

// TestTrailersCarryNoCredential holds for fields that backends read as of the head.
func TestTrailersCarryNoCredential(t *testing.T) {
	places := []auth.Place{place(t, "header:X-API-Key")}
	for name, keep := range map[string][]auth.Place{"taken out": nil, "kept": places} {
		r := request("/", "X-Api-Key: b")
		r.Trailer = http.Header{"X-Api-Key": {"c"}, "X_api_key": {"d"}, "X-Sum": {"1"}}
		auth.Strip(r, places, keep)
		if len(r.Trailer) != 1 || r.Trailer.Get("X-Sum") != "1" {
			t.Errorf("%s: the trailers are %v", name, r.Trailer)
		}
	}
}

func TestMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const most = 100
	m := auth.NewMemory[auth.Digest, int](most)
	used := auth.Digest{255}
	m.Put(used, 7)
	for i := range 10 * most {
		m.Put(auth.Digest{byte(i), byte(i >> 8), 1}, i)
		if v, ok := m.Get(used); !ok || v != 7 {
			t.Fatalf("what is used was forgotten after %d more", i)
		}
		if m.Len() > most {
			t.Fatalf("it holds %d", m.Len())
		}
	}
	if _, ok := m.Get(auth.Digest{0, 0, 1}); ok {
		t.Error("what nobody used is still there")
	}
	m.Forget(used)
	if _, ok := m.Get(used); ok {
		t.Error("what was forgotten is still there")
	}
}

// FuzzCredentials holds that what is stripped is not found again, and that nothing else is
// lost.
func FuzzCredentials(f *testing.F) {
	f.Add("Bearer abc", "a=1; session=x; b=2", "x=%41&token=a&y")
	f.Add("bearer", "session=\"x;y\"", "%74oken=1&token=2&;")
	f.Add("", ";;=;session", "&&=&token")
	places := []auth.Place{auth.AuthorizationOf("Bearer"), {Kind: auth.InCookie, Name: "session"}, {Kind: auth.InQuery, Name: "token"}}
	f.Fuzz(func(t *testing.T, authorization, cookie, query string) {
		r := request("/", "Authorization: "+authorization, "Cookie: "+cookie, "X-Other: 1")
		exchange.Of(r).Query = query
		one, err := auth.Find(r, places)
		if err == nil && one == "" && !strings.EqualFold(strings.TrimRight(authorization, " "), "bearer") && !strings.Contains(cookie, "session") && !strings.Contains(query, "oken") && !strings.Contains(query, "%") {
			t.Fatalf("something was found in %q, %q, %q", authorization, cookie, query)
		}
		auth.Strip(r, places, nil)
		if _, err := auth.Find(r, places); !errors.Is(err, auth.ErrAbsent) && httpx.CheckQuery(exchange.Of(r).Query) == nil {
			t.Fatalf("%v is left in %v and %q", err, r.Header, exchange.Of(r).Query)
		}
		if r.Header.Get("X-Other") != "1" || len(exchange.Of(r).Query) > len(query) {
			t.Fatalf("%v, %q", r.Header, exchange.Of(r).Query)
		}
		again := exchange.Of(r).Query
		auth.Strip(r, places, nil)
		if exchange.Of(r).Query != again {
			t.Fatalf("%q becomes %q", again, exchange.Of(r).Query)
		}
	})
}
