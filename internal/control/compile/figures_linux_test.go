package compile_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
)

var figures = flag.Bool("figures", false, "measure what it costs to know who is calling")

// guarded are routes that differ from /open in one thing. Tokens of /cold are forgotten before they
// come again.
const guarded = `auth:
  warm: { jwt: 'https://id.example.com/', audience: shop, jwks: keys.json }
  cold: { jwt: 'https://id.example.com/', audience: shop, jwks: keys.json, remember: 32 }
  key: { keys: { acme: 'sha256:58397a472b24b7dc0d193118bfcede3325acb4513fe7efb450652340dd1cd018' } }
routes:
  GET /open: respond:204
  GET /warm: { auth: warm, to: respond:204 }
  GET /cold: { auth: cold, to: respond:204 }
  GET /key: { auth: key, to: respond:204 }
  GET /allow: { allow: "=request.headers['x-tenant'] == ''", to: respond:204 }
  GET /limit: { limit: { rate: 1000000/s, quiet: true }, to: respond:204 }
  GET /limit/client: { limit: { rate: 1000000/s, per: =client.ip, quiet: true }, to: respond:204 }
`

// door is a guarded route as it is asked, and how many allocations more than /open it may
// cost a request. More of them fail the test, wherever it runs; times never do.
type door struct {
	name, path, alg string
	allocations     float64
}

func doors() []door {
	return []door{
		{"jwt RS256, warm", "/warm", "RS256", 0}, {"jwt ES256, warm", "/warm", "ES256", 0}, {"jwt EdDSA, warm", "/warm", "EdDSA", 0},
		{"jwt RS256, cold", "/cold", "RS256", 4}, {"jwt ES256, cold", "/cold", "ES256", 24}, {"jwt EdDSA, cold", "/cold", "EdDSA", 4},
		{"API key", "/key", "", 2}, {"allow", "/allow", "", 1}, {"limit of all", "/limit", "", 0}, {"limit per client.ip", "/limit/client", "", 0},
	}
}

// signers are the keys of algorithms.
var signers = map[string]string{"RS256": "rsa", "ES256": "p256", "EdDSA": "ed"}

// gate asks doors as an engine would, one request after the other.
type gate struct {
	handler http.Handler
	fields  map[string][]http.Header // by algorithm; of each several that differ
}

// manyTokens are more than /cold remembers.
const manyTokens = 64

func newGate(t *testing.T) *gate {
	t.Helper()
	w := newWorld(t).withAuth()
	if err := os.WriteFile(filepath.Join(w.folder, "keys.json"), jwttest.All(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.serve(w.load(guarded))
	g := &gate{w.gateway.Handler(":8080"), map[string][]http.Header{"": {{"X-Api-Key": {"acme-0123456789abcdef"}}}}}
	for alg, key := range signers {
		for n := range manyTokens {
			g.fields[alg] = append(g.fields[alg], http.Header{"Authorization": {"Bearer " + jwttest.Good(key, alg, "jti", 1000+n)}})
		}
	}
	return g
}

// blank is a response that nobody reads.
type blank struct {
	header http.Header
	status int
}

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) WriteHeader(status int)      { b.status = status }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }

// bareSignatures gives a function that checks the signature of the next token of alg, by the
// standard library alone: those that ask sends.
func (g *gate) bareSignatures(t *testing.T, alg string) func() {
	t.Helper()
	public, n := jwttest.Issued()[signers[alg]].Private.Public(), 0
	var list []func()
	for _, fields := range g.fields[alg] {
		list = append(list, bareSignature(t, fields.Get("Authorization")[len("Bearer "):], public))
	}
	return func() {
		n++
		list[n%len(list)]()
	}
}

// ask gives a function that sends a request to path, with the next credential of alg, or with
// one alone where they are to be known.
func (g *gate) ask(t *testing.T, path, alg string) func() {
	t.Helper()
	base, fields, n := httptest.NewRequest(http.MethodGet, path, http.NoBody), g.fields[alg], 0
	if path != "/cold" {
		fields = fields[:1]
	}
	return func() {
		n++
		r, w := *base, blank{header: http.Header{}}
		r.Header = maps.Clone(fields[n%len(fields)]) // the guards take the credential out
		g.handler.ServeHTTP(&w, &r)
		if w.status != http.StatusNoContent {
			t.Fatalf("%s: %d", path, w.status)
		}
	}
}

// TestKnowingWhoIsCallingCostsWhatIsStated gates allocations.
func TestKnowingWhoIsCallingCostsWhatIsStated(t *testing.T) {
	g := newGate(t)
	for _, d := range doors() {
		open := testing.AllocsPerRun(200, g.ask(t, "/open", d.alg))
		if more := testing.AllocsPerRun(200, g.ask(t, d.path, d.alg)) - open; more > d.allocations+instrumented {
			t.Errorf("%s: %.0f allocations more than the open route's %.0f; %.0f are stated", d.name, more, open, d.allocations)
		}
	}
}

// TestFiguresOfAuth prints times of this thread's processor, paired: each figure is the median
// of rounds in which the one and the other take turns. make bench-auth runs it.
//
// A bare signature is measured where a gateway checks it, after a request to the open route: alone, with
// nothing else in the processor's caches, it takes a little less than any program gets it for.
func TestFiguresOfAuth(t *testing.T) {
	if !*figures {
		t.Skip("make bench-auth measures")
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := newGate(t)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer out.Flush()
	fmt.Fprintln(out, "\topen route, us\tguarded: more, us\tbare signature: more, us\tguarded / bare\tbare alone, us\tguarded / alone\tmore allocations\tstated\t")
	for _, d := range doors() {
		measured := []func(){g.ask(t, "/open", d.alg), g.ask(t, d.path, d.alg)}
		if strings.HasSuffix(d.name, "cold") {
			bare := g.bareSignatures(t, d.alg)
			measured = append(measured, func() { measured[0](); bare() }, bare)
		}
		took := inTurns(measured)
		more := func(round []float64) float64 { return round[1] - round[0] }
		bare := "-\t-\t-\t-"
		if len(measured) > 2 { //nolint:mnd // with the bare signature
			inPlace := func(round []float64) float64 { return round[2] - round[0] }
			bare = fmt.Sprintf("%.1f\t%.2f\t%.1f\t%.2f", took.median(inPlace), took.median(func(round []float64) float64 { return more(round) / inPlace(round) }),
				took.median(func(round []float64) float64 { return round[3] }), took.median(func(round []float64) float64 { return more(round) / round[3] }))
		}
		allocations := testing.AllocsPerRun(200, measured[1]) - testing.AllocsPerRun(200, measured[0])
		fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%s\t%.0f\t%.0f\t\n", d.name, took.median(func(round []float64) float64 { return round[0] }), took.median(more), bare, allocations, d.allocations)
	}
}

// rounds are microseconds of several functions that took turns.
type rounds [][]float64

// inTurns measures functions in rounds, for what disturbs a round disturbs all of them.
func inTurns(measured []func()) rounds {
	const most, turns = 300, 20
	var list rounds
	for range most + 1 {
		took := make([]float64, len(measured))
		for i, f := range measured {
			begin := processor()
			for range turns {
				f()
			}
			took[i] = float64(processor()-begin) / turns / 1e3
		}
		list = append(list, took)
	}
	return list[1:] // the first one warms
}

// median is that of what rounds tell.
func (r rounds) median(of func(round []float64) float64) float64 {
	var list []float64
	for _, round := range r {
		list = append(list, of(round))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// processor is the time that this thread has had a processor.
func processor() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// bareSignature checks a token's signature by the standard library alone.
func bareSignature(t *testing.T, token string, public crypto.PublicKey) func() {
	t.Helper()
	input := []byte(token[:strings.LastIndexByte(token, '.')])
	sig, err := base64.RawURLEncoding.DecodeString(token[len(input)+1:])
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		ok := false
		switch digest := sha256.Sum256(input); k := public.(type) {
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
		case *ecdsa.PublicKey:
			ok = ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, input, sig)
		}
		if !ok {
			t.Fatal("the signature is wrong")
		}
	}
}
