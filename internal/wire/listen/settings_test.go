package listen_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// WebSocket over HTTP/2 (RFC 8441) is not offered. If it were, a browser would use it, and nothing behind this server
// would know what to do with it.
func TestHTTP2OffersNoExtendedConnect(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true}))
	send(t, conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		settings, ok := frame.(*http2.SettingsFrame)
		if !ok || settings.IsAck() {
			continue
		}
		if value, ok := settings.Value(http2.SettingEnableConnectProtocol); ok && value != 0 {
			t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d", value)
		}
		if streams, ok := settings.Value(http2.SettingMaxConcurrentStreams); !ok || streams == 0 {
			t.Error("these are not the server's settings")
		}
		return
	}
}

// A client that agreed on HTTP/2 gets no other protocol. Otherwise net/http would serve it HTTP/1.1, which our own
// parser would not check.
func TestWhatWasAgreedOnIsSpoken(t *testing.T) {
	certificate, pool := selfSigned(t)
	address := start(t, listen.Options{Handler: http.HandlerFunc(echo), TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}})
	conn := tls.Client(dial(t, address), &tls.Config{RootCAs: pool, ServerName: "weir.test", NextProtos: []string{"h2"}})
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || strings.Contains(string(got), "HTTP/1") {
		t.Errorf("got %q, %v", got, err)
	}
}

// Without TLS, HTTP/2 works by prior knowledge only. The upgrade from HTTP/1.1 is obsolete (RFC 9113 section 3.1),
// and it allows request smuggling.
func TestHTTP2InTheClearIsByPriorKnowledgeOnly(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true}))
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	head := make([]byte, len("HTTP/1.1 200 OK"))
	if _, err := io.ReadFull(conn, head); err != nil || string(head) != "HTTP/1.1 200 OK" {
		t.Errorf("got %q, %v", head, err)
	}
}
