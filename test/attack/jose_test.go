package attack_test

import "github.com/weir-gateway/weir/internal/auth/jwt/jwttest"

// tokens returns the attacks that RFC 8725 warns of and that were found in other libraries: "none" in all spellings,
// public keys as secrets, keys in the token (jwk, jku, x5u, x5c), kids that are paths and queries, duplicate members,
// crit, decompression bombs, other curves, psychic signatures, validity that is over or not begun by one second, and
// everything that is not a single JWT in its one spelling. The list itself is in jwttest; the tests of the jwt
// package use it too.
func tokens(trap string) attacks {
	list := attacks{}
	for class, tokens := range jwttest.Attacks(trap) {
		for name, token := range tokens {
			list[class+": "+name] = get("/admin/x", "Authorization: Bearer "+token)
		}
	}
	return list
}
