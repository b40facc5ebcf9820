// Command caddy is Caddy with its standard modules, one of the proxies that `make bench`
// measures beside Weir. It has a module of its own, so that no other one knows what it needs.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // which proxy, and serve
)

func main() {
	caddycmd.Main()
}
