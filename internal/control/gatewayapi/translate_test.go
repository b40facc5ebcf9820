package gatewayapi

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// testCertificate and testKey are a pair for Secrets, made anew in each run.
var testCertificate, testKey = makePair()

func makePair() (certificate, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.dev"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		panic(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// TestTranslate translates testdata/NAME.in.yaml and compares config and
// statuses with NAME.out.yaml.
func TestTranslate(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			got := printed(t, Translate(readInput(t, input), testOptions()))
			output := strings.TrimSuffix(input, ".in.yaml") + ".out.yaml"
			if *update {
				if err := os.WriteFile(output, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(output)
			if err != nil {
				t.Fatalf("%v; run with -update to make it", err)
			}
			if got != string(want) {
				t.Errorf("%s changed; run with -update and read the difference. Now:\n%s", output, got)
			}
		})
	}
}

func readInput(t testing.TB, file string) *Objects {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	common, err := os.ReadFile("testdata/common.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, slices.Concat(common, []byte("\n---\n"), raw))
}

// TestOrderOfObjectsDoesNotMatter shuffles the objects of every input.
func TestOrderOfObjectsDoesNotMatter(t *testing.T) {
	inputs, _ := filepath.Glob("testdata/*.in.yaml")
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for _, input := range inputs {
		objects := readInput(t, input)
		want := printed(t, Translate(objects, testOptions()))
		for range 20 {
			shuffle(random, objects.Gateways)
			shuffle(random, objects.HTTPRoutes)
			shuffle(random, objects.GRPCRoutes)
			shuffle(random, objects.TLSRoutes)
			shuffle(random, objects.TCPRoutes)
			shuffle(random, objects.UDPRoutes)
			shuffle(random, objects.ReferenceGrants)
			shuffle(random, objects.BackendTLSPolicies)
			shuffle(random, objects.Services)
			if got := printed(t, Translate(objects, testOptions())); got != want {
				t.Fatalf("%s: another order of the objects gives another result:\n%s\ninstead of\n%s", input, got, want)
			}
		}
	}
}

func shuffle[T any](random *mathrand.Rand, list []T) {
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func sortedNames[V any](m map[types.NamespacedName]V) []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(m), func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
}
