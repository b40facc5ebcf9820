package aws

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Settings are what a config says about AWS under `clouds`: for everything that is called there, and for the account
// that is used when none is named.
type Settings struct {
	Room     doc.Size            `doc:"room" help:"bytes of payloads that all functions together may hold in memory at once, and the same again for requests that are signed" example:"512MiB"`
	Accounts map[string]*Account `doc:"accounts,omitzero" help:"further accounts, by the names that functions use for them" example:"{ shop: { id: \"123456789012\", role: arn:aws:iam::123456789012:role/gateway } }"`
	Account  Account             `doc:",inline"`
}

// Account is an AWS account: how it is called, and how much of it is used.
type Account struct {
	ID          string        `doc:"id,omitzero" help:"the account's number; a function with this number in its ARN or role uses the account automatically" example:"123456789012"`
	Role        *Role         `doc:"role" help:"the role to assume, in addition to the credentials that are found; plain text is the role's ARN" example:"arn:aws:iam::123456789012:role/gateway"`
	Profile     string        `doc:"profile,omitzero" help:"the profile in AWS's shared config whose credentials are used" example:"production"`
	Regions     []Region      `doc:"regions,oneormany,omitzero" help:"regions of functions that do not set their own, in the order in which they are tried" example:"[eu-west-1, eu-central-1]"`
	Endpoint    Endpoint      `doc:"endpoint,omitzero" help:"the address of the Lambda API, instead of AWS's own address in the region" example:"https://vpce-1a2b.lambda.{region}.vpce.amazonaws.com"`
	Concurrency Concurrency   `doc:"concurrency,omitzero" help:"concurrent function calls in each region, as one number or a map by region; 1000 by default" example:"{ eu-west-1: 3000 }"`
	Queue       int           `doc:"queue" help:"calls that may wait for a running one to end, in each region" example:"1000"`
	Wait        time.Duration `doc:"wait" help:"how long a call may wait" example:"5s"`
}

// Concurrency is how many calls may be under way at once in each region.
type Concurrency struct {
	All int            // 0: the default
	In  map[Region]int // for those that differ
}

// The defaults, and the limits of sensible values.
const (
	// DefaultConcurrency is AWS's own limit for a region of a new account, unless AWS has changed it.
	DefaultConcurrency = 1000
	DefaultQueue       = 1000
	DefaultWait        = 5 * time.Second
	// MostConcurrency is far above what AWS allows.
	MostConcurrency = 100_000
	mostQueue       = 1_000_000
	mostWait        = 5 * time.Minute
	DefaultRoom     = 256 * doc.MiB
	// leastRoom holds the largest payload while it is converted.
	leastRoom   = 16 * doc.MiB
	mostRoom    = 64 << 10 * doc.MiB
	mostRegions = 8
)

// Kind is the element `aws` of `clouds`.
func Kind() config.Kind {
	return config.Kind{Name: "aws", Summary: "Amazon Web Services", New: func() any { s := DefaultSettings(); return &s }}
}

// DefaultSettings returns the settings of a config that says nothing.
func DefaultSettings() Settings { return Settings{Room: DefaultRoom, Account: defaultAccount()} }

func defaultAccount() Account { return Account{Queue: DefaultQueue, Wait: DefaultWait} }

// SettingsOf finds the settings among those of all platforms (config.Clouded).
func SettingsOf(of func(kind string) any) *Settings {
	if s, ok := of(Kind().Name).(*Settings); ok {
		return s
	}
	s := DefaultSettings()
	return &s
}

// Find returns an account: by its name, or else by its number, or else the account that is used when none is named.
// Both may be "".
func (s *Settings) Find(name, id string) (*Account, error) {
	if name != "" {
		if a := s.Accounts[name]; a != nil {
			return a, nil
		}
		known := slices.Sorted(maps.Keys(s.Accounts))
		if near, ok := doc.Suggest(name, known); ok {
			return nil, fmt.Errorf("account: there is none named %q under clouds.aws.accounts; did you mean %s?", name, near)
		}
		return nil, fmt.Errorf("account: there is none named %q; declare it under clouds.aws.accounts", name)
	}
	if id != "" {
		for _, a := range s.Accounts {
			if a.ID == id {
				return a, nil
			}
		}
		if s.Account.ID != "" && s.Account.ID != id { // its role and regions belong to another account
			other := defaultAccount()
			other.ID = id
			return &other, nil
		}
	}
	return &s.Account, nil
}

// Pool returns the bounds of calls in a region.
func (a *Account) Pool(region string) cloud.PoolBounds {
	most := cmp.Or(a.Concurrency.In[Region(region)], a.Concurrency.All, DefaultConcurrency)
	return cloud.PoolBounds{Max: most, Size: a.Queue, Wait: a.Wait}
}

// DecodeDoc reads the settings and checks them.
func (s *Settings) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Settings
	doc.Decode(n, (*long)(s), ps)
	if at := n.Get("room"); at != nil && (s.Room < leastRoom || s.Room > mostRoom) {
		ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("room: %v is not from %v to %v", s.Room, leastRoom, mostRoom), Why: "the largest payload takes up to 16MiB while it is turned into an event", Fix: "for example 256MiB"})
	}
	s.Account.check(n, ps)
	owners := map[string]string{}
	if s.Account.ID != "" {
		owners[s.Account.ID] = "clouds.aws itself"
	}
	for _, name := range slices.Sorted(maps.Keys(s.Accounts)) {
		a := s.Accounts[name]
		at := n.Get("accounts").Get(name)
		if a == nil {
			ps.Add(doc.Problem{Pos: n.Get("accounts").Pos, What: fmt.Sprintf("the account %q says nothing", name), Fix: "for example `id: \"123456789012\"`"})
			delete(s.Accounts, name)
			continue
		}
		if owner := owners[a.ID]; a.ID != "" && owner != "" {
			ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("the accounts %q and %s have the same number", name, owner), Why: "AWS counts their calls together", Fix: "keep one of them"})
		}
		owners[a.ID] = strconv.Quote(name)
	}
}

// DecodeDoc reads an account.
func (a *Account) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*a = defaultAccount()
	type long Account
	doc.Decode(n, (*long)(a), ps)
	a.check(n, ps)
}

// check checks an account that stands at n.
func (a *Account) check(n *doc.Node, ps *doc.Problems) {
	wrong := func(key, fix, format string, args ...any) {
		if at := n.Get(key); at != nil {
			ps.Add(doc.Problem{Pos: at.Pos, What: key + ": " + fmt.Sprintf(format, args...), Fix: fix})
		}
	}
	if a.ID != "" && !accountForm.MatchString(a.ID) {
		wrong("id", `for example "123456789012"`, "%q is no account; accounts have twelve digits", a.ID)
	}
	if a.Role != nil && a.ID != "" && CheckRole(a.Role.ARN) == nil && a.Role.Account() != a.ID {
		wrong("role", "", "it is one of the account %s, but the account is %s", a.Role.Account(), a.ID)
	}
	if len(a.Regions) > mostRegions || len(a.Regions) != len(slices.Compact(slices.Sorted(slices.Values(a.Regions)))) {
		wrong("regions", "", "they are more than %d, or one of them stands there twice", mostRegions)
	}
	if len(a.Regions) > 1 && !a.Endpoint.Everywhere() {
		wrong("endpoint", "", "with several regions it must hold %s, or each of them would be the same", regionPlace)
	}
	if a.Queue < 0 || a.Queue > mostQueue {
		wrong("queue", "", "%d is not from 0 to %d", a.Queue, mostQueue)
	}
	if a.Wait <= 0 || a.Wait > mostWait {
		wrong("wait", "", "%v is not from more than nothing to %v", a.Wait, mostWait)
	}
}

// DecodeDoc reads a number, or a map with one for each region.
func (c *Concurrency) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*c = Concurrency{}
	numbers := map[*doc.Node]int{}
	if n.Kind == doc.Map {
		c.In = map[Region]int{}
		for _, e := range n.Entries {
			if err := CheckRegion(e.Key); err != nil {
				ps.Add(doc.Problem{Pos: e.KeyPos, What: "concurrency: " + err.Error()})
			}
			var most int
			doc.Decode(e.Value, &most, ps)
			c.In[Region(e.Key)], numbers[e.Value] = most, most
		}
	} else {
		doc.Decode(n, &c.All, ps)
		numbers[n] = c.All
	}
	for at, most := range numbers {
		if most < 1 || most > MostConcurrency {
			ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("concurrency: %d is not from 1 to %d", most, MostConcurrency), Fix: "AWS's own for a new account is 1000"})
		}
	}
}

// EncodeDoc writes it in the form in which it is read.
func (c Concurrency) EncodeDoc() *doc.Node {
	if len(c.In) == 0 {
		return doc.EncodeNode(c.All)
	}
	return doc.EncodeNode(c.In)
}

// DocSchema implements doc.SchemaWriter.
func (Concurrency) DocSchema() *doc.Schema {
	number := &doc.Schema{Type: doc.Types{"integer"}, Description: "calls at once"}
	return &doc.Schema{AnyOf: []*doc.Schema{number, {Type: doc.Types{"object"}, AdditionalProperties: number}}}
}

// DocSchema implements doc.SchemaWriter.
func (Settings) DocSchema() *doc.Schema {
	type long Settings
	return doc.SchemaOf(reflect.TypeFor[long]())
}

// DocSchema implements doc.SchemaWriter.
func (Account) DocSchema() *doc.Schema {
	type long Account
	return doc.SchemaOf(reflect.TypeFor[long]())
}
