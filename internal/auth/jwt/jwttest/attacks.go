package jwttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"time"
)

// Attacks returns, by class and name, tokens that are right in all but one thing: the attacks that RFC 8725 warns of,
// and those found in other libraries. They are for Issuer, the audience "shop" and the keys of All. trap is the
// host:port of a server to which nothing may ever connect.
func Attacks(trap string) map[string]map[string]string {
	return map[string]map[string]string{
		"no signature": unsigned(), "a public key as a secret": confused(), "another algorithm": swapped(),
		"keys in the token": selfSigned(trap), "kid": kids(), "extensions": extensions(), "spelling": misspelt(),
		"ECDSA": psychic(), "claims": wrongClaims(), "bombs": bombs(),
	}
}

func unsigned() map[string]string {
	list := map[string]string{}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "", "null", "NoNe", "HS0", "rs256", "RS256 "} {
		header := Encode(map[string]any{"alg": alg, "kid": "rsa"})
		input := B64(header) + "." + B64(Claims())
		list[alg+" without a signature"] = input + "."
		list[alg+" without the last dot"] = input
		list[alg+" with a signature of nothing"] = input + "." + B64([]byte{0})
		list[alg+" with a right signature"] = Sealed(header, Claims(), By("RS256", Issued()["rsa"].Private))
	}
	for name, header := range map[string]string{"no alg": `{"kid":"rsa"}`, "a number": `{"alg":0}`, "a null": `{"alg":null}`, "a list": `{"alg":["RS256"]}`, "true": `{"alg":true}`} {
		list[name] = Sealed([]byte(header), Claims(), By("RS256", Issued()["rsa"].Private))
	}
	return list
}

// encodings returns all the forms in which a public key is written.
func encodings(kid, alg string, public crypto.PublicKey) map[string][]byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	list := map[string][]byte{
		"DER": der, "PEM": text, "PEM without the last line break": []byte(strings.TrimSpace(string(text))),
		"PEM with CRLF": []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), "base64 of DER": []byte(base64.StdEncoding.EncodeToString(der)),
		"base64url of DER": []byte(B64(der)), "JWK": Encode(JWK(kid, alg, public)), "JWK Set": Set(Signer{kid, alg, Issued()[kid].Private}), "nothing": {}, "a NUL": {0}, "the kid": []byte(kid),
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		pkcs1 := x509.MarshalPKCS1PublicKey(k)
		list["PKCS1"], list["PKCS1 PEM"] = pkcs1, pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})
		list["modulus"], list["modulus in base64url"] = k.N.Bytes(), []byte(B64(k.N.Bytes()))
	case *ecdsa.PublicKey:
		if list["point"], err = k.Bytes(); err != nil {
			panic(err)
		}
		list["compressed point"] = elliptic.MarshalCompressed(k.Curve, k.X, k.Y) //nolint:staticcheck // an attacker's form
	case ed25519.PublicKey:
		list["raw"], list["raw in base64url"] = k, []byte(B64(k))
	}
	return list
}

func confused() map[string]string {
	list := map[string]string{}
	for kid, s := range Issued() {
		for name, secret := range encodings(kid, s.Alg, s.Private.Public()) {
			for alg, h := range Hashes {
				list[alg+" "+kid+" "+name] = Sealed(Encode(map[string]any{"alg": alg, "kid": kid}), Claims(), ByHMAC(secret, h))
			}
			// The header says what the key is for, and the signature is an HMAC.
			list["hidden "+kid+" "+name] = Sealed(Encode(map[string]any{"alg": "RS256", "kid": kid}), Claims(), ByHMAC(secret, sha256.New))
		}
	}
	return list
}

func swapped() map[string]string {
	list := map[string]string{}
	for _, c := range []struct{ kid, says, signs string }{
		{"rsa", "PS256", "RS256"}, {"rsa", "RS256", "PS256"}, {"rsa", "RS512", "RS256"}, {"ps", "RS256", "RS256"}, {"ps", "PS512", "PS512"},
		{"p256", "ES384", "ES384"}, {"p256", "ES256", "ES512"}, {"p384", "ES256", "ES256"}, {"p521", "ES256", "ES256"},
		{"rsa", "EdDSA", "RS256"}, {"ed", "RS256", "EdDSA"}, {"p256", "EdDSA", "ES256"}, {"ed", "ES256", "EdDSA"},
		{"p256", "ES256K", "ES256"}, {"rsa", "RS1", "RS256"}, {"rsa", "RSA-OAEP", "RS256"}, {"rsa", "dir", "RS256"}, {"ed", "Ed448", "EdDSA"},
	} {
		list[fmt.Sprintf("%s says %s, signs %s", c.kid, c.says, c.signs)] = Sealed(Encode(map[string]any{"alg": c.says, "kid": c.kid}), Claims(), By(c.signs, Issued()[c.kid].Private))
	}
	for kid, s := range Issued() {
		for other := range Issued() {
			if other != kid {
				alg := map[string]string{"rsa": "RS256", "ps": "PS256", "p256": "ES256", "p384": "ES384", "p521": "ES512", "ed": "EdDSA"}[kid]
				list[kid+" under the kid of "+other] = Sealed(Encode(map[string]any{"alg": alg, "kid": other}), Claims(), By(alg, s.Private))
			}
		}
	}
	return list
}

// selfSigned returns tokens that bring their own key, or say where it is.
func selfSigned(address string) map[string]string {
	list := map[string]string{}
	for name, private := range Strangers() {
		alg := map[string]string{"rsa": "RS256", "p256": "ES256", "ed": "EdDSA"}[name]
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id.example.com"}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
		if err != nil {
			panic(err)
		}
		cert := base64.StdEncoding.EncodeToString(der)
		sum := sha256.Sum256(der)
		for _, kid := range []string{name, "", "mine"} {
			for what, header := range map[string]map[string]any{
				"jwk": {"jwk": JWK(kid, alg, private.Public())}, "jku": {"jku": "http://" + address + "/keys"}, "jku of https": {"jku": "https://" + address + "/keys"},
				"x5u": {"x5u": "http://" + address + "/cert"}, "x5c": {"x5c": []string{cert}}, "x5t": {"x5t#S256": B64(sum[:]), "x5c": []string{cert}},
				"a URL as kid": {"kid": "http://" + address + "/keys"}, "nothing": {}, "an issuer in the header": {"iss": "http://" + address + "/"},
				"all": {"jwk": JWK(kid, alg, private.Public()), "jku": "http://" + address + "/keys", "x5u": "http://" + address + "/c", "x5c": []string{cert}},
			} {
				h := map[string]any{"alg": alg}
				if kid != "" {
					h["kid"] = kid
				}
				maps.Copy(h, header)
				list[fmt.Sprintf("%s %s kid %q", name, what, kid)] = Sealed(Encode(h), Claims(), By(alg, private))
			}
		}
		list[name+" an issuer to ask"] = Sealed(Encode(map[string]any{"alg": alg}), Claims("iss", "http://"+address+"/"), By(alg, private))
	}
	return list
}

func kids() map[string]string {
	list := map[string]string{}
	empty := ByHMAC(nil, sha256.New)
	for _, kid := range []any{"../../../../dev/null", "/dev/null", "file:///dev/null", "x' UNION SELECT 'key'-- ", "rsa\x00", "RSA", "rsa ", "|id", "$(id)", "${env:HOME}", strings.Repeat("k", 10_000)} {
		list[fmt.Sprintf("%.40q by HMAC", kid)] = Sealed(Encode(map[string]any{"alg": "HS256", "kid": kid}), Claims(), empty)
		list[fmt.Sprintf("%.40q by a right key", kid)] = Sealed(Encode(map[string]any{"alg": "RS256", "kid": kid}), Claims(), By("RS256", Issued()["rsa"].Private))
	}
	for name, kid := range map[string]any{"a number": 1, "a list": []string{"rsa"}, "an object": map[string]any{"kid": "rsa"}, "true": true} {
		list[name] = Sealed(Encode(map[string]any{"alg": "RS256", "kid": kid}), Claims(), By("RS256", Issued()["rsa"].Private))
	}
	list["null"] = Sealed([]byte(`{"alg":"RS256","kid":null}`), Claims(), By("RS256", Issued()["rsa"].Private))
	return list
}

func extensions() map[string]string {
	list := map[string]string{}
	for name, header := range map[string]string{
		"crit of something":      `{"alg":"RS256","kid":"rsa","crit":["http://example.com/ext"],"http://example.com/ext":1}`,
		"crit of a known name":   `{"alg":"RS256","kid":"rsa","crit":["alg"]}`,
		"crit of exp":            `{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}`,
		"crit of nothing":        `{"alg":"RS256","kid":"rsa","crit":[]}`,
		"crit that is a text":    `{"alg":"RS256","kid":"rsa","crit":"exp"}`,
		"crit that is null":      `{"alg":"RS256","kid":"rsa","crit":null}`,
		"b64":                    `{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`,
		"b64 without crit":       `{"alg":"RS256","kid":"rsa","b64":false}`,
		"b64 that is true":       `{"alg":"RS256","kid":"rsa","b64":true}`,
		"zip":                    `{"alg":"RS256","kid":"rsa","zip":"DEF"}`,
		"alg twice":              `{"alg":"none","alg":"RS256","kid":"rsa"}`,
		"alg twice the same":     `{"alg":"RS256","alg":"RS256","kid":"rsa"}`,
		"alg twice, one escaped": `{"alg":"RS256","\u0061lg":"none","kid":"rsa"}`,
		"kid twice":              `{"alg":"RS256","kid":"rsa","kid":"rsa"}`,
		"typ of a logout":        `{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`,
		"typ of a proof":         `{"alg":"RS256","kid":"rsa","typ":"dpop+jwt"}`,
		"typ that is a number":   `{"alg":"RS256","kid":"rsa","typ":1}`,
		"a list":                 `["RS256"]`,
		"a text":                 `"RS256"`,
		"null":                   `null`,
		"no JSON":                `{"alg":"RS256","kid":"rsa"`,
		"more behind it":         `{"alg":"RS256","kid":"rsa"}{}`,
		"single quotes":          `{'alg':'RS256','kid':'rsa'}`,
		"a comment":              `{"alg":"RS256",/**/"kid":"rsa"}`,
		"a comma too much":       `{"alg":"RS256","kid":"rsa",}`,
		"a byte order mark":      "\xef\xbb\xbf" + `{"alg":"RS256","kid":"rsa"}`,
		"no UTF-8":               "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":\"\xff\"}",
	} {
		list[name] = Sealed([]byte(header), Claims(), By("RS256", Issued()["rsa"].Private))
	}
	return list
}

// misspelt returns tokens that a lenient reader would read as the right one.
func misspelt() map[string]string {
	right := Good("rsa", "RS256")
	parts := strings.Split(right, ".")
	list := map[string]string{
		"nothing": "", "dots": "..", "a dot": ".", "four parts": right + ".", "four full parts": right + "." + parts[2], "two parts": parts[0] + "." + parts[1],
		"five parts, as encrypted ones have": right + "." + parts[1] + "." + parts[2],
		"JSON":                               string(Encode(map[string]any{"protected": parts[0], "payload": parts[1], "signature": parts[2]})),
		"JSON of several":                    string(Encode(map[string]any{"payload": parts[1], "signatures": []any{map[string]any{"protected": parts[0], "signature": parts[2]}}})),
		"Bearer twice":                       "Bearer " + right, "quotes": `"` + right + `"`, "two": right + ", " + right, "two with a blank": right + " " + right,
		"a signature of another": parts[0] + "." + parts[1] + "." + strings.Split(Good("rsa", "RS256", "sub", "eve"), ".")[2],
		"claims of another":      parts[0] + "." + B64(Claims("sub", "eve")) + "." + parts[2],
		"a header of another":    B64([]byte(`{"alg":"RS256","kid":"rsa","x":1}`)) + "." + parts[1] + "." + parts[2],
		"a cut signature":        parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-4],
		"a longer signature":     parts[0] + "." + parts[1] + "." + parts[2] + "AAAA",
	}
	for i := range parts {
		for what, change := range map[string]func(string) string{
			"padding":      func(p string) string { return p + "=" },
			"more padding": func(p string) string { return p + "==" },
			"a blank":      func(p string) string { return p[:8] + " " + p[8:] },
			"a line break": func(p string) string { return p[:8] + "\n" + p[8:] },
			"a NUL":        func(p string) string { return p[:8] + "\x00" + p[8:] },
			"a plus":       func(p string) string { return p[:8] + "+" + p[9:] },
			"a percent":    func(p string) string { return p[:8] + "%41" + p[9:] },
			"another last bit": func(p string) string {
				last := strings.IndexByte(alphabet, p[len(p)-1])
				return p[:len(p)-1] + string(alphabet[last^1])
			},
		} {
			changed := append([]string{}, parts...)
			changed[i] = change(parts[i])
			if what == "another last bit" && len(parts[i])%4 == 0 {
				continue // every bit counts there: the signature would just be wrong
			}
			list[fmt.Sprintf("%s in part %d", what, i+1)] = strings.Join(changed, ".")
		}
	}
	return list
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// psychic returns signatures that broken implementations accept for everything, and other encodings of right ones.
func psychic() map[string]string {
	list := map[string]string{}
	for kid, alg := range map[string]string{"p256": "ES256", "p384": "ES384", "p521": "ES512"} {
		private, _ := Issued()[kid].Private.(*ecdsa.PrivateKey) // as Issued has it
		size, n := (private.Params().BitSize+7)/8, private.Params().N
		pair := func(r, s *big.Int) []byte {
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
		zero, one := new(big.Int), big.NewInt(1)
		header := Encode(map[string]any{"alg": alg, "kid": kid})
		right := By(alg, private)
		for name, sign := range map[string]func([]byte) []byte{
			"zeros": func([]byte) []byte { return pair(zero, zero) }, "r is 0": func([]byte) []byte { return pair(zero, one) }, "s is 0": func([]byte) []byte { return pair(one, zero) },
			"ones": func([]byte) []byte { return pair(one, one) }, "the order": func([]byte) []byte { return pair(n, n) }, "the order and 1": func([]byte) []byte { return pair(n, one) },
			"nothing much": func([]byte) []byte { return []byte{0} },
			"a byte more":  func(in []byte) []byte { return append(right(in), 0) },
			"a byte less":  func(in []byte) []byte { return right(in)[1:] },
			"longer halves": func(in []byte) []byte {
				sig := right(in)
				return append(append([]byte{0}, sig[:size]...), append([]byte{0}, sig[size:]...)...)
			},
			"ASN.1": func(in []byte) []byte {
				sig := right(in)
				der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])})
				if err != nil {
					panic(err)
				}
				return der
			},
		} {
			list[alg+" "+name] = Sealed(header, Claims(), sign)
		}
	}
	header := Encode(map[string]any{"alg": "EdDSA", "kid": "ed"})
	for name, size := range map[string]int{"zeros": 64, "short": 63, "long": 65} {
		list["EdDSA "+name] = Sealed(header, Claims(), func([]byte) []byte { return make([]byte, size) })
	}
	for name, size := range map[string]int{"zeros": 256, "one": 1} {
		list["RSA "+name] = Sealed(Encode(map[string]any{"alg": "RS256", "kid": "rsa"}), Claims(), func([]byte) []byte { return make([]byte, size) })
	}
	return list
}

func wrongClaims() map[string]string {
	now := time.Now().Unix()
	list := map[string]string{}
	for name, changes := range map[string][]any{
		"no issuer": {"iss", nil}, "another issuer": {"iss", "https://evil.example.com/"}, "an issuer without its slash": {"iss", strings.TrimSuffix(Issuer, "/")},
		"an issuer that begins alike": {"iss", Issuer + "evil"}, "a list of issuers": {"iss", []string{Issuer}}, "a number for an issuer": {"iss", 1}, "an issuer in another case": {"iss", strings.ToUpper(Issuer)},
		"no audience": {"aud", nil}, "another audience": {"aud", "bank"}, "an empty audience": {"aud", ""}, "no audiences": {"aud", []string{}}, "other audiences": {"aud", []string{"bank", "shopping"}},
		"an audience among numbers": {"aud", []any{"shop", 1}}, "an audience in an object": {"aud", map[string]any{"shop": true}}, "an audience in a list in a list": {"aud", []any{[]string{"shop"}}},
		"an audience in another case": {"aud", "Shop"}, "audiences in one text": {"aud", "bank shop"},
		"no end": {"exp", nil}, "an end long ago": {"exp", now - 3600}, "an end beyond the leeway": {"exp", now - 62}, "an end in a text": {"exp", fmt.Sprint(now + 600)},
		"an end that is true": {"exp", true}, "an end in a list": {"exp", []int64{now + 600}}, "an end at 0": {"exp", 0}, "a negative end": {"exp", -1}, "an end in milliseconds": {"exp", (now + 600) * 1000},
		"an end after the year 9999": {"exp", 253402300800}, "an end beyond all": {"exp", 1e300}, "a fraction long ago": {"exp", float64(now) - 3600.5},
		"a beginning to come": {"nbf", now + 120}, "a beginning in a text": {"nbf", fmt.Sprint(now - 5)}, "a beginning beyond all": {"nbf", 1e300}, "a beginning that is null": {"nbf", []any{}},
		"issued in the future": {"iat", now + 3600}, "issued in a text": {"iat", "now"},
		"no subject": {"sub", nil}, "an empty subject": {"sub", ""}, "a number for a subject": {"sub", 1}, "a list of subjects": {"sub", []string{"ada"}},
	} {
		list[name] = Good("rsa", "RS256", changes...)
	}
	right := By("RS256", Issued()["rsa"].Private)
	header := Encode(map[string]any{"alg": "RS256", "kid": "rsa"})
	body := strings.TrimSuffix(string(Claims()), "}")
	for name, payload := range map[string]string{
		"an end of digits without end": strings.Replace(string(Claims("exp", nil)), "{", `{"exp":`+strings.Repeat("9", 400)+`,`, 1),
		"an end of 1e400":              strings.Replace(string(Claims("exp", nil)), "{", `{"exp":1e400,`, 1),
		"an end of 1e-400":             strings.Replace(string(Claims("exp", nil)), "{", `{"exp":1e-400,`, 1),
		"an end that is null":          strings.Replace(string(Claims("exp", nil)), "{", `{"exp":null,`, 1),
		"a hexadecimal end":            strings.Replace(string(Claims("exp", nil)), "{", `{"exp":0x7fffffff,`, 1),
		"an end that is NaN":           strings.Replace(string(Claims("exp", nil)), "{", `{"exp":NaN,`, 1),
		"two subjects":                 body + `,"sub":"eve"}`, "two subjects, one escaped": body + `,"\u0073ub":"eve"}`, "two ends": body + `,"exp":9999999999}`, "two audiences": body + `,"aud":"shop"}`,
		"two members below": body + `,"realm_access":{"roles":["a"],"roles":["admin"]}}`,
		"a list":            `[` + string(Claims()) + `]`, "a text": `"ada"`, "no JSON": `ada`, "nothing": ` `, "more behind it": string(Claims()) + `{}`, "a NUL behind it": string(Claims()) + "\x00", "no UTF-8": body + ",\"x\":\"\xff\"}",
		"half a surrogate in a name": body + `,"sub\ud800":1` + `,"sub\ud800":2}`,
	} {
		list[name] = Sealed(header, []byte(payload), right)
	}
	return list
}

// bombs returns tokens that are expensive to read for a careless reader.
func bombs() map[string]string {
	right := By("RS256", Issued()["rsa"].Private)
	header := Encode(map[string]any{"alg": "RS256", "kid": "rsa"})
	deep := strings.Replace(string(Claims()), "{", `{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`,`, 1)
	return map[string]string{
		"2 MB of claims":    Sealed(header, Claims("x", strings.Repeat("x", 2<<20)), right),
		"2 MB of dots":      strings.Repeat(".", 2<<20),
		"2 MB of signature": B64(header) + "." + B64(Claims()) + "." + strings.Repeat("A", 2<<20),
		"a bit too long":    Sealed(header, Claims("x", strings.Repeat("x", 13<<10)), right),
		"deep claims":       Sealed(header, []byte(deep), right),
		"a deep header":     Sealed([]byte(`{"alg":"RS256","kid":"rsa","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`), Claims(), right),
		"many members":      Sealed(header, []byte("{"+strings.Repeat(`"a":1,`, 1500)+`"b":1}`), right),
		"PBES2":             Sealed([]byte(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AA"}`), Claims(), right),
	}
}
