package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// adminForm is `admin`: an address alone, or a map of address and token.
type adminForm struct {
	Address string  `doc:"address" help:"the address to listen on, or off" example:"127.0.0.1:8081"`
	Token   *Secret `doc:"token" help:"the token that every request that changes state must carry" example:"${env:WEIR_ADMIN_TOKEN}"`
	At      doc.Pos `doc:"-,pos"`
}

func (a *adminForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	a.Address, a.At = DefaultAdmin, n.Pos
	if n.Kind == doc.Scalar {
		doc.Decode(n, &a.Address, ps)
	} else {
		doc.Decode(n, (*plainAdmin)(a), ps)
	}
	if a.Address == "" {
		ps.Add(doc.Problem{Pos: a.At, What: "the address of the admin API is empty", Fix: "leave it out for " + DefaultAdmin + ", or write off for none"})
	}
}

// trustForm is `trust`: ranges of addresses.
type trustForm struct {
	Proxies []Prefix `doc:"proxies,oneormany" help:"proxies whose forwarding header fields are trusted" example:"[10.0.0.0/8]"`
}

func (t *trustForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		n = n.Under("proxies")
	}
	doc.Decode(n, (*plainTrust)(t), ps)
}

// prefixes returns the ranges that could be read.
func prefixes(forms []Prefix) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range forms {
		if p.IsValid() {
			list = append(list, p.Prefix)
		}
	}
	return list
}

// limitsForm is `limits`.
type limitsForm struct {
	Head         doc.Size      `doc:"head" help:"size of the request line and header fields of one request" example:"64KiB"`
	Fields       int           `doc:"fields" help:"number of header field lines of one request" example:"100"`
	URL          doc.Size      `doc:"url" help:"size of the request target" example:"16KiB"`
	Body         volume        `doc:"body" help:"size of the request body, or none for no limit" example:"10MB"`
	Connections  int           `doc:"connections" help:"open client connections" example:"20000"`
	PerClient    quota         `doc:"per_client" help:"open connections of one client, or none for no limit; all clients behind the same proxy count as one" example:"200"`
	Requests     int           `doc:"requests" help:"concurrent requests" example:"5000"`
	FirstRequest time.Duration `doc:"first_request" help:"time from accept to the end of the first request's head" example:"10s"`
	HeadTime     time.Duration `doc:"head_time" help:"time from a head's first byte to its end" example:"10s"`
	KeepAlive    time.Duration `doc:"keep_alive" help:"idle time between requests" example:"75s"`
	BodyRate     rate          `doc:"body_rate" help:"content in bytes per second that a client must send or receive while the gateway waits for it, or none for no limit" example:"240B"`
	Memory       doc.Size      `doc:"memory" help:"soft memory limit; taken from the cgroup by default" example:"512MiB"`
}

func formOfLimits(l Limits) limitsForm {
	return limitsForm{
		Head: doc.Size(l.HeadBytes), Fields: l.HeadFields, URL: doc.Size(l.URLBytes), Body: volume(l.BodyBytes),
		Connections: l.Connections, PerClient: quota(l.PerClient), Requests: l.InFlight,
		FirstRequest: l.FirstRequest, HeadTime: l.HeadTime, KeepAlive: l.KeepAlive, BodyRate: rate(l.BodyRate), Memory: doc.Size(l.MemoryBytes),
	}
}

func (f *limitsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*f = formOfLimits(DefaultLimits())
	doc.Decode(n, (*plainLimits)(f), ps)
}

func (f limitsForm) limits() Limits {
	return Limits{
		HeadBytes: int(f.Head), HeadFields: f.Fields, URLBytes: int(f.URL), BodyBytes: int64(f.Body),
		Connections: f.Connections, PerClient: int(f.PerClient), InFlight: f.Requests,
		FirstRequest: f.FirstRequest, HeadTime: f.HeadTime, KeepAlive: f.KeepAlive, BodyRate: int64(f.BodyRate), MemoryBytes: int64(f.Memory),
	}
}

// shutdownForm is `shutdown`.
type shutdownForm struct {
	Delay time.Duration `doc:"delay" help:"time between failing the readiness check and accepting no more connections, so that load balancers notice" example:"5s"`
	Drain time.Duration `doc:"drain" help:"time for requests under way to finish; after that they are cut off" example:"30s"`
	At    doc.Pos       `doc:"-,pos"`
}

func (f *shutdownForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	usual := DefaultShutdown()
	*f = shutdownForm{Delay: usual.Delay, Drain: usual.Drain}
	doc.Decode(n, (*plainShutdown)(f), ps)
	if f.Drain < time.Second {
		ps.Add(doc.Problem{Pos: f.At, What: fmt.Sprintf("requests under way get %s at the end", f.Drain), Why: "they would be cut off", Fix: "make drain 1s or more"})
	}
}

// lowerGlobals lowers the settings that concern every group, from the files that belong to no group.
func (l *loader) lowerGlobals() {
	seen := map[string]doc.Pos{}
	for _, f := range l.files {
		if f.Version != "" && f.Version != "1" {
			l.ps.Add(doc.Problem{Pos: f.node.Get("version").Pos, What: fmt.Sprintf("version %q is not known", f.Version), Why: "this program reads version 1", Fix: "write `version: 1`, or read it with a Weir that knows it"})
		}
		if f.Group != "" {
			if f.Defaults != nil {
				l.checkLevel(level{node: f.Defaults})
			}
			continue
		}
		for _, e := range f.node.Entries {
			l.once(e, seen)
		}
		l.global(f)
		for _, t := range f.teams {
			if t.Defaults != nil {
				l.checkLevel(level{node: t.Defaults})
			}
		}
	}
	l.addAPIs()
}

// once reports a key that may stand in only one file and stands in two.
func (l *loader) once(e doc.Entry, seen map[string]doc.Pos) {
	if !slices.Contains([]string{"listen", "admin", "lambda_api", "registry", "telemetry", "limits", "shutdown", "trust", "resolver", "zone", "discovery", "clouds", "defaults", "problems", "engine"}, e.Key) {
		return
	}
	if first, twice := seen[e.Key]; twice {
		l.ps.Add(doc.Problem{Pos: e.KeyPos, What: fmt.Sprintf("%q is in two files", e.Key), Why: "the first is at " + first.String() + ", and nothing is merged silently", Fix: "keep one of them"})
		l.bad[first.File] = true
		return
	}
	seen[e.Key] = e.KeyPos
}

// problems reads how much clients learn about problems.
func (l *loader) problems(f *file) {
	switch v := Verbosity(f.Problems); v {
	case "":
	case BriefProblems, VerboseProblems:
		l.cfg.Problems = v
	default:
		l.ps.Add(doc.Problem{Pos: f.node.Get("problems").Pos, What: fmt.Sprintf("problems is %q", f.Problems), Why: "it says how much clients are told", Fix: "write brief, or verbose for development"})
	}
}

// engine reads which engine speaks HTTP/1.x.
func (l *loader) engine(f *file) {
	switch v := Engine(f.Engine); v {
	case "":
	case StdEngine, OwnEngine:
		l.cfg.Engine = v
	default:
		l.ps.Add(doc.Problem{Pos: f.node.Get("engine").Pos, What: fmt.Sprintf("engine is %q", f.Engine), Why: "it says what speaks HTTP/1.x with clients and services", Fix: "write std for net/http's, or own for Weir's"})
	}
}

// resolver reads how names are looked up.
func (l *loader) resolver(f *file) {
	if f.Resolver != nil {
		var own doc.Problems
		l.cfg.Resolver = f.Resolver.resolver(&own)
		l.ps.Join(&own)
	}
}

func (l *loader) global(f *file) {
	l.problems(f)
	l.engine(f)
	l.unheard = l.unheard || f.Listen == nil && f.node.Get("listen") != nil // it is null
	if f.Listen != nil {
		var own doc.Problems
		l.listen(f.Listen, &own)
		l.ps.Join(&own)
	}
	if f.Admin != nil {
		l.cfg.Admin = Admin{Address: f.Admin.Address, Token: f.Admin.Token, Origin: Origin{Pos: f.Admin.At}}
	}
	l.lambdaAPI(f)
	l.registry(f)
	l.telemetry(f.Telemetry)
	if f.Limits != nil {
		l.cfg.Limits = f.Limits.limits()
		l.cfg.LimitsOrigin = Origin{Pos: f.node.Get("limits").Pos}
	}
	if f.Shutdown != nil {
		l.cfg.Shutdown = Shutdown{Delay: f.Shutdown.Delay, Drain: f.Shutdown.Drain, Origin: Origin{Pos: f.Shutdown.At}}
	}
	l.resolver(f)
	l.cfg.Zone = cmp.Or(f.Zone, l.cfg.Zone)
	l.discovery(f)
	l.clouds(f)
	if f.Trust != nil {
		l.cfg.TrustedProxies = prefixes(f.Trust.Proxies)
	}
	if f.Defaults != nil {
		l.defaults = &level{name: "defaults", node: f.Defaults}
		l.checkLevel(*l.defaults)
	}
}
