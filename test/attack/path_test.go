package attack_test

import "strings"

// ways returns paths to /admin/x that begin at the open route, and some that only certain servers read that way. The
// gateway denies the spelling itself (400), or the route that it leads to (401).
func ways() []string {
	return []string{
		// dot segments, plain and encoded
		"/public/../admin/x", "/public/./../admin/x", "/public/x/../../admin/x", "/public/%2e%2e/admin/x", "/public/.%2e/admin/x", "/public/%2E./admin/x",
		"/public/../admin/./x", "/./admin/x", "/../admin/x", "/../../admin/x", "/admin/./x", "/admin/y/../x", "/public/..//admin/x",
		// encoded slash and backslash
		"/public/..%2fadmin/x", "/public/..%2Fadmin%2fx", "/public%2f..%2fadmin/x", "/public/%2e%2e%2fadmin/x", "/admin%2fx", "/%2fadmin/x", "/public/..%5cadmin/x", "/public%5c..%5cadmin%5cx",
		`/public/..\admin/x`, `/public\..\admin\x`, `/admin\x`, "/admin%5cx", "/%5cadmin/x",
		// double encoding
		"/public/%252e%252e/admin/x", "/public/..%252fadmin/x", "/public/%25%32%65%25%32%65/admin/x", "/admin%252fx", "/%2561dmin/x/..%252f",
		// overlong and other UTF-8
		"/public/%c0%ae%c0%ae/admin/x", "/public/..%c0%afadmin/x", "/public/%e0%80%ae%e0%80%ae/admin/x", "/public/..%c1%9cadmin/x", "/public/%f0%80%80%ae./admin/x", "/public/%uff0e%uff0e/admin/x", "/public/%u002e%u002e/admin/x",
		// matrix parameters
		"/public/..;/admin/x", "/public/..;a=b/admin/x", "/public;/../admin/x", "/public/;/../admin/x", "/public/..;%2f/admin/x", "/admin;/x", "/admin;a=b/x", "/;/admin/x", "/public/.;/../admin/x", "/public/..%3b/admin/x",
		// bytes that end a string in some programs
		"/public/..%00/admin/x", "/admin%00/x", "/admin/x%00.css", "/public/%0d%0a/../admin/x", "/admin%0a/x",
		// incomplete escapes
		"/public/%2/../admin/x", "/admin/%", "/admin/%zz", "/public/%2e%2/admin/x",
		// repeated slashes
		"//admin/x", "///admin/x", "/admin//x", "/public//../admin/x",
		// unreserved characters, encoded
		"/%61dmin/x", "/%61%64%6d%69%6e/x", "/adm%69n/x",
		// queries and fragments
		"/admin/x?", "/admin/x?a=/public/x", "/admin/x?/../public", "/public/../admin/x?x=/public/", "/admin/x#/public/x", "/public/x#/../admin/x", "/public/..#/admin/x", "/admin#/x",
	}
}

// otherRooms returns names that some file system or framework takes for /admin, and that lead nowhere here.
func otherRooms() []string {
	return []string{
		"/ADMIN/x", "/Admin/x", "/aDmin/x", "/admin./x", "/admin../x", "/admin%20/x", "/admin%2e/x", "/admin~1/x", "/admin::$DATA/x", "/admin%e2%80%8b/x", "/%ef%bd%81dmin/x", "/admin%cc%87/x",
		"/admin.html", "/admin.json/x", "/.admin/x", "/admin%09/x", "/publi%43/x", "/PUBLIC/../admin/x",
	}
}

func paths() attacks {
	list := attacks{}
	for _, path := range append(ways(), otherRooms()...) {
		list[path] = get(path, "X-Nothing: 1")
	}
	// The same with one route for every path, whose guard looks at the path.
	for _, path := range ways() {
		if strings.Contains(path, "?") || strings.Contains(path, "#") {
			continue
		}
		list["by allow "+path] = []byte("GET " + path + " HTTP/1.1\r\nHost: any.shop.dev\r\nConnection: close\r\n\r\n")
	}
	return list
}

func pathsOverHTTP2() attacks {
	list := attacks{}
	for _, path := range append(ways(), otherRooms()...) {
		list[path] = h2("GET", path)
	}
	for _, path := range []string{"", "admin/x", "http://shop.dev/admin/x", "*", "/admin/x /public", "/admin/x\t", "\\admin\\x", "?/admin/x", "//shop.dev/admin/x", ":80/admin/x"} {
		list["no path: "+path] = h2("GET", path)
	}
	return list
}

// targets are request targets that are not a path (RFC 9112 section 3.2).
func targets() attacks {
	list := attacks{}
	for _, target := range []string{
		"http://shop.dev/admin/x", "HTTP://SHOP.DEV/admin/x", "http://shop.dev:8080/admin/x", "http://other.dev/admin/x", "http://shop.dev/public/../admin/x", "http://shop.dev/public/..%2fadmin/x",
		"http://shop.dev\\@other.dev/admin/x", "http://u:p@shop.dev/admin/x", "http://shop.dev#/admin/x", "http://shop.dev/admin/x#", "http:///admin/x", "http:/admin/x", "http:admin/x", "https://staff.shop.dev/public/x",
		"http://staff.shop.dev/public/x", "http://STAFF.shop.dev./public/x", "ftp://shop.dev/admin/x", "file:///admin/x", "//shop.dev/admin/x", "admin/x", "../admin/x", "*", "?/admin/x", "#/admin/x", "shop.dev:80", "",
	} {
		list["GET "+target] = request("GET " + target)
		list["OPTIONS "+target] = request("OPTIONS " + target)
	}
	delete(list, "OPTIONS *") // addressed to the gateway itself
	return list
}

// hosts lead to the staff's route or nowhere, however they are spelled, and never to the open route for other hosts.
func hosts() attacks {
	list := attacks{}
	for _, host := range []string{
		"staff.shop.dev", "STAFF.SHOP.DEV", "staff.shop.dev.", "staff.shop.dev:80", "staff.shop.dev.:8080", "Staff.Shop.Dev.:443", " staff.shop.dev ", "staff.shop.dev:", "staff.shop.dev:99999", "staff.shop.dev:80:80",
		"staff.shop.dev, shop.dev", "staff.shop.dev@shop.dev", "shop.dev@staff.shop.dev", "staff.shop.dev/", "staff.shop.dev/public", "staff.shop.dev#", "staff.shop.dev?", "staff.shop.dev\\", "staff%2eshop.dev", "staff.shop.dev%00",
		"staff.shop.dev\x00.shop.dev", "staff..shop.dev", ".staff.shop.dev", "staff.shop.dev..", "[staff.shop.dev]", "ｓtaff.shop.dev", "staff\xc2\xadshop.dev", "http://staff.shop.dev",
	} {
		list[host] = []byte("GET /public/x HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	}
	list["two hosts"] = []byte("GET /public/x HTTP/1.1\r\nHost: shop.dev\r\nHost: staff.shop.dev\r\n\r\n")
	list["no host"] = []byte("GET /public/x HTTP/1.1\r\n\r\n")
	list["a folded host"] = []byte("GET /public/x HTTP/1.1\r\nHost:\r\n staff.shop.dev\r\n\r\n")
	list["a blank before the colon"] = []byte("GET /public/x HTTP/1.1\r\nHost : staff.shop.dev\r\n\r\n")
	return list
}
