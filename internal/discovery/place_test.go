package discovery

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func TestPlaces(t *testing.T) {
	plain := PlaceForm{What: "server", Example: "http://a:1", Port: "1", TLSPort: "2", Instead: "`user`"}
	sockets := PlaceForm{What: "daemon", Example: "unix:/a", Port: "1", TLSPort: "2", Sockets: true, Schemes: []string{"tcp"}}
	for _, c := range []struct {
		form PlaceForm
		text string
		want string // the place, or what is wrong with it
	}{
		{plain, "http://a", "http://a:1"},
		{plain, "https://a/", "https://a:2"},
		{plain, "https://[::1]", "https://[::1]:2"},
		{plain, "http://[::1]:80", "http://[::1]:80"},
		{plain, "unix:/a", "it is no URL with http:// or https://"},
		{plain, "tcp://a", "it is no URL with http:// or https://"},
		{plain, "a:1", "it is no URL"},
		{plain, "http://u:p@a", "would stand in logs; write `user`"},
		{plain, "http://a/v1", "it has a path"},
		{plain, "http://a?b", "it has a path"},
		{plain, "http://a:0", "is not a number from 1 to 65535"},
		{sockets, "tcp://a", "http://a:1"},
		{sockets, "unix:///run/a.sock", "unix:/run/a.sock"},
		{sockets, "unix:run", "unix:run"},
		{sockets, "unix:/a\x1b[2J", "what cannot be printed"},
		{sockets, "a:1", "and no unix:/path"},
		{sockets, "http://u@a", "would stand in logs"},
	} {
		var ps doc.Problems
		p := c.form.Decode(&doc.Node{Kind: doc.Scalar, Value: c.text}, &ps)
		told := p.String()
		if ps.Failed() {
			told = ps.Sorted()[0].String()
			if strings.Contains(told, "\x1b") {
				t.Errorf("%q is told as %q", c.text, told)
			}
		}
		if !strings.Contains(told, c.want) {
			t.Errorf("%q: %s, want %s", c.text, told, c.want)
		}
	}
}

func TestCertificatesAreForTLS(t *testing.T) {
	for address, fails := range map[string]bool{"http://a:1": true, "https://a:1": false} {
		var ps doc.Problems
		(TLS{CA: &config.FileSecret{}}).CheckFor(Place{Address: "a:1", Secure: strings.HasPrefix(address, "https")}, &doc.Node{}, &ps)
		if ps.Failed() != fails {
			t.Errorf("%s: %v", address, ps.Sorted())
		}
	}
}
