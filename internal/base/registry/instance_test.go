package registry

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var peer = netip.MustParseAddr("192.0.2.7")

func TestWhatAnInstanceSaysOfItself(t *testing.T) {
	got, err := ParseBody("users", "a-1", []byte(`{
		"address": "10.0.0.9", "port": 9000, "zone": "eu-1a", "version": "1.2", "weight": 3, "tags": ["b", "a", "b"],
		"meta": {"team": "shop"}, "condition": "draining", "ttl": "30s", "deregister_after": 120, "service": "users", "id": "a-1"}`), peer)
	want := &Instance{
		Service: "users", ID: "a-1", Address: netip.MustParseAddrPort("10.0.0.9:9000"), Zone: "eu-1a", Version: "1.2", Weight: 3,
		Tags: []string{"a", "b"}, Meta: map[string]string{"team": "shop"}, Condition: Draining, TTL: 30 * time.Second, After: 2 * time.Minute,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = ParseBody("users", "a-1", []byte(`{"port":80}`), netip.MustParseAddr("::ffff:192.0.2.7"))
	want = &Instance{Service: "users", ID: "a-1", Address: netip.MustParseAddrPort("192.0.2.7:80"), Weight: 1, Condition: Ready, TTL: DefaultTTL, After: 10 * DefaultTTL}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for body, want := range map[string]string{
		``:                                     "no JSON",
		`[]`:                                   "no JSON object",
		`{}`:                                   "port: is missing",
		`{"port":80,"port":81}`:                "no JSON",
		`{"port":"80"}`:                        "port: is no number from 1 to 65535",
		`{"port":80.5}`:                        "port: is no number",
		`{"port":0}`:                           "port: is no number",
		`{"port":65536}`:                       "port: is no number",
		`{"port":80,"prot":1}`:                 "prot: is unknown",
		`{"port":80,"address":"users.shop"}`:   "address: is no IP address",
		`{"port":80,"address":"fe80::1%eth0"}`: "address: is no IP address",
		`{"port":80,"weight":1001}`:            "weight: is no number from 0 to 1000",
		`{"port":80,"weight":-1}`:              "weight: is no number",
		`{"port":80,"zone":"a\nb"}`:            "zone: holds what cannot be printed",
		`{"port":80,"zone":7}`:                 "zone: is no text",
		`{"port":80,"tags":"a"}`:               "tags: is no list",
		`{"port":80,"tags":["a,b"]}`:           "holds a comma",
		`{"port":80,"meta":{"a b":"c"}}`:       "is no name",
		`{"port":80,"meta":{"a":1}}`:           "a is no text",
		`{"port":80,"condition":"up"}`:         "condition: is ready, draining or not-ready",
		`{"port":80,"ttl":"1s"}`:               "ttl: is no time from 3s to 1h0m0s",
		`{"port":80,"ttl":9999999999}`:         "ttl: is no time",
		`{"port":80,"ttl":"soon"}`:             "ttl: is no time",
		`{"port":80,"ttl":"30s","deregister_after":"10s"}`:                                     "deregister_after: is less than the ttl, 30s",
		`{"port":80,"id":"other"}`:                                                             "id: is another one than that of the path",
		`{"port":80,"tags":[` + strings.Repeat(`"a",`, MostTags) + `"a"]}`:                     "tags: are 33; 32 are allowed",
		`{"port":80,"zone":"` + strings.Repeat("a", LongestName+1) + `"}`:                      "zone: has 129 bytes",
		`{"port":80,"meta":{"a":"` + strings.Repeat("a", LongestValue+1) + `"}}`:               "meta: has 513 bytes",
		`{"port":80,"version":"` + strings.Repeat(" ", LongestBody) + `"}`:                     "no JSON",
		`{"port":80,"` + strings.Repeat("x", 1000) + `":` + `"` + `"}`:                         "is unknown",
		`{"port":80,"meta":` + strings.Repeat("[", 100) + `1` + strings.Repeat("]", 100) + `}`: "no JSON",
	} {
		_, err := ParseBody("users", "a-1", []byte(body), peer)
		if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.80s: %v, not %s", body, err, want)
		}
	}
	for _, name := range []string{"", "-a", ".", "..", "a/b", "a b", "ä", strings.Repeat("a", LongestName+1), "a\x00b"} {
		if _, err := ParseBody(name, "a", []byte(`{"port":80}`), peer); err == nil {
			t.Errorf("%q is taken for the name of a service", name)
		}
		if _, err := ParseBody("a", name, []byte(`{"port":80}`), peer); err == nil {
			t.Errorf("%q is taken for an id", name)
		}
	}
	if _, err := ParseBody("users", "a", []byte(`{"port":80}`), netip.Addr{}); err == nil || !strings.Contains(err.Error(), "Unix socket") {
		t.Error(err)
	}
}

// FuzzParseBody holds that what is taken is within its bounds, and is the same when it was
// written and read again.
func FuzzParseBody(f *testing.F) {
	f.Add([]byte(`{"port":80}`))
	f.Add([]byte(`{"address":"10.0.0.9","port":9000,"zone":"\u00e4","version":"1.2","weight":0,"tags":["b","a"],"meta":{"team":"<shop>"},"condition":"draining","ttl":30,"deregister_after":"2m"}`))
	f.Add([]byte(`{"address":"2001:db8::1","port":1,"tags":[],"meta":{},"ttl":"1h"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		i, err := ParseBody("users", "a-1", body, peer)
		if err != nil {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		if i.TTL < LeastTTL || i.TTL > MostTTL || i.After < i.TTL || i.After > MostAfter || i.Weight < 0 || i.Weight > MostWeight || len(i.Tags) > MostTags ||
			len(i.Meta) > MostMeta || !i.Address.IsValid() || i.Address.Port() == 0 {
			t.Fatalf("%+v is taken", i)
		}
		e := Entry{Instance: i, State: Suspect, Changed: time.Unix(1, 2).UTC()}
		text := e.Append(nil)
		if len(text) > LongestEntry {
			t.Fatalf("it is written in %d bytes", len(text))
		}
		again, err := ParseEntry(text)
		if err != nil || !again.same(i) || again.State != Suspect || !again.Changed.Equal(e.Changed) || again.Service != "users" || again.ID != "a-1" {
			t.Fatalf("%s is read as %+v, %v", text, again.Instance, err)
		}
	})
}

// FuzzParseEntry holds that nothing that a registry elsewhere may send breaks the reader, and
// that what is read is written so that it is read as the same.
func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"service":"users","id":"a","address":"10.0.0.9","port":9000,"weight":1,"condition":"ready","ttl":"15s","deregister_after":"2m30s","state":"live","changed":"2026-11-28T12:00:00Z"}`))
	f.Add([]byte(`{"service":"users","id":"a","address":"10.0.0.9","port":9000,"new":[1,{"x":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEntry(text)
		if err != nil {
			return
		}
		if again, err := ParseEntry(e.Append(nil)); err != nil || !again.same(e.Instance) || !bytes.Equal(again.Append(nil), e.Append(nil)) {
			t.Fatalf("%s\n%s\n%v", text, e.Append(nil), err)
		}
	})
}
