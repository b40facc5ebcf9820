package attack_test

import "github.com/weir-gateway/weir/internal/auth/jwt/jwttest"

// tokens are RFC 8725's warnings and what was found in others' libraries: none in its
// spellings, public keys as secrets, keys in the token (jwk, jku, x5u, x5c), kids that are
// paths and queries, members that stand twice, crit, bombs, other curves, psychic signatures,
// ends and beginnings by a second, and all that is not one JWT in one spelling. The list
// itself is jwttest's, which the tests of the package go through, too.
func tokens(trap string) attacks {
	list := attacks{}
	for class, tokens := range jwttest.Attacks(trap) {
		for name, token := range tokens {
			list[class+": "+name] = get("/admin/x", "Authorization: Bearer "+token)
		}
	}
	return list
}
