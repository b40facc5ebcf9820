package corpora_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

// disguises are targets that some origin takes for /admin or for a path below it, including plain ones that every
// origin takes for it.
var disguises = []string{
	// plain
	"/admin", "/admin/", "/admin/users", "/admin?x=1", "/admin/?", "/admin/users?next=/public",
	// empty segments
	"//admin", "///admin", "/admin//", "/admin//users", "//admin//", "/public//../admin",
	// dot segments
	"/./admin", "/././admin", "/admin/.", "/admin/./", "/public/../admin", "/public/../../admin", "/../admin", "/../../../admin/users",
	"/admin/../admin", "/public/./../admin", "/a/b/../../admin/", "/admin/users/..", "/..//admin", "/.//admin",
	// encoded letters
	"/%61dmin", "/%61%64%6d%69%6e", "/admi%6E", "/%61dmin/users", "/public/../%61dmin",
	// encoded dots and slashes
	"/%2e/admin", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2E%2E/admin", "/%2fadmin", "/%2Fadmin", "/admin%2f", "/admin%2fusers",
	"/public%2f..%2fadmin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin", "/public%2f%2e%2e%2f%61dmin",
	// backslashes
	"/\\admin", "/admin\\", "/admin\\users", "/public/..\\admin", "/public\\..\\admin", "/%5cadmin", "/admin%5c", "/public/..%5cadmin", "/public/%2e%2e%5cadmin",
	// matrix parameters
	"/admin;", "/admin;x=1", "/admin;x=1/users", "/public/..;/admin", "/public/..;x=1/admin", "/;/admin", "/.;/admin", "/public/%2e%2e;/admin", "/admin%3bx=1",
	// encoded twice
	"/%2561dmin", "/%252e/admin", "/public/%252e%252e/admin", "/public/%252e%252e%252fadmin", "/%252fadmin", "/public/..%255cadmin", "/public%252f..%252fadmin",
	// overlong UTF-8
	"/public/%c0%ae%c0%ae/admin", "/public/..%c0%afadmin", "/public/%e0%80%ae%e0%80%ae/admin", "/%c0%afadmin", "/public/..%c1%9cadmin",
	// bytes that end a string in C, and others
	"/admin%00", "/admin%00.png", "/admin%00/../public", "/admin\x00", "/admin#", "/admin#/public", "/admin\t",
	// absolute form, and neither form
	"http://a/admin", "http://a//admin", "http://a/public/../admin", "http://a/%61dmin", "HTTP://A/admin", "http://a/public/%2e%2e/admin", "http://a/\\admin", "admin", "./admin", "a/../admin",
}

// public are paths that must arrive unchanged.
var public = []string{
	"/",
	"/administrator",
	"/public/admin/a.b/c-d_e~f",
	"/files/a%20b?next=/admin&up=../admin",
	"/caf%C3%A9/%E2%9C%93",
}

func TestNoSpellingOfAPathPassesItsGuard(t *testing.T) {
	rec := startRecorder(t)
	var visits []*visit
	for _, target := range slices.Concat(disguises, public) {
		visits = append(visits, newVisit(http1test.Case{Name: target, Text: "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n", Most: 1}))
	}
	t.Run("send", func(t *testing.T) {
		sendAll(t, gateway(t, "ANY /admin/**: respond:403", "ANY /**: { to: http://"+rec.address+" }"), visits)
	})
	requests, tails := rec.finish()
	var arrived []string
	for _, q := range requests {
		arrived = append(arrived, q.target)
		if form := admits(q.target); form != "" {
			t.Errorf("the origin got %s, which some read as %s", q.target, form)
		}
	}
	for _, end := range tails {
		t.Errorf("the origin got %q: %v", end.raw, end.err)
	}
	for _, target := range public {
		if !slices.Contains(arrived, target) {
			i := slices.IndexFunc(visits, func(v *visit) bool { return v.Name == target })
			t.Errorf("%s did not arrive as it was sent; the answers are %v, and the origin got %q", target, visits[i].statuses, arrived)
		}
	}
	for _, v := range visits[:len(disguises)] {
		if v.hung || len(v.statuses) != 1 {
			t.Errorf("%s: answers %v (hung: %t), want one", v.Name, v.statuses, v.hung)
		}
	}
	t.Logf("%d spellings, %d public paths: the origin got %q", len(disguises), len(public), arrived)
}

// admits returns the form in which target is /admin or below it, for a very lenient origin that decodes it never,
// once or twice. If there is no such form, it returns "".
func admits(target string) string {
	path, _, _ := strings.Cut(target, "?")
	for range 3 {
		if form := fold(path); form == "/admin" || strings.HasPrefix(form, "/admin/") {
			return form
		}
		path = decode(path)
	}
	return ""
}

// fold reduces many spellings to one, as the most lenient origin would do with a path. Letters keep their case.
func fold(path string) string {
	if _, rest, found := strings.Cut(path, "://"); found {
		_, path, _ = strings.Cut(rest, "/")
	}
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "\x00")
	var kept []string
	for segment := range strings.SplitSeq(strings.ReplaceAll(path, "\\", "/"), "/") {
		segment, _, _ = strings.Cut(segment, ";")
		switch segment = strings.Trim(segment, " \t\r\n"); segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// overlong are forms that a UTF-8 decoder takes for ASCII if it does not check their length.
var overlong = strings.NewReplacer(
	"\xc0\xae", ".", "\xc0\xaf", "/", "\xc1\x9c", "\\",
	"\xe0\x80\xae", ".", "\xe0\x80\xaf", "/", "\xe0\x81\x9c", "\\",
)

func decode(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return overlong.Replace(plain)
}

// TestFoldFindsEveryDisguise tests the judge: each disguise would be detected if it arrived unchanged, and no public
// path would.
func TestFoldFindsEveryDisguise(t *testing.T) {
	for _, target := range disguises {
		if admits(target) == "" {
			t.Errorf("%q is not recognised: %s, %s", target, fold(target), fold(decode(target)))
		}
	}
	for _, target := range public {
		if form := admits(target); form != "" {
			t.Errorf("%q is taken for %s", target, form)
		}
	}
}
