// Package route finds the route of a request. A Table is an immutable index
// over the matches of all routes of a listener. It yields the candidates of a
// request in one total order, until the conditions of one hold. Where routes
// are written, in a file or among files, never matters.
//
// The order compares, and the first difference decides:
//
//  1. the host: an exact one, then the longest suffix, at the same suffix
//     {tenant}.shop.dev before *.shop.dev, then none;
//  2. the path, segment by segment from the left: a literal, a literal with a
//     parameter in it (the longer literal first), a parameter, the rest; a path
//     that ends here beats the rest;
//  3. the method: HEAD for a HEAD request, a named one, any (a GET rule that
//     answers HEAD comes after one for HEAD itself);
//  4. the number of header conditions, then of query conditions, then of
//     cookies, more before fewer;
//  5. a rule with an expression before one without;
//  6. the rank that the source gives (Kubernetes: age, then name);
//  7. the text of the conditions, then the name: these have no meaning, but
//     make the order deterministic.
//
// For exact and prefix paths this is the order of the Gateway API (HTTPRouteRule,
// matches): of two prefixes of one path, the one with more characters has more
// literal segments. Two matches that no request can tell apart, and that have no
// rank, are a problem of the config.
//
// A lookup costs one step per segment, whatever the number of routes, and
// allocates nothing. Candidates that fail make it continue. The index is a tree
// and a lookup visits no node twice, so no path can make a lookup slower than the
// number of routes that fit the beginning of that path.
package route
