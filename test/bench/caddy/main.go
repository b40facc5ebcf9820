// Command caddy is Caddy with its standard modules, one of the proxies that `make bench` measures beside Weir. It has
// a module of its own so that its dependencies stay out of every other module.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // for reverse_proxy and file serving
)

func main() {
	caddycmd.Main()
}
