package transform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Cookies says how the cookies of a message are changed. Names are the names as they arrive.
type Cookies struct {
	Remove []string          `doc:"remove,oneormany,omitzero" help:"names of cookies to remove" example:"tracking"`
	Rename map[string]string `doc:"rename,omitzero" help:"names of cookies, with their new names" example:"{sid: session}"`
	Set    config.Fields     `doc:"set,omitzero" help:"names of cookies, with their values; a cookie whose computed value is empty is removed" example:"{user: =auth.sub}"`
}

// ResponseCookies says how the cookies that a backend sets are changed.
type ResponseCookies struct {
	Cookies    `doc:",inline"`
	Attributes map[string]CookieAttributes `doc:"attributes,omitzero" help:"changes to cookie attributes, by cookie name, or * for all others" example:"{\"*\": {secure: true}}"`
}

// CookieAttributes are the attributes to change. A nil or empty field leaves the attribute as it is.
type CookieAttributes struct {
	Path     string        `doc:"path,omitzero" help:"the path of the requests that browsers send it with" example:"/"`
	Domain   string        `doc:"domain,omitzero" help:"the domain that shares the cookie among its hosts, or none for the host alone" example:"none"`
	TTL      time.Duration `doc:"ttl,omitzero" help:"how long browsers keep it" example:"1h"`
	SameSite string        `doc:"same_site,omitzero" help:"lax, strict or none" example:"lax"`
	Secure   *bool         `doc:"secure,omitzero" help:"whether browsers send it over HTTPS only" example:"true"`
	HTTPOnly *bool         `doc:"http_only,omitzero" help:"whether scripts cannot read it" example:"true"`
}

const (
	everyCookie = "*"
	noDomain    = "none"
	// mostTTL is the longest time for which browsers keep a cookie (RFC 6265bis section 5.5).
	mostTTL = 400 * 24 * time.Hour
)

// cookiesOf returns the node of a side's cookies in a transform, or a node without a position if there is none.
func cookiesOf(transform *doc.Node, side string) *doc.Node {
	n := entryOf(entryOf(transform, side).Value, "cookies").Value
	if n == nil {
		return &doc.Node{}
	}
	return n
}

// entryOf returns an entry of a map, or an empty one if n has no such entry or is not a map.
func entryOf(n *doc.Node, key string) doc.Entry {
	if n != nil {
		for _, e := range n.Entries {
			if e.Key == key {
				return e
			}
		}
	}
	return doc.Entry{}
}

// placeOf returns the position of the i-th element of a list; a single element may be written without the list.
func placeOf(n *doc.Node, i int) doc.Pos {
	switch {
	case n == nil:
		return doc.Pos{}
	case i < len(n.Items):
		return n.Items[i].Pos
	default:
		return n.Pos
	}
}

// problems tells what is wrong with the cookies of a message, which are at n; attributes are nil in a request.
func (c *Cookies) problems(n *doc.Node, side string, attributes map[string]CookieAttributes) []doc.Problem {
	var list []doc.Problem
	name := func(name string, pos doc.Pos) {
		if !httpguts.ValidHeaderFieldName(name) { // both are tokens
			list = append(list, doc.Problem{Pos: pos, What: fmt.Sprintf("%q is not the name of a cookie of the %s", name, side), Why: "it is made of letters, digits and !#$%&'*+-.^_`|~"})
		}
	}
	for i, removed := range c.Remove {
		name(removed, placeOf(n.Get("remove"), i))
	}
	for _, from := range slices.Sorted(maps.Keys(c.Rename)) {
		e := entryOf(n.Get("rename"), from)
		name(from, e.KeyPos)
		name(c.Rename[from], placeOf(e.Value, 0))
	}
	for i, f := range c.Set {
		name(f.Name, cmp.Or(entryOf(n.Get("set"), f.Name).KeyPos, f.Pos))
		if f.Expr == nil && f.Secret == nil && !isCookieValue(f.Text) {
			list = append(list, doc.Problem{Pos: f.Pos, What: fmt.Sprintf("no cookie can have the value %q", f.Text), Why: "it ends at a ';'", Fix: "write it in Base64 or with escapes of URLs"})
		}
		if slices.ContainsFunc(c.Set[:i], func(before config.Field) bool { return before.Name == f.Name }) {
			list = append(list, doc.Problem{Pos: f.Pos, What: fmt.Sprintf("the cookie %q has two values", f.Name), Fix: "keep one of them"})
		}
	}
	for _, of := range slices.Sorted(maps.Keys(attributes)) {
		e := entryOf(n.Get("attributes"), of)
		if of != everyCookie {
			name(of, e.KeyPos)
		}
		list = append(list, attributes[of].problems(of, e)...)
	}
	return list
}

// problems tells what is wrong with the attributes of a cookie, which are at e.
func (a CookieAttributes) problems(of string, e doc.Entry) []doc.Problem {
	var list []doc.Problem
	add := func(key, what, why, fix string) {
		pos := e.KeyPos
		if at := entryOf(e.Value, key); at.Value != nil {
			pos = at.Value.Pos
		}
		list = append(list, doc.Problem{Pos: pos, What: "the cookie " + of + ": " + what, Why: why, Fix: fix})
	}
	if a.SameSite != "" && !slices.Contains([]string{"lax", "strict", "none"}, a.SameSite) {
		add("same_site", fmt.Sprintf("same_site is %q", a.SameSite), "", "write lax, strict or none")
	}
	if a.SameSite == "none" && a.Secure != nil && !*a.Secure {
		add("secure", "same_site is none without secure", "browsers refuse it", "remove `secure: false`")
	}
	if a.Path != "" && (!strings.HasPrefix(a.Path, "/") || !isCookieValue(a.Path)) {
		add("path", fmt.Sprintf("%q is no path", a.Path), "", "for example `path: /`")
	}
	if a.Domain != "" && a.Domain != noDomain && !httpguts.ValidHostHeader(a.Domain) || strings.Contains(a.Domain, ";") {
		add("domain", fmt.Sprintf("%q is not a domain", a.Domain), "", "for example `domain: shop.dev`, or none")
	}
	if a.TTL < 0 || a.TTL > mostTTL || a.TTL%time.Second != 0 {
		add("ttl", fmt.Sprintf("the ttl is %s", a.TTL), "browsers count whole seconds, and keep none for longer than 400 days", "for example `ttl: 1h`")
	}
	if a == (CookieAttributes{}) {
		add("", "nothing is said", "", "give it path, domain, ttl, same_site, secure or http_only")
	}
	return list
}

// isCookieValue holds for valid cookie values and attributes: they contain no ';' and no control character.
func isCookieValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == ';' || r == 0x7f })
}

func (c *Cookies) empty() bool { return len(c.Remove)+len(c.Rename)+len(c.Set) == 0 }

// cookies is a Cookies ready to run.
type cookies struct {
	*Cookies

	set        []expr.Field
	attributes map[string]CookieAttributes
}

// cookieSetting is a new value for a cookie, or its removal.
type cookieSetting struct {
	name, value string
	there       bool
	used        bool
}

// settings computes the values of cookies that are set, from the message as it arrived.
func (c *cookies) settings(in *expr.Input) ([]cookieSetting, error) {
	if len(c.set) == 0 {
		return nil, nil
	}
	list := make([]cookieSetting, len(c.set))
	for i := range c.set {
		f := &c.set[i]
		value, there, err := f.Value(in)
		if err == nil && !isCookieValue(value) {
			err = errCookie
		}
		if err != nil {
			return nil, fmt.Errorf("the cookie %s: %w", f.Name, err)
		}
		list[i] = cookieSetting{name: f.Name, value: value, there: there}
	}
	return list, nil
}

// cutCookie returns name and value of a pair, with blanks around the name removed, as many servers read it.
func cutCookie(pair string) (name, value string, valued bool) {
	name, value, valued = strings.Cut(pair, "=")
	return strings.Trim(name, " \t"), value, valued
}

// renamed returns the new name of a cookie, and false if it is removed.
func (c *cookies) renamed(name string) (string, bool) {
	if slices.Contains(c.Remove, name) {
		return "", false
	}
	if to, ok := c.Rename[name]; ok {
		return to, true
	}
	return name, true
}

// change changes the cookies of a request (RFC 6265 section 4.2). A renamed cookie replaces those that already have its
// new name.
func (c *cookies) change(head exchange.Head, settings []cookieSetting) {
	var came, kept []string
	for _, field := range head.Values("Cookie") {
		for pair := range strings.SplitSeq(field, ";") {
			if pair = strings.Trim(pair, " \t"); pair != "" {
				came = append(came, pair)
			}
		}
	}
	taken := map[string]bool{}
	for _, s := range settings {
		taken[s.name] = true
	}
	for _, pair := range came {
		if name, _, _ := cutCookie(pair); c.Rename[name] != "" {
			taken[c.Rename[name]] = true
		}
	}
	for _, pair := range came {
		name, value, valued := cutCookie(pair)
		to, stays := c.renamed(name)
		switch {
		case !stays, to == name && taken[name]:
		case to != name && valued:
			kept = append(kept, to+"="+value)
		default:
			kept = append(kept, pair)
		}
	}
	for _, s := range settings {
		if s.there {
			kept = append(kept, s.name+"="+s.value)
		}
	}
	if len(kept) == 0 {
		head.Del("Cookie")
		return
	}
	head.Set("Cookie", strings.Join(kept, "; "))
}

// changeGiven changes the cookies of a response (RFC 6265 section 4.1). A cookie that is set and was not set by the
// backend gets careful attributes, and Secure if the client came by HTTPS.
func (c *cookies) changeGiven(head exchange.Head, settings []cookieSetting, secure bool) {
	came := slices.Clone(head.Values("Set-Cookie"))
	head.Del("Set-Cookie")
	for _, line := range came {
		pair, attributes, _ := strings.Cut(line, ";")
		name, value, _ := cutCookie(pair)
		to, stays := c.renamed(name)
		if i := slices.IndexFunc(settings, func(s cookieSetting) bool { return s.name == name }); i >= 0 {
			to, value, stays, settings[i].used = name, settings[i].value, settings[i].there, true
		}
		if stays {
			head.Add("Set-Cookie", to+"="+value+c.changed(name, attributes))
		}
	}
	for _, s := range settings {
		if s.used || !s.there {
			continue
		}
		usual := " Path=/; HttpOnly; SameSite=Lax"
		if secure {
			usual += "; Secure"
		}
		head.Add("Set-Cookie", s.name+"="+s.value+c.changed(s.name, usual))
	}
}

// changed returns the new attributes of a cookie, each after a ';'.
func (c *cookies) changed(name, attributes string) string {
	change, ok := c.attributes[name]
	if !ok {
		change = c.attributes[everyCookie]
	}
	var b strings.Builder
	for attribute := range strings.SplitSeq(attributes, ";") {
		if attribute = strings.Trim(attribute, " \t"); attribute != "" && !change.replaces(attribute) {
			b.WriteString("; " + attribute)
		}
	}
	change.write(&b)
	return b.String()
}

// replaces tells whether a changes the attribute.
func (a *CookieAttributes) replaces(attribute string) bool {
	name, _, _ := strings.Cut(attribute, "=")
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case "path":
		return a.Path != ""
	case "domain":
		return a.Domain != ""
	case "max-age", "expires":
		return a.TTL != 0
	case "samesite":
		return a.SameSite != ""
	case "secure":
		return a.Secure != nil
	case "httponly":
		return a.HTTPOnly != nil
	}
	return false
}

func (a *CookieAttributes) write(b *strings.Builder) {
	if a.Path != "" {
		b.WriteString("; Path=" + a.Path)
	}
	if a.Domain != "" && a.Domain != noDomain {
		b.WriteString("; Domain=" + a.Domain)
	}
	if a.TTL != 0 {
		b.WriteString("; Max-Age=" + strconv.FormatInt(int64(a.TTL/time.Second), 10))
	}
	if a.SameSite != "" {
		b.WriteString("; SameSite=" + strings.ToUpper(a.SameSite[:1]) + a.SameSite[1:])
	}
	if a.HTTPOnly != nil && *a.HTTPOnly {
		b.WriteString("; HttpOnly")
	}
	if a.Secure != nil && *a.Secure {
		b.WriteString("; Secure")
	}
}
