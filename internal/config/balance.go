package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Balance says how a service chooses among its endpoints.
type Balance struct {
	By    string // "peak-ewma", "least-requests", "round-robin", "random", "hash"
	Key   *Expr  // with "hash": the key of an endpoint; requests without a key are balanced
	Bound int    // with "hash": percent of its share that an endpoint may have in flight; 0: no bound
	// Cookie keeps a client at its endpoint; nil: no cookie.
	Cookie *Cookie
	// AnyZone switches off the preference for endpoints in the gateway's own zone.
	AnyZone   bool
	SlowStart time.Duration // from a new endpoint's first request to its full share; 0: full share at once
}

// Cookie is the cookie by which Weir recognises a client's endpoint.
type Cookie struct {
	Name     string        // "": derived from the service's name
	TTL      time.Duration // 0: for the browser's session
	Path     string
	SameSite string  // "lax", "strict", "none"
	Insecure bool    // it is also sent over plain HTTP
	Secret   *Secret // keys the digest that names an endpoint; nil: a digest without a key
}

// Budget bounds further tries, because more requests do not help a backend that cannot keep up.
type Budget struct {
	Share int // percent of a service's requests; NoBudget: no bound
	Least int // tries a second that are always allowed
}

// NoBudget is a share without bound (`none` in a file).
const NoBudget = -1

// Breaker bounds the requests to a service.
type Breaker struct {
	Failures int           // percent of failed requests at which no more are sent for a while; 0: never
	Window   time.Duration // period over which they are counted
	Least    int           // requests in the window needed before the breaker can open
	Pause    time.Duration // until one request tries again; each failed try doubles it

	Requests    int // most at once; 0: any number
	PerEndpoint int // the same for a single endpoint
	Pending     int // how many wait at that limit; the others are refused
	Wait        time.Duration
}

// Opens reports whether failed requests can open the breaker. b may be nil.
func (b *Breaker) Opens() bool { return b != nil && b.Failures > 0 }

// balanceForm is `balance`: the method alone, or a map.
type balanceForm struct {
	By        string      `doc:"by" help:"peak-ewma, least-requests, round-robin, random or hash; hash by default if the key hash is set" example:"least-requests"`
	Hash      *Expr       `doc:"hash" help:"requests for which this has the same value go to the same endpoint" example:"=path.user"`
	Bound     *excessForm `doc:"bound" help:"with hash: the most requests that an endpoint may have in flight relative to its share, or none" example:"150%"`
	Cookie    *cookieForm `doc:"cookie" help:"a cookie that keeps clients at their endpoint: true, its name, or a map" example:"true"`
	Zone      string      `doc:"zone" help:"prefer (the default, endpoints in the gateway's own zone first) or any" example:"any"`
	SlowStart *warmForm   `doc:"slow_start" help:"time until a new endpoint gets its full share, or none" example:"30s"`
}

const (
	byHash     = "hash"
	preferZone = "prefer"
	anyZone    = "any"
)

func (b *balanceForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		doc.Decode(n, &b.By, ps)
	} else {
		doc.Decode(n, (*plainBalance)(b), ps)
	}
	b.check(n, ps)
}

// The upper bounds of a balance.
const (
	mostSlowStart = time.Hour
	mostCookie    = 400 * 24 * time.Hour // browsers keep cookies no longer (RFC 6265bis section 5.5)
)

func (b *balanceForm) check(n *doc.Node, ps *doc.Problems) {
	add := func(key, what, why, fix string) {
		ps.Add(doc.Problem{Pos: place(n, key), What: what, Why: why, Fix: fix})
	}
	if b.Zone != "" && b.Zone != preferZone && b.Zone != anyZone {
		add("zone", fmt.Sprintf("%q is not a rule for zones", b.Zone), "the rules are prefer and any", suggest(b.Zone, []string{preferZone, anyZone}, "name the gateway's own zone at the top level with `zone:`"))
	}
	hash := n.Get(byHash)
	switch {
	case b.By != "" && !slices.Contains(balances(), b.By):
		add("by", fmt.Sprintf("%q is not a balance", b.By), "valid values are "+strings.Join(balances(), ", "), suggest(b.By, balances(), ""))
	case b.By == byHash && hash == nil:
		add("by", "a balance by the hash of nothing", "", "write `balance: { hash: =path.user }`, or what else leads to the same endpoint")
	case b.By != "" && b.By != byHash && hash != nil:
		add("by", fmt.Sprintf("a balance by %s and by a hash", b.By), "", "remove `by`, or the hash")
	case hash == nil && b.Bound != nil:
		add("bound", "a bound for a hash, and there is none", "", "remove `bound`; how many requests an endpoint gets is bounded by `breaker: { per_endpoint: 50 }`")
	case hash != nil && b.Cookie != nil:
		add("cookie", "clients are led to their endpoint by a hash and by a cookie", "one of them is for nothing", "keep one of them")
	}
	if b.SlowStart != nil {
		span[time.Duration]{time.Millisecond, mostSlowStart}.hold(n, "slow_start", time.Duration(*b.SlowStart), "a new endpoint has its full share after that", ps)
	}
}

func (b *balanceForm) balance() *Balance {
	made := DefaultBalance()
	if b == nil {
		return made
	}
	made.Key, made.Cookie, made.AnyZone = b.Hash, b.Cookie.cookie(), b.Zone == anyZone
	switch {
	case b.By != "":
		made.By = b.By
	case b.Hash != nil:
		made.By = byHash
	}
	if made.By == byHash {
		made.Bound = DefaultBound
	}
	if b.Bound != nil {
		made.Bound = int(*b.Bound)
	}
	if b.SlowStart != nil {
		made.SlowStart = time.Duration(*b.SlowStart)
	}
	return made
}

// warmForm is a duration, or none, which is 0.
type warmForm time.Duration

func (w *warmForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*w = warmForm(orNone(n, time.Duration(0), doc.Problem{
		What: "a slow start of zero", Why: "a new endpoint has its full share at once", Fix: "write a time such as 30s, or none",
	}, ps))
}

// excessForm is a percentage of a share, or none, which is 0.
type excessForm int

const mostExcess = 1000

func (e *excessForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		return
	}
	digits, ok := strings.CutSuffix(n.Value, "%")
	value, err := strconv.Atoi(digits)
	if n.Kind != doc.Scalar || !ok || err != nil || value <= 100 || value > mostExcess {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not a bound of a hash", n.Value), Why: "it says how much of its share an endpoint may have in flight, and some endpoint must be allowed more than 100%", Fix: fmt.Sprintf("write more than 100%%, up to %d%%, as `bound: 150%%`, or none", mostExcess)})
		return
	}
	*e = excessForm(value)
}

// cookieForm is `cookie`: true, a name, or a map.
type cookieForm struct {
	Name     string        `doc:"name" help:"the cookie's name; by default derived from the service's name" example:"__Host-shop"`
	TTL      time.Duration `doc:"ttl" help:"how long browsers keep the cookie; by default until their session ends" example:"1h"`
	Path     string        `doc:"path" help:"the path of the requests that browsers send it with" example:"/"`
	SameSite string        `doc:"same_site" help:"lax, strict or none" example:"strict"`
	Secure   bool          `doc:"secure" help:"whether browsers send it over HTTPS only" example:"false"`
	Secret   *Secret       `doc:"secret" help:"the secret that keys the digest of the endpoint's name in the cookie" example:"${env:COOKIE_SECRET}"`
}

func (c *cookieForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*c = cookieForm{Path: "/", SameSite: "lax", Secure: true}
	switch {
	case n.Kind == doc.Scalar && n.Value == "true" && !n.Quoted:
	case n.Kind == doc.Scalar && n.Value == "false" && !n.Quoted:
		ps.Add(doc.Problem{Pos: n.Pos, What: "there is no cookie to switch off", Why: "a client stays with its endpoint only if the config asks for that", Fix: "leave it out"})
	case n.Kind == doc.Scalar:
		doc.Decode(n, &c.Name, ps)
	default:
		doc.Decode(n, (*plainCookie)(c), ps)
	}
	c.check(n, ps)
}

func (c *cookieForm) check(n *doc.Node, ps *doc.Problems) {
	add := func(key, what, why, fix string) {
		if at := place(n, key); !ps.Has(at) {
			ps.Add(doc.Problem{Pos: at, What: what, Why: why, Fix: fix})
		}
	}
	if c.Name != "" && !httpguts.ValidHeaderFieldName(c.Name) { // cookie names and field names are both tokens
		add("name", fmt.Sprintf("%q is not the name of a cookie", c.Name), "it is made of letters, digits and !#$%&'*+-.^_`|~", "for example `cookie: shop-endpoint`")
	}
	if !slices.Contains([]string{"lax", "strict", "none"}, c.SameSite) {
		add("same_site", fmt.Sprintf("same_site is %q", c.SameSite), "", "write lax, strict or none")
	}
	if c.SameSite == "none" && !c.Secure {
		add("secure", "a cookie for every site that is sent in the clear", "browsers refuse it", "remove `secure: false`")
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, ";\r\n") {
		add("path", fmt.Sprintf("%q is not a path of a cookie", c.Path), "", "write /, or a prefix of all paths of the service")
	}
	for _, prefix := range []string{"__Host-", "__Secure-"} {
		if strings.HasPrefix(c.Name, prefix) && (!c.Secure || prefix == "__Host-" && c.Path != "/") {
			add("name", fmt.Sprintf("browsers refuse the cookie %q with these settings", c.Name), prefix+" stands for secure, and __Host- for the path /", "remove the prefix, or `secure` and `path`")
		}
	}
	span[time.Duration]{time.Second, mostCookie}.hold(n, "ttl", c.TTL, "browsers count it in seconds, and keep no cookie for longer than 400 days", ps)
	if c.TTL%time.Second != 0 {
		add("ttl", fmt.Sprintf("ttl is %s", spell(c.TTL)), "browsers count it in whole seconds", fmt.Sprintf("write `ttl: %s`", spell(c.TTL.Round(time.Second))))
	}
}

func (c *cookieForm) cookie() *Cookie {
	if c == nil {
		return nil
	}
	return &Cookie{Name: c.Name, TTL: c.TTL, Path: c.Path, SameSite: c.SameSite, Insecure: !c.Secure, Secret: c.Secret}
}

// budgetForm is `budget` of a service's `retry`: the share alone, or a map.
type budgetForm struct {
	Share shareOrNone `doc:"share" help:"retries as a share of a service's requests, or none for no limit" example:"20%"`
	Least int         `doc:"least" help:"retries per second that are always allowed" example:"10"`
}

func (b *budgetForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	usual := DefaultBudget()
	*b = budgetForm{Share: shareOrNone(usual.Share), Least: usual.Least}
	if n.Kind == doc.Scalar {
		b.Share.DecodeDoc(n, ps)
		return
	}
	doc.Decode(n, (*plainBudget)(b), ps)
	span[int]{0, mostRequests}.hold(n, "least", b.Least, "so many tries a second are always allowed", ps)
}

func (b *budgetForm) budget() *Budget {
	if b == nil {
		return nil
	}
	return &Budget{Share: int(b.Share), Least: b.Least}
}

// shareOrNone is a whole percentage, or none, which is NoBudget.
type shareOrNone int

func (s *shareOrNone) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if isNone(n) {
		*s = NoBudget
		return
	}
	var share percentForm
	share.DecodeDoc(n, ps)
	*s = shareOrNone(share)
}

// breakerForm is `breaker`: the share of failures alone, or a map.
type breakerForm struct {
	Failures    *percentForm  `doc:"failures" help:"the share of failed requests at which the breaker opens" example:"50%"`
	Window      time.Duration `doc:"window" help:"the period over which requests are counted" example:"10s"`
	Least       int           `doc:"least" help:"requests in the window that are needed before the breaker can open" example:"20"`
	Pause       time.Duration `doc:"pause" help:"time until a single request tries the service again; each failed try doubles it, up to a minute" example:"5s"`
	Requests    quota         `doc:"requests" help:"concurrent requests, or none for no limit" example:"200"`
	PerEndpoint quota         `doc:"per_endpoint" help:"concurrent requests to one endpoint, or none for no limit" example:"50"`
	Pending     int           `doc:"pending" help:"how many requests may wait when one of these limits is reached" example:"100"`
	Wait        time.Duration `doc:"wait" help:"how long a request may wait" example:"1s"`
}

// The bounds of a breaker.
const (
	leastWindow  = time.Second
	mostWindow   = time.Hour
	leastPause   = 100 * time.Millisecond
	mostPause    = time.Minute
	mostWait     = time.Minute
	mostRequests = 1_000_000
)

func (b *breakerForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	usual := DefaultBreaker()
	*b = breakerForm{Window: usual.Window, Least: usual.Least, Pause: usual.Pause, Pending: usual.Pending, Wait: usual.Wait}
	switch {
	case isNone(n):
		return
	case n.Kind == doc.Scalar:
		b.Failures = new(percentForm)
		b.Failures.DecodeDoc(n, ps)
	default:
		doc.Decode(n, (*plainBreaker)(b), ps)
	}
	b.check(n, ps)
}

func (b *breakerForm) check(n *doc.Node, ps *doc.Problems) {
	switch {
	case n.Kind == doc.Map && n.Get("failures") == nil && n.Get("requests") == nil && n.Get("per_endpoint") == nil:
		ps.Add(doc.Problem{Pos: n.Pos, What: "the breaker never breaks", Why: "it has neither a share of failures nor a bound", Fix: "add `failures: 50%`, `requests: 200` or `per_endpoint: 50`, or remove it"})
	case b.Failures != nil && *b.Failures == 0 && !ps.Has(place(n, "failures")):
		ps.Add(doc.Problem{Pos: place(n, "failures"), What: "the breaker opens at 0% of failures", Why: "no request would pass", Fix: "write a share such as 50%"})
	}
	times := func(key string, value, least, most time.Duration, why string) {
		span[time.Duration]{least, most}.hold(n, key, value, why, ps)
	}
	numbers := func(key string, value, least int, why string) {
		span[int]{least, mostRequests}.hold(n, key, value, why, ps)
	}
	times("window", b.Window, leastWindow, mostWindow, "failures are counted in it")
	times("pause", b.Pause, leastPause, mostPause, "one request tries after it")
	times("wait", b.Wait, 0, mostWait, "requests wait for room for so long")
	numbers("least", b.Least, 1, "fewer requests are not judged")
	numbers("pending", b.Pending, 0, "so many may wait for room")
	numbers("requests", int(b.Requests), 1, "so many are asked at once")
	numbers("per_endpoint", int(b.PerEndpoint), 1, "so many are asked at once")
}

func (b *breakerForm) breaker() *Breaker {
	if b == nil {
		return nil
	}
	made := &Breaker{
		Window: b.Window, Least: b.Least, Pause: b.Pause, Requests: int(b.Requests), PerEndpoint: int(b.PerEndpoint), Pending: b.Pending, Wait: b.Wait,
	}
	if b.Failures != nil {
		made.Failures = int(*b.Failures)
	}
	if made.Failures == 0 && made.Requests == 0 && made.PerEndpoint == 0 {
		return nil // the breaker limits nothing
	}
	return made
}

// balanceNode returns the long form of a service's balance.
func balanceNode(b *Balance) *doc.Node {
	if b == nil {
		return nil
	}
	usual := DefaultBalance()
	f := newFields()
	f.text("by", b.By, builtInIf(b.By == usual.By))
	f.expr("hash", b.Key)
	if b.By == byHash {
		f.put("bound", percentOrNone(b.Bound, 0), builtInIf(b.Bound == DefaultBound))
	}
	if c := b.Cookie; c != nil {
		own := newFields()
		own.text("name", c.Name, "")
		if c.TTL != 0 {
			own.put("ttl", doc.EncodeNode(c.TTL), "")
		}
		own.text("path", c.Path, "")
		own.text("same_site", c.SameSite, "")
		own.put("secure", doc.EncodeNode(!c.Insecure), "")
		if c.Secret != nil {
			own.put("secret", c.Secret.EncodeDoc(), "")
		}
		f.put("cookie", &own.Node, "")
	}
	zone := preferZone
	if b.AnyZone {
		zone = anyZone
	}
	f.text("zone", zone, builtInIf(!b.AnyZone))
	slow := durationNode(b.SlowStart)
	if b.SlowStart == 0 {
		slow = doc.EncodeNode(none)
	}
	f.put("slow_start", slow, builtInIf(b.SlowStart == usual.SlowStart))
	return &f.Node
}

// percentOrNone writes a percentage, or none if value is unbound.
func percentOrNone(value, unbound int) *doc.Node {
	if value == unbound {
		return doc.EncodeNode(none)
	}
	return &doc.Node{Kind: doc.Scalar, Value: strconv.Itoa(value) + "%"}
}

func budgetNode(b *Budget) *doc.Node {
	if b == nil {
		return nil
	}
	f := newFields()
	f.put("share", percentOrNone(b.Share, NoBudget), "")
	f.put("least", doc.EncodeNode(b.Least), "")
	return &f.Node
}

func breakerNode(b *Breaker) *doc.Node {
	if b == nil {
		return nil
	}
	f := newFields()
	if b.Failures != 0 {
		f.put("failures", percentOrNone(b.Failures, 0), "")
		f.put("window", durationNode(b.Window), "")
		f.put("least", doc.EncodeNode(b.Least), "")
		f.put("pause", durationNode(b.Pause), "")
	}
	for _, q := range []struct {
		key   string
		value int
	}{{"requests", b.Requests}, {"per_endpoint", b.PerEndpoint}} {
		if q.value != 0 {
			f.put(q.key, doc.EncodeNode(q.value), "")
		}
	}
	if b.Requests != 0 || b.PerEndpoint != 0 {
		f.put("pending", doc.EncodeNode(b.Pending), "")
		f.put("wait", durationNode(b.Wait), "")
	}
	return &f.Node
}
