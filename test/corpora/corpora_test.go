// Package corpora_test attacks the real binary with published attacks. Each payload is sent on connections of its
// own, in one piece and byte by byte, while bystanders send plain requests at the same time. Behind the gateway is an
// origin that records every byte. When the gateway has ended, each byte of the record must belong to a well-formed
// request, and each request to the client that sent it.
//
// The payloads are in internal/wire/http1/testdata, where the parser alone is tested against them.
package corpora_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
	"github.com/weir-gateway/weir/test/weirtest"
)

const (
	testdata   = "../../internal/wire/http1/testdata"
	concurrent = 32 // visits at a time
)

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

func TestNoPayloadIsReadInTwoWays(t *testing.T) {
	rec := startRecorder(t)
	var visits []*visit
	for _, c := range http1test.Corpus(t, testdata) {
		slow := newVisit(c)
		slow.piece = 1
		visits = append(visits, newVisit(c), slow, newVisit(bystander(c.Name)))
	}
	t.Run("send", func(t *testing.T) { // the gateway ends with this subtest
		sendAll(t, gateway(t, "ANY /**: { to: http://"+rec.address+" }"), visits)
	})
	requests, tails := rec.finish()
	j := judgeAll(visits, requests, tails)
	t.Logf("\n%s", j.table(visits))
	for _, v := range visits {
		if f := j.findings[v]; f.verdict != pass {
			t.Errorf("%s: %s: %s\npayload %q\nanswers %v\n%s", f.verdict, v.Name, f.why, v.Raw(), v.statuses, v.Why)
		}
	}
	for _, problem := range j.strays {
		t.Error(problem)
	}
}

// bystander is a plain request of another client, which must be answered as if there were no attack.
func bystander(beside string) http1test.Case {
	return http1test.Case{Name: "bystander-" + beside, Text: "GET /bystander/" + beside + " HTTP/1.1\r\nHost: a\r\n\r\n", Expect: "safe", Most: 1}
}

// gateway runs weir with the given routes and returns its address.
func gateway(t *testing.T, routes ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	config := "listen: :8080\nroutes:\n  " + strings.Join(routes, "\n  ") + "\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return weirtest.Start(t, file, "--log", "error").Address
}

func sendAll(t *testing.T, address string, visits []*visit) {
	t.Helper()
	places := make(chan struct{}, concurrent)
	var all sync.WaitGroup
	for _, v := range visits {
		places <- struct{}{}
		all.Go(func() {
			v.pay(t, address)
			<-places
		})
	}
	all.Wait()
}

type verdict string

const (
	pass    verdict = "pass"
	lenient verdict = "lenient" // understood in one way, but it should have been refused
	strict  verdict = "strict"  // refused although it is well-formed
	hang    verdict = "hang"    // no answer
	unsafe  verdict = "UNSAFE"
)

type finding struct {
	verdict verdict
	why     string
}

// judgement is the result of each visit, and what belongs to no visit.
type judgement struct {
	findings map[*visit]finding
	strays   []string
}

func judgeAll(visits []*visit, requests []request, tails []tail) *judgement {
	j := &judgement{findings: map[*visit]finding{}}
	owners := make([]*visit, len(requests))
	for _, v := range visits {
		j.findings[v] = v.judge(requests)
		for _, number := range v.seen {
			if number < len(owners) && owners[number] != nil {
				j.findings[v] = finding{unsafe, "it got the answer to " + owners[number].Name}
			} else if number < len(owners) {
				owners[number] = v
			}
		}
	}
	for number, owner := range owners {
		if owner == nil {
			j.strays = append(j.strays, fmt.Sprintf("UNSAFE: nobody sent what the origin got as %+v", requests[number]))
		}
	}
	for _, end := range tails {
		if why := end.judge(visits); why != "" {
			after := "the beginning of the connection"
			if end.before >= 0 && owners[end.before] != nil {
				after = owners[end.before].Name
			}
			j.strays = append(j.strays, fmt.Sprintf("UNSAFE: %s, after %s: %q", why, after, end.raw))
		}
	}
	return j
}

// judge compares what the origin got for this visit with the strict reading of its payload. A smuggled request is in
// no strict reading, so whatever its name, it is found here or among the strays.
func (v *visit) judge(requests []request) finding {
	for i, number := range v.seen {
		if number >= len(requests) || i >= len(v.want) {
			return finding{unsafe, fmt.Sprintf("the origin got %d requests, a strict reading finds %d", len(v.seen), len(v.want))}
		}
		if got, want := requests[number], v.want[i]; !same(got, want) {
			return finding{unsafe, fmt.Sprintf("the origin got %s %s %q, a strict reading finds %s %s %q", got.method, got.target, got.body, want.Method, want.Target, http1test.Bytes(want.Body))}
		}
	}
	refused := len(v.statuses) == 0 || v.statuses[len(v.statuses)-1] >= 400
	switch {
	case len(v.seen) > v.Most:
		return finding{unsafe, fmt.Sprintf("the origin got %d requests, at most %d may be read", len(v.seen), v.Most)}
	case v.hung:
		return finding{hang, "the gateway neither answers nor closes"}
	case v.Expect == "reject" && (len(v.seen) > 0 || !refused):
		return finding{lenient, "it must be refused"}
	case v.Expect != "reject" && len(v.want) > 0 && len(v.seen) == 0 && !v.refusable():
		return finding{strict, "it is well-formed, but the origin got nothing"}
	case v.answers() > len(v.want) && !refused:
		return finding{lenient, "what follows the well-formed requests must be refused"}
	}
	return finding{verdict: pass}
}

// refusable reports whether a gateway may refuse the request: an encoded control character is valid in no path, and
// OPTIONS * is not a request for an origin.
func (v *visit) refusable() bool {
	return v.want[0].Target == "*" || strings.Contains(v.want[0].Target, "%0")
}

// same compares a request at the origin with one of a client. Unreserved characters may have lost their
// percent-encoding.
func same(got request, want http1test.Request) bool {
	target := want.Target
	for c := range strings.SplitSeq(letters+digits+"-._~", "") {
		target = strings.NewReplacer(fmt.Sprintf("%%%02X", c[0]), c, fmt.Sprintf("%%%02x", c[0]), c).Replace(target)
	}
	return got.method == want.Method && got.target == target && got.body == string(http1test.Bytes(want.Body))
}

// judge says what is wrong with the end of a connection. The gateway may give up a request when its client did. What
// the origin got must then be the beginning of a request that a strict reading finds cut off, or broken in its
// content.
func (end tail) judge(visits []*visit) string {
	if !errors.Is(end.err, errShort) {
		return "the origin got malformed bytes: " + end.err.Error()
	}
	line, _, whole := strings.Cut(string(end.raw), " HTTP/1.1\r\n")
	begun := slices.ContainsFunc(visits, func(v *visit) bool { return strings.HasPrefix(string(v.rest), line+" ") })
	if !whole || !begun {
		return "the origin got the beginning of a request that nobody began"
	}
	return ""
}

// table counts the verdicts of each corpus.
func (j *judgement) table(visits []*visit) string {
	counts := map[string]map[verdict]int{}
	for _, v := range visits {
		source, _, _ := strings.Cut(v.Source, "@")
		if source == "" {
			source = "bystanders"
		}
		if counts[source] == nil {
			counts[source] = map[verdict]int{}
		}
		counts[source][j.findings[v].verdict]++
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "\tpass\tlenient\tstrict\thang\tUNSAFE\t")
	for _, source := range slices.Sorted(maps.Keys(counts)) {
		n := counts[source]
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t\n", source, n[pass], n[lenient], n[strict], n[hang], n[unsafe])
	}
	_ = w.Flush() // a write to a strings.Builder cannot fail
	return out.String()
}
