package registry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The bounds of what an instance may say of itself. They are documented promises.
const (
	DefaultTTL = 15 * time.Second
	LeastTTL   = 3 * time.Second
	MostTTL    = time.Hour
	// DefaultAfter is after how many TTLs of silence an instance is removed, whatever the reason.
	DefaultAfter = 10
	// MostAfter is the longest time allowed for that.
	MostAfter = 24 * time.Hour

	MostWeight = 1000
	MostTags   = 32
	MostMeta   = 32
	// LongestName bounds the names of services, ids, zones, versions, tags and keys, in bytes.
	LongestName = 128
	// LongestValue bounds a value of Meta, in bytes.
	LongestValue = 512
	// LongestBody bounds the JSON text of an instance, in bytes.
	LongestBody = 16 << 10
)

// Condition is what an instance reports of its own readiness.
type Condition string

// The conditions.
const (
	Ready    Condition = "ready"
	Draining Condition = "draining"  // it is ending, and answers only while there is no other instance
	NotReady Condition = "not-ready" // it is running, and takes no requests
)

// Instance is one running copy of a service. It is immutable once registered.
type Instance struct {
	Service string
	ID      string // unique within its service
	Address netip.AddrPort
	Zone    string
	Version string
	Weight  int // relative; 1 by default, 0 gets no requests
	Tags    []string
	Meta    map[string]string
	// Condition is Ready by default.
	Condition Condition
	// TTL is how long it may be silent. After is how long at most, whatever the reason.
	TTL, After time.Duration
	// Owner is the name of the caller that registered it, as the registry's guard knows that caller.
	Owner string
}

// same reports whether nothing visible has changed.
func (i *Instance) same(o *Instance) bool {
	return i.Address == o.Address && i.Zone == o.Zone && i.Version == o.Version && i.Weight == o.Weight && i.Condition == o.Condition &&
		i.TTL == o.TTL && i.After == o.After && i.Owner == o.Owner && slices.Equal(i.Tags, o.Tags) && maps.Equal(i.Meta, o.Meta)
}

// overhead is what an instance costs in addition to its strings, in bytes.
const overhead = 512

// size is the approximate memory cost of an instance, in bytes.
func (i *Instance) size() int64 {
	n := overhead + len(i.Service) + len(i.ID) + len(i.Zone) + len(i.Version) + len(i.Owner)
	for _, t := range i.Tags {
		n += len(t) + 16
	}
	for k, v := range i.Meta {
		n += len(k) + len(v) + 64
	}
	return int64(n)
}

// InvalidError describes an error in what an instance says of itself.
type InvalidError struct {
	Field string // "" for the whole body
	What  string
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.What
	}
	return e.Field + ": " + e.What
}

func invalid(field, format string, a ...any) error {
	return &InvalidError{field, fmt.Sprintf(format, a...)}
}

// CheckName reports what is wrong with the name of a service or the id of an instance. These names appear in paths, log
// lines and host names.
func CheckName(field, name string) error {
	switch {
	case name == "":
		return invalid(field, "is missing")
	case len(name) > LongestName:
		return invalid(field, "has %d bytes; %d are allowed", len(name), LongestName)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-._:", rune(c))) {
			return invalid(field, "%.140q is no name: letters, digits and, behind the first, - . _ :", name)
		}
	}
	return nil
}

// ParseBody parses the body of a PUT request: the JSON of an instance, for the service and the id that the path names.
// peer is the address to use if the body has none; peer may be invalid. Unknown and duplicate members are errors. The
// error is an *InvalidError.
func ParseBody(service, id string, body []byte, peer netip.Addr) (*Instance, error) {
	i := &Instance{Service: service, ID: id, Weight: 1, Condition: Ready, TTL: DefaultTTL}
	if err := cmp.Or(CheckName("service", service), CheckName("id", id)); err != nil {
		return nil, err
	}
	v, err := jsonx.Parse(body, jsonx.Options{MaxBytes: LongestBody, MaxDepth: 4, Unique: true})
	if err != nil {
		return nil, invalid("", "the body is no JSON: %v", err)
	}
	if v.Kind() != jsonx.Object {
		return nil, invalid("", "the body is no JSON object")
	}
	r := reader{instance: i, peer: peer}
	for name, value := range v.Members() {
		if err := r.field(name, value); err != nil {
			return nil, err
		}
	}
	return i, r.complete()
}

// reader fills an instance.
type reader struct {
	instance *Instance
	peer     netip.Addr
	address  netip.Addr
	port     int64
}

func (r *reader) field(name string, v jsonx.Value) (err error) {
	i := r.instance
	switch name {
	case "address":
		r.address, err = addressOf(v)
	case "port":
		r.port, err = number(name, v, 1, 65535)
	case "zone":
		i.Zone, err = label(name, v)
	case "version":
		i.Version, err = label(name, v)
	case "weight":
		var n int64
		n, err = number(name, v, 0, MostWeight)
		i.Weight = int(n)
	case "tags":
		i.Tags, err = tags(v)
	case "meta":
		i.Meta, err = meta(v)
	case "condition":
		i.Condition = Condition(v.Text())
		if !slices.Contains([]Condition{Ready, Draining, NotReady}, i.Condition) {
			err = invalid(name, "is ready, draining or not-ready")
		}
	case "ttl":
		i.TTL, err = duration(name, v, LeastTTL, MostTTL)
	case "deregister_after":
		i.After, err = duration(name, v, LeastTTL, MostAfter)
	case "service", "id":
		if want := map[string]string{"service": i.Service, "id": i.ID}[name]; v.Text() != want {
			err = invalid(name, "is another one than that of the path, %q", want)
		}
	default:
		err = invalid(name[:min(len(name), LongestName)], "is unknown; there are address, port, zone, version, weight, tags, meta, condition, ttl and deregister_after")
	}
	return err
}

func (r *reader) complete() error {
	i := r.instance
	if r.port == 0 {
		return invalid("port", "is missing")
	}
	if !r.address.IsValid() {
		r.address = r.peer
	}
	if !r.address.IsValid() {
		return invalid("address", "is missing, and the connection has none (it is a Unix socket)")
	}
	i.Address = netip.AddrPortFrom(r.address.Unmap().WithZone(""), uint16(r.port))
	if i.After == 0 {
		i.After = min(DefaultAfter*i.TTL, MostAfter)
	}
	if i.After < i.TTL {
		return invalid("deregister_after", "is less than the ttl, %s", i.TTL)
	}
	return nil
}

func addressOf(v jsonx.Value) (netip.Addr, error) {
	ip, err := netip.ParseAddr(v.Text())
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, invalid("address", "is no IP address; leave it out for that of the connection")
	}
	return ip, nil
}

func number(field string, v jsonx.Value, least, most int64) (int64, error) {
	n, ok := v.Int()
	if !ok || n < least || n > most {
		return 0, invalid(field, "is no number from %d to %d", least, most)
	}
	return n, nil
}

// label reads a text that is shown to people and in metrics.
func label(field string, v jsonx.Value) (string, error) {
	if v.Kind() != jsonx.String {
		return "", invalid(field, "is no text")
	}
	return v.Text(), CheckLabel(field, v.Text())
}

// CheckLabel reports what is wrong with a text that is shown to people and in metrics, such as a zone or a version.
func CheckLabel(field, text string) error { return printable(field, text, LongestName) }

// CheckTags reports what is wrong with the tags of an instance.
func CheckTags(field string, list []string) error {
	if len(list) > MostTags {
		return invalid(field, "are %d; %d are allowed", len(list), MostTags)
	}
	for _, tag := range list {
		if tag == "" || strings.Contains(tag, ",") {
			return invalid(field, "a tag is empty or holds a comma")
		}
		if err := CheckLabel(field, tag); err != nil {
			return err
		}
	}
	return nil
}

func printable(field, text string, longest int) error {
	if len(text) > longest {
		return invalid(field, "has %d bytes; %d are allowed", len(text), longest)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return invalid(field, "holds what cannot be printed")
	}
	return nil
}

func tags(v jsonx.Value) ([]string, error) {
	if v.Kind() != jsonx.List {
		return nil, invalid("tags", "is no list")
	}
	var list []string
	for e := range v.Elements() {
		if e.Kind() != jsonx.String {
			return nil, invalid("tags", "is no list of texts")
		}
		list = append(list, e.Text())
	}
	if err := CheckTags("tags", list); err != nil {
		return nil, err
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func meta(v jsonx.Value) (map[string]string, error) {
	if v.Kind() != jsonx.Object {
		return nil, invalid("meta", "is no object")
	}
	if v.Len() > MostMeta {
		return nil, invalid("meta", "has %d members; %d are allowed", v.Len(), MostMeta)
	}
	m := make(map[string]string, v.Len())
	for name, value := range v.Members() {
		if err := CheckName("meta", name); err != nil {
			return nil, err
		}
		if value.Kind() != jsonx.String {
			return nil, invalid("meta", "%s is no text", name)
		}
		if err := printable("meta", value.Text(), LongestValue); err != nil {
			return nil, err
		}
		m[name] = value.Text()
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, nil
}

// duration reads a text like "15s", or a number of seconds.
func duration(field string, v jsonx.Value, least, most time.Duration) (time.Duration, error) {
	var d time.Duration
	err := errors.New("neither")
	switch v.Kind() {
	case jsonx.String:
		d, err = time.ParseDuration(v.Text())
	case jsonx.Number:
		if n, ok := v.Int(); ok && n >= 0 && n <= int64(most/time.Second) {
			d, err = time.Duration(n)*time.Second, nil
		}
	}
	if err != nil || d < least || d > most {
		return 0, invalid(field, "is no time from %s to %s, such as \"15s\"", least, most)
	}
	return d, nil
}

// Append appends the instance and what the registry knows of it as JSON, in the form that ParseEntry reads.
func (e *Entry) Append(b []byte) []byte {
	i := e.Instance
	text := func(name, value string) {
		if value != "" {
			b = append(b, ',', '"')
			b = append(append(b, name...), '"', ':')
			b = jsonx.AppendString(b, value)
		}
	}
	b = append(b, `{"service":`...)
	b = jsonx.AppendString(b, i.Service)
	text("id", i.ID)
	text("address", i.Address.Addr().String())
	b = strconv.AppendUint(append(b, `,"port":`...), uint64(i.Address.Port()), 10)
	text("zone", i.Zone)
	text("version", i.Version)
	b = strconv.AppendInt(append(b, `,"weight":`...), int64(i.Weight), 10)
	if len(i.Tags) > 0 {
		b = append(b, `,"tags":[`...)
		for n, tag := range i.Tags {
			if n > 0 {
				b = append(b, ',')
			}
			b = jsonx.AppendString(b, tag)
		}
		b = append(b, ']')
	}
	if len(i.Meta) > 0 {
		b = append(b, `,"meta":{`...)
		for n, name := range slices.Sorted(maps.Keys(i.Meta)) {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(jsonx.AppendString(b, name), ':')
			b = jsonx.AppendString(b, i.Meta[name])
		}
		b = append(b, '}')
	}
	text("condition", string(i.Condition))
	text("ttl", i.TTL.String())
	text("deregister_after", i.After.String())
	text("owner", i.Owner)
	text("state", string(e.State))
	if !e.Changed.IsZero() {
		text("changed", e.Changed.UTC().Format(time.RFC3339Nano))
	}
	return append(b, '}')
}

// LongestEntry bounds what Append writes, in bytes: each byte of a body may need six.
const LongestEntry = 8 * LongestBody

// ParseEntry parses what Append has written, in this process or another. It ignores unknown members, because a newer
// registry may write more. The error is an *InvalidError.
func ParseEntry(text []byte) (Entry, error) {
	v, err := jsonx.Parse(text, jsonx.Options{MaxBytes: LongestEntry, MaxDepth: 8, Unique: true})
	if err != nil || v.Kind() != jsonx.Object {
		return Entry{}, invalid("", "it is no JSON object")
	}
	return EntryOf(v)
}

// EntryOf is ParseEntry for JSON that has been parsed already.
func EntryOf(v jsonx.Value) (Entry, error) {
	service, _ := v.Get("service")
	id, _ := v.Get("id")
	i := &Instance{Service: service.Text(), ID: id.Text(), Weight: 1, Condition: Ready, TTL: DefaultTTL}
	if err := cmp.Or(CheckName("service", i.Service), CheckName("id", i.ID)); err != nil {
		return Entry{}, err
	}
	e := Entry{Instance: i, State: Live}
	r := reader{instance: i}
	for name, value := range v.Members() {
		switch name {
		case "address", "port", "zone", "version", "weight", "tags", "meta", "condition", "ttl", "deregister_after":
			if err := r.field(name, value); err != nil {
				return Entry{}, err
			}
		case "owner":
			i.Owner = value.Text()
		case "state":
			e.State = State(value.Text())
		case "changed":
			e.Changed, _ = time.Parse(time.RFC3339Nano, value.Text()) // it is only shown to people
		}
	}
	return e, r.complete()
}
