package http2_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http2"
)

// listener is a client that has sent its preface and keeps what the server sends.
type listener struct {
	pieces

	told bytes.Buffer
}

func (l *listener) Write(p []byte) (int, error) { return l.told.Write(p) }

func frameOf(kind http2.Type, flags http2.Flags, stream uint32, payload string) string {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), byte(kind), byte(flags)}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}

// The Meter announces the end once and between two frames, never within a header block or before the server's
// SETTINGS, whatever pieces the server writes in.
func TestTheEndIsAnnouncedBetweenFrames(t *testing.T) {
	frames := []string{
		frameOf(http2.Settings, 0, 0, ""),
		frameOf(http2.Headers, 0, 1, "block"), frameOf(http2.Continuation, 0, 1, ""), frameOf(http2.Continuation, http2.EndHeaders, 1, "more"),
		frameOf(http2.Data, 0, 1, "hello"), frameOf(http2.Data, http2.EndStream, 1, ""),
		frameOf(http2.Headers, http2.EndHeaders|http2.EndStream, 3, "block"),
	}
	allowed := map[int]bool{}
	all, open := "", false
	for _, f := range frames {
		all += f
		kind, flags := http2.Type(f[3]), http2.Flags(f[4])
		if kind == http2.Headers || kind == http2.Continuation {
			open = !flags.Has(http2.EndHeaders)
		}
		allowed[len(all)] = !open
	}
	goAway := frameOf(http2.GoAway, 0, 0, "\x7f\xff\xff\xff\x00\x00\x00\x00")
	for _, size := range []int{1, 3, 9, 14, len(all)} {
		for when := 0; when <= len(all); when++ { // how much was written before the announcement
			client := &listener{pieces: pieces{left: []byte(http2.Preface)}}
			meter := http2.NewMeter(client, &http2.Options{HeadBytes: 1 << 10}, true, never)
			if _, err := meter.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(all); at += size {
				if at <= when && when < at+size {
					meter.Announce()
					meter.Announce()
				}
				if _, err := meter.Write([]byte(all[at:min(at+size, len(all))])); err != nil {
					t.Fatal(err)
				}
			}
			meter.Announce()
			told := client.told.String()
			at := strings.Index(told, goAway)
			if at < 0 || told[:at]+told[at+len(goAway):] != all || !allowed[at] {
				t.Fatalf("in pieces of %d, announced after %d: a GOAWAY at %d of %q", size, when, at, told)
			}
		}
	}
}

func TestOtherProtocolsAreAnnouncedNothing(t *testing.T) {
	client := &listener{pieces: pieces{left: []byte("GET / HTTP/1.1\r\n\r\n")}}
	meter := http2.NewMeter(client, &http2.Options{HeadBytes: 1 << 10}, false, never)
	_, _ = meter.Read(make([]byte, 100))
	meter.Announce()
	if _, err := meter.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil || client.told.String() != "HTTP/1.1 200 OK\r\n\r\n" {
		t.Errorf("the client was told %q, %v", client.told.String(), err)
	}
}
