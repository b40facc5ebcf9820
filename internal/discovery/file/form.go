package file

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// entry is an element of a list of endpoints: an address, an endpoint with further fields, or a group of targets as in
// Prometheus' file_sd.
type entry struct {
	Address string `doc:"address" help:"host:port, or unix:/path" example:"10.0.0.1:8080"`
	details `doc:",inline"`

	Targets []string          `doc:"targets,oneormany" help:"addresses, host:port, that share the labels" example:"[10.0.0.1:8080]"`
	Labels  map[string]string `doc:"labels" help:"properties of the targets: weight, zone, node, id and state are used, others are ignored"`
}

// details are the further fields of an endpoint. Programs write these files, and labels of Prometheus: in both, an
// empty value means unknown.
type details struct {
	Weight int    `doc:"weight" help:"its weight, relative to the other endpoints; 1 by default, 0 gets no requests" example:"2"`
	Zone   string `doc:"zone,empty" help:"the zone that it is in" example:"eu-1a"`
	Node   string `doc:"node,empty" help:"the machine that it runs on" example:"rack-7"`
	ID     string `doc:"id,empty" help:"an id that distinguishes successive instances at the same address" example:"7c1e"`
	State  string `doc:"state,empty" help:"ready, draining or not_ready; ready by default" example:"draining"`
}

// condition reads a state.
func (d details) condition() (discovery.Condition, error) {
	switch d.State {
	case "", "ready":
		return discovery.Ready, nil
	case "draining":
		return discovery.Draining, nil
	case "not_ready":
		return discovery.NotReady, nil
	}
	return discovery.NotReady, fmt.Errorf("%q is no state", d.State)
}

// parse reads a file, or, if it is a map, the list with the name part.
func parse(file, part string, data []byte) ([]discovery.Endpoint, error) {
	if len(bytes.TrimSpace(data)) == 0 { // for example while an editor writes it
		return nil, fmt.Errorf("%s is empty; write [] where there are no endpoints", file)
	}
	if filepath.Ext(file) == ".json" { // where a tab is as good as a space
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	var ps doc.Problems
	n := doc.Parse(file, data, &ps)
	if n != nil {
		n = partOf(n, part, &ps)
	}
	var list []discovery.Endpoint
	if n != nil {
		for _, item := range n.Items {
			list = append(list, read(item, &ps)...)
		}
	}
	if ps.Failed() {
		return nil, problems(ps.Sorted())
	}
	return discovery.Distinct(list), nil
}

// partOf finds the wanted list, nil if there is none. A missing name is an empty list: the file's author knows of no
// such endpoints.
func partOf(n *doc.Node, part string, ps *doc.Problems) *doc.Node {
	switch {
	case part == "" && n.Kind == doc.Map:
		ps.Add(doc.Problem{Pos: n.Pos, What: "this is a map", Why: "a file of endpoints is a list of them, or a map of such lists by name", Fix: "name the one that is meant, as in file:" + filepath.Base(n.Pos.File) + "#users"})
	case part != "" && n.Kind == doc.List:
		ps.Add(doc.Problem{Pos: n.Pos, What: "this is a list", Why: fmt.Sprintf("the service asks for the part %q of a map", part), Fix: "write `" + part + ":` above it, or leave #" + part + " out"})
	case part != "" && n.Kind == doc.Map:
		if n = n.Get(part); n == nil || n.Kind == doc.List {
			return n
		}
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is %s", part, n.Kind), Fix: "write a list of endpoints"})
	case n.Kind != doc.List:
		ps.Add(doc.Problem{Pos: n.Pos, What: "this is " + n.Kind.String(), Fix: "write a list of endpoints"})
	}
	return n
}

// read reads one element of a list.
func read(n *doc.Node, ps *doc.Problems) []discovery.Endpoint {
	e := entry{details: details{Weight: 1}}
	var own doc.Problems
	if n.Kind == doc.Scalar {
		doc.Decode(n, &e.Address, &own)
	} else {
		doc.Decode(n, &e, &own)
	}
	switch isGroup := n.Get("targets") != nil || n.Get("labels") != nil; {
	case own.Failed():
	case e.Address != "" && isGroup:
		own.Add(doc.Problem{Pos: n.Pos, What: "this is an address and targets at once", Fix: "write them as two elements"})
	case e.Address == "" && !isGroup:
		own.Add(doc.Problem{Pos: n.Pos, What: "this endpoint has no address", Fix: "write it as in `address: 10.0.0.1:8080`"})
	case isGroup:
		e.labels(n, &own)
	default:
		e.Targets = []string{e.Address}
	}
	list := e.endpoints(n, &own)
	ps.Join(&own)
	return list
}

// labels takes over those of a group's labels that have a meaning.
func (e *entry) labels(n *doc.Node, ps *doc.Problems) {
	said := &doc.Node{Kind: doc.Map, Pos: n.Pos}
	if labels := n.Get("labels"); labels != nil {
		for _, label := range labels.Entries {
			switch label.Key {
			case "weight", "zone", "node", "id", "state":
				value := *label.Value
				value.Quoted = false // labels are always strings there
				said.Entries = append(said.Entries, doc.Entry{Key: label.Key, KeyPos: label.KeyPos, Value: &value})
			}
		}
	}
	doc.Decode(said, &e.details, ps)
}

// endpoints checks what was read, and makes endpoints of it.
func (e *entry) endpoints(n *doc.Node, ps *doc.Problems) []discovery.Endpoint {
	if ps.Failed() {
		return nil
	}
	condition, err := e.condition()
	if err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error(), Fix: "write ready, draining or not_ready"})
	}
	made := discovery.Endpoint{ID: e.ID, Weight: e.Weight, Zone: e.Zone, Node: e.Node, Condition: condition}
	if told, ok := errors.AsType[*discovery.ToldError](made.Check()); ok {
		ps.Add(doc.Problem{Pos: e.place(n, told.Field), What: told.Error()})
	}
	var list []discovery.Endpoint
	for _, address := range e.Targets {
		if err := check(address); err != nil {
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the address %q is not understood", address), Why: err.Error()})
		}
		made.Address = address
		list = append(list, made)
	}
	return list
}

// place returns the position of a field of an element.
func (e *entry) place(n *doc.Node, field string) doc.Pos {
	for _, in := range []*doc.Node{n, n.Get("labels")} {
		if in != nil && in.Get(field) != nil {
			return in.Get(field).Pos
		}
	}
	return n.Pos
}

func check(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if discovery.CheckText(path) != nil {
			return errors.New("it holds what cannot be printed")
		}
		return config.CheckUnixPath(path)
	}
	_, _, err := discovery.SplitAddress(address)
	return err
}

// problems returns the error of an invalid file: the first problem, and how many more there are.
func problems(list []doc.Problem) error {
	list = slices.DeleteFunc(list, func(p doc.Problem) bool { return p.Severity != doc.Error })
	if more := len(list) - 1; more > 0 {
		return fmt.Errorf("%s (and %d more)", list[0], more)
	}
	return errors.New(list[0].String())
}
