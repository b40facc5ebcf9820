package jwt

import (
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

func TestWeakRSAKeysAreRefused(t *testing.T) {
	good, ok := newRSA(2048).Public().(*rsa.PublicKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	large := int64(1)<<32 + 1 // 1 where an int has 32 bits
	for name, c := range map[string]struct {
		key  rsa.PublicKey
		want string
	}{
		"a good one":         {*good, ""},
		"an exponent of 3":   {rsa.PublicKey{N: good.N, E: 3}, ""},
		"an exponent of 1":   {rsa.PublicKey{N: good.N, E: 1}, "exponent"},
		"an even exponent":   {rsa.PublicKey{N: good.N, E: 65536}, "exponent"},
		"a negative one":     {rsa.PublicKey{N: good.N, E: -3}, "exponent"},
		"one of 33 bits":     {rsa.PublicKey{N: good.N, E: int(large)}, "exponent"},
		"an even modulus":    {rsa.PublicKey{N: even, E: 65537}, "even"},
		"a short one":        {rsa.PublicKey{N: new(big.Int).Rsh(good.N, 1024), E: 65537}, "bits"},
		"a long one":         {rsa.PublicKey{N: new(big.Int).Lsh(good.N, 7000), E: 65537}, "bits"},
		"one of the library": {rsa.PublicKey{N: roca(t), E: 65537}, "CVE-2017-15361"},
	} {
		_, err := fits(&c.key)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 200 {
		n, err := rand.Int(rand.Reader, even)
		if err != nil {
			t.Fatal(err)
		}
		if isROCA(n) {
			t.Errorf("%x is taken for one of the library", n)
		}
	}
}

// roca is a modulus as that library makes them: of factors k*M + (65537^a mod M), M being the
// product of the first primes. That they are prime is of no matter to the fingerprint.
func roca(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for p := int64(2); p <= 701; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	factor := func() *big.Int {
		a, err := rand.Int(rand.Reader, m)
		if err != nil {
			t.Fatal(err)
		}
		a.Exp(big.NewInt(65537), a, m)
		k := new(big.Int).Lsh(big.NewInt(1), uint(1024-m.BitLen()))
		return a.Add(a, k.Mul(k, m))
	}
	n := new(big.Int).Mul(factor(), factor())
	if n.BitLen() < 2040 {
		t.Fatalf("%d bits", n.BitLen())
	}
	return n
}
