package attack_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
)

// misplaced are valid credentials in a place where none is looked for, or in a form in which two readers would find
// different ones.
func misplaced() attacks {
	token := jwttest.Good("p256", "ES256")
	list := attacks{
		"a query":                      request("GET /admin/x?access_token=" + token),
		"a query, otherwise":           request("GET /admin/x?token=" + token + "&Authorization=Bearer+" + token),
		"a key in a query":             request("GET /partners/x?x-api-key=" + acmeKey + "&api_key=" + acmeKey + "&key=" + acmeKey),
		"a body":                       []byte("POST /admin/x HTTP/1.1\r\nHost: shop.dev\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\naccess_token=%s", len("access_token=")+len(token), token)),
		"a trailer":                    []byte("POST /admin/x HTTP/1.1\r\nHost: shop.dev\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\nConnection: close\r\n\r\n0\r\nAuthorization: Bearer " + token + "\r\n\r\n"),
		"two lines":                    request("GET /admin/x", "Authorization: Bearer "+token, "Authorization: Bearer "+token),
		"a wrong one and a right one":  request("GET /admin/x", "Authorization: Basic YTpi", "Authorization: Bearer "+token),
		"a right one and a wrong one":  request("GET /admin/x", "Authorization: Bearer "+token, "authorization: Bearer x"),
		"a right one and an empty one": request("GET /admin/x", "Authorization: Bearer "+token, "Authorization:"),
		"a right one and a folded one": request("GET /admin/x", "Authorization: Bearer x", " "+token),
		"two keys":                     request("GET /partners/x", "X-API-Key: "+acmeKey, "x-api-key: other"),
		"two keys in a line":           get("/partners/x", "X-API-Key: "+acmeKey+", "+acmeKey),
		"a blank before the colon":     get("/admin/x", "Authorization : Bearer "+token),
		"a tab after the scheme":       get("/admin/x", "Authorization: Bearer\t"+token),
		"no scheme":                    get("/admin/x", "Authorization: "+token),
		"another scheme":               get("/admin/x", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("bearer:"+token))),
		"a token as a key":             get("/partners/x", "X-API-Key: "+token),
		"a key as a token":             get("/admin/x", "Authorization: Bearer "+acmeKey),
		"a key as a scheme":            get("/partners/x", "Authorization: ApiKey "+acmeKey),
		"a key with a blank in it":     get("/partners/x", "X-API-Key: "+acmeKey[:5]+" "+acmeKey[5:]),
		"a key without its end":        get("/partners/x", "X-API-Key: "+acmeKey[:len(acmeKey)-1]),
		"an empty key":                 get("/partners/x", "X-API-Key:"),
		"the digest of a key":          get("/partners/x", "X-API-Key: sha256:58397a472b24b7dc0d193118bfcede3325acb4513fe7efb450652340dd1cd018"),
	}
	for _, field := range []string{"Proxy-Authorization", "X-Authorization", "X-Forwarded-Authorization", "Authorization_", "AUTHORIZATION-", "X-Access-Token", "Sec-WebSocket-Protocol", "Cookie: Authorization=x; token"} {
		list["in "+field] = get("/admin/x", field+": Bearer "+token)
	}
	for _, field := range []string{"X_API_Key", "X-Api_Key", "x.api.key", "X-API--Key", "XAPIKey", "Api-Key", "Cookie: X-API-Key=x; x-api-key"} {
		list["in "+field] = get("/partners/x", field+": "+acmeKey)
	}
	// A field that Connection names belongs to this connection only (RFC 9110 section 7.6.1). That does not turn
	// anything else into a credential.
	for _, name := range []string{"Authorization", "authorization, close", "X-User"} {
		list["no token, and Connection: "+name] = request("GET /admin/x", "Connection: "+name, "X-User: ada")
	}
	return list
}

// identityFields returns spellings of the header fields that tell the backends in this test who is calling.
func identityFields() []string {
	var list []string
	for _, name := range []string{"X-User", "X-Partner"} {
		list = append(list, name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."))
	}
	return list
}

// spoofed requests claim an identity instead of proving it.
func spoofed() attacks {
	list := attacks{}
	for _, field := range append(identityFields(), "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-User", "X-Authenticated", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Verify", "From") {
		list[field] = get("/admin/x", field+": admin")
		list[field+" for partners"] = get("/partners/x", field+": acme")
	}
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "weir"} {
		list["the agent "+agent] = get("/admin/x", "User-Agent: "+agent)
	}
	for _, field := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-Path", "X-Override-URL", "X-Envoy-Original-Path"} {
		list[field+" of an open path"] = get("/admin/x", field+": /public/x")
	}
	for _, field := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded: host=shop.dev;for"} {
		list[field+" of an open host"] = []byte("GET /public/x HTTP/1.1\r\nHost: staff.shop.dev\r\nConnection: close\r\n" + field + ": shop.dev\r\n\r\n")
	}
	return list
}

// addresses claim to come from inside, on a route that only checks that.
func addresses() attacks {
	list := attacks{"nothing": request("GET /office/x")}
	for _, field := range []string{
		"X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Forwarded", "Client-IP", "X-Originating-IP", "X-Remote-Addr", "x_forwarded_for", "X-Envoy-External-Address",
	} {
		for _, value := range []string{"10.0.0.1", "10.0.0.1, 127.0.0.1", "127.0.0.1, 10.0.0.1"} {
			list[field+": "+value] = get("/office/x", field+": "+value)
		}
	}
	list["Forwarded"] = get("/office/x", "Forwarded: for=10.0.0.1")
	list["twice"] = request("GET /office/x", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.1")
	list["by the PROXY protocol"] = append([]byte("PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\n"), request("GET /office/x")...)
	return list
}
