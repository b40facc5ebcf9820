package config

import (
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Result is the outcome of Load.
type Result struct {
	// Config is validated and complete, or nil if there is an error.
	Config *Config
	// Problems are all errors and warnings, sorted by file, line and column.
	Problems []doc.Problem
	// Bad holds the paths of the sources that contribute to an error. A reload replaces them with their last good
	// versions and loads again, so that one team's mistake never blocks another team.
	Bad map[string]bool
}

// Load reads sources as one config. A source with a mistake is refused whole; one run reports all mistakes.
func Load(sources []Source, v Vocabulary) *Result {
	l := &loader{v: v, cfg: &Config{Limits: DefaultLimits(), Shutdown: DefaultShutdown(), Admin: Admin{Address: DefaultAdmin}, Telemetry: DefaultTelemetry(), Problems: BriefProblems, Engine: OwnEngine}, bad: map[string]bool{}}
	l.read(sources)
	l.declareGroups()
	l.lowerGlobals()
	for _, s := range l.sections() {
		l.lower(s)
	}
	l.nameTests()
	l.settle()
	checked := newValidator(l.cfg, v)
	checked.known, checked.wayNames, checked.rough = l.names(), l.wayNames(), l.rough
	checked.roughCompositions = l.roughCompositions
	checked.partial, checked.unheard = l.unread, l.unread || l.unheard
	checked.run()
	for _, p := range checked.ps.Sorted() {
		l.ps.Add(p)
	}
	r := &Result{Config: l.cfg, Problems: l.ps.Sorted(), Bad: l.bad}
	for _, p := range r.Problems {
		if p.Severity == doc.Error {
			r.Bad[p.Pos.File] = true
			r.Config = nil
		}
	}
	for file := range checked.involved {
		r.Bad[file] = true
	}
	return r
}

// loader turns files into the canonical form.
type loader struct {
	v      Vocabulary
	ps     doc.Problems
	cfg    *Config
	files  []*file
	unread bool // a source could not be read at all, so names may be missing
	// unheard says that a listener could not be read.
	unheard bool
	// rough are routes that could not be read completely.
	rough             []Route
	roughCompositions []Composition
	bad               map[string]bool
	// defaults holds the defaults of all routes; teams holds the declared groups.
	defaults *level
	apis     []pendingAPI
	teams    map[string]*team
}

// file is one source. The sections of its groups are not lowered yet.
type file struct {
	path string
	node *doc.Node
	// teams are the groups that the file declares.
	teams []*team
	fileForm
}

// fileForm is a file in its written form.
type fileForm struct {
	Version   string         `doc:"version" help:"the version of the config format: 1" example:"1"`
	Group     string         `doc:"group" help:"the group that everything in this file belongs to" example:"shop"`
	Listen    *doc.Node      `doc:"listen" help:"the addresses where requests come in" example:":8080"`
	Admin     *adminForm     `doc:"admin" help:"the API for operators" example:"127.0.0.1:8081"`
	LambdaAPI *lambdaAPIForm `doc:"lambda_api" help:"the API of AWS Lambda, served for the functions of this config" example:"127.0.0.1:9001"`
	Registry  *registryForm  `doc:"registry" help:"where services register themselves" example:"127.0.0.1:9090"`
	Limits    *limitsForm    `doc:"limits" help:"limits for a single client and for all clients together"`
	Shutdown  *shutdownForm  `doc:"shutdown" help:"how the gateway shuts down"`
	Resolver  *resolverForm  `doc:"resolver" help:"how the names of backends are resolved" example:"10.0.0.2"`
	Zone      string         `doc:"zone" help:"the zone of this gateway, whose endpoints are preferred; WEIR_ZONE by default" example:"eu-west-1a"`
	Discovery *doc.Node      `doc:"discovery" help:"how to reach the sources of endpoints" example:"{ etcd: http://10.0.0.5:2379 }"`
	Clouds    *doc.Node      `doc:"clouds" help:"the platforms whose functions are called: accounts, and limits for all functions on a platform together" example:"{ aws: { room: 512MiB } }"`
	Problems  string         `doc:"problems" help:"how much detail about problems clients get: brief, or verbose for development" example:"verbose"`
	Engine    string         `doc:"engine" help:"the HTTP/1.x implementation for clients and services: own (Weir's, the default) or std (net/http)" example:"std"`
	Trust     *trustForm     `doc:"trust" help:"proxies whose forwarding header fields are trusted" example:"10.0.0.0/8"`
	Telemetry *telemetryForm `doc:"telemetry" help:"data for operators: metrics, access log, traces"`
	Defaults  *doc.Node      `doc:"defaults" help:"defaults for every route"`
	Groups    *doc.Node      `doc:"groups" help:"teams: what they own and what they may use"`
	Section   elementsForm   `doc:",inline"`
}

// elementsForm holds the elements that a file or one of its groups may have.
type elementsForm struct {
	Routes       *doc.Node  `doc:"routes" help:"backends, by method, host and path pattern"`
	Services     *doc.Node  `doc:"services" help:"backends made of live endpoints"`
	Functions    *doc.Node  `doc:"functions" help:"backends that are invoked"`
	Compositions *doc.Node  `doc:"compositions" help:"backends made of calls to other backends"`
	Auth         *doc.Node  `doc:"auth" help:"ways to authenticate callers, which routes refer to by name"`
	Streams      *doc.Node  `doc:"streams" help:"TCP, UDP and TLS passthrough"`
	Tests        []testForm `doc:"tests" help:"requests and their expected results"`
}

// section is the part of a file that belongs to one group.
type section struct {
	group string
	own   *level // the defaults of a file that belongs to a group
	elementsForm
}

// sections returns all sections of all files.
func (l *loader) sections() []section {
	var all []section
	for _, f := range l.files {
		s := section{group: f.Group, elementsForm: f.Section}
		if f.Group != "" && f.Defaults != nil {
			s.own = &level{name: "the defaults of this file", node: f.Defaults}
		}
		all = append(all, s)
		for _, t := range f.teams {
			all = append(all, section{group: t.name, elementsForm: t.Section})
		}
	}
	return all
}

// lower turns one section into the canonical form.
func (l *loader) lower(s section) {
	l.each(s.Routes, "routes", s.group, func(e element, group string, ps *doc.Problems) {
		l.route(e, group, l.levels(group, s.own), ps)
	})
	l.each(s.Services, "services", s.group, l.service)
	l.each(s.Functions, "functions", s.group, l.function)
	l.each(s.Compositions, "compositions", s.group, l.composition)
	l.each(s.Auth, "auth", s.group, l.auth)
	l.each(s.Streams, "streams", s.group, l.stream)
	for _, t := range s.Tests {
		l.test(t, s.group)
	}
}

// read parses every source and splits its top level.
func (l *loader) read(sources []Source) {
	for _, s := range sources {
		var own doc.Problems
		if p := s.problem(); p != nil {
			l.unread = true
			l.ps.Add(*p)
			continue
		}
		n := doc.Parse(s.Path, s.Data, &own)
		f := &file{path: s.Path, node: n}
		if n == nil || n.Kind == 0 {
			l.unread = true
			l.ps.Join(&own)
			continue
		}
		doc.Decode(l.withoutReserved(n, &own), &f.fileForm, &own)
		l.ps.Join(&own)
		l.files = append(l.files, f)
	}
}

func (l *loader) withoutReserved(n *doc.Node, ps *doc.Problems) *doc.Node {
	if n.Kind != doc.Map {
		return n
	}
	kept := &doc.Node{Kind: doc.Map, Pos: n.Pos}
	for _, e := range n.Entries {
		if slices.Contains(reserved.file, e.Key) {
			ps.Add(notYet(e.KeyPos, e.Key))
			continue
		}
		kept.Entries = append(kept.Entries, e)
	}
	return kept
}

// names returns the names of all services, functions and compositions that are written anywhere, including broken ones,
// so that one mistake is not reported twice.
func (l *loader) names() map[string]bool {
	names := map[string]bool{}
	for _, s := range l.sections() {
		for _, n := range []*doc.Node{s.Services, s.Functions, s.Compositions} {
			for name := range elements(n) {
				names[name] = true
			}
		}
	}
	for i := range l.roughCompositions { // also those of routes
		names[l.roughCompositions[i].Name] = true
	}
	return names
}

// wayNames does the same for auth.
func (l *loader) wayNames() map[string]bool {
	names := map[string]bool{}
	for _, s := range l.sections() {
		for name := range elements(s.Auth) {
			names[name] = true
		}
	}
	return names
}
