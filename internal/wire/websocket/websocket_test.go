package websocket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/wire/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The example of RFC 6455 section 1.3.
func TestTheHandshakeIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	if got := websocket.Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
	good := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.Header.Set("Sec-Websocket-Version", "13")
		r.Header.Add("Sec-Websocket-Protocol", "chat, v2.chat")
		return r
	}
	if _, err := websocket.Asked(good()); err != nil {
		t.Error(err)
	}
	if !websocket.Offers(good(), "v2.chat") || websocket.Offers(good(), "v3") {
		t.Error("what was offered is not seen")
	}
	for name, change := range map[string]func(*http.Request){
		"by POST": func(r *http.Request) { r.Method = http.MethodPost }, "no key": func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") },
		"a short key": func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "AAAA") }, "an old version": func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") },
		"two keys":     func(r *http.Request) { r.Header.Add("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") },
		"two versions": func(r *http.Request) { r.Header.Add("Sec-Websocket-Version", "8") },
		"HTTP/1.0":     func(r *http.Request) { r.Proto, r.ProtoMinor = "HTTP/1.0", 0 },
	} {
		r := good()
		change(r)
		_, err := websocket.Asked(r)
		if ofVersion := errors.Is(err, websocket.ErrVersion); err == nil || ofVersion != strings.Contains(name, "version") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// client returns a masked frame.
func client(first byte, payload string) []byte {
	out := []byte{first}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n <= 0xffff:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	out = append(out, mask[:]...)
	for i := range len(payload) {
		out = append(out, payload[i]^mask[i%4])
	}
	return out
}

func reader(in []byte, control func(websocket.Op, []byte)) *websocket.Reader {
	return websocket.NewReader(bytes.NewReader(in), websocket.Limits{Frame: 200_000, Message: 300_000}, websocket.Watch{Control: control, Alive: func() {}, Data: func(bool, int64) error { return nil }})
}

func TestMessagesAreReadAsTheyWereSent(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("ä", 50_000)
	for name, test := range map[string]struct {
		in   [][]byte
		op   websocket.Op
		want string
	}{
		"a text":                {[][]byte{client(0x81, "hello")}, websocket.Text, "hello"},
		"bytes":                 {[][]byte{client(0x82, "\xff\x00")}, websocket.Binary, "\xff\x00"},
		"nothing":               {[][]byte{client(0x81, "")}, websocket.Text, ""},
		"in pieces":             {[][]byte{client(0x01, "\xc3"), client(0x00, ""), client(0x80, "\xa4")}, websocket.Text, "ä"},
		"a ping between":        {[][]byte{client(0x01, "a"), client(0x89, "p"), client(0x80, "b")}, websocket.Text, "ab"},
		"of 126 bytes":          {[][]byte{client(0x81, large[:126])}, websocket.Text, large[:126]},
		"of 100000 bytes":       {[][]byte{client(0x81, large)}, websocket.Text, large},
		"as large as it may be": {[][]byte{client(0x02, strings.Repeat("x", 200_000)), client(0x80, strings.Repeat("x", 100_000))}, websocket.Binary, strings.Repeat("x", 300_000)},
	} {
		pings := 0
		op, got, err := reader(bytes.Join(test.in, nil), func(websocket.Op, []byte) { pings++ }).Message()
		if err != nil || op != test.op || string(got) != test.want || (pings == 1) != (name == "a ping between") {
			t.Errorf("%s: %v, %d bytes, %v, %d pings", name, op, len(got), err, pings)
		}
	}
}

func TestWhatBreaksTheRulesEndsTheConnection(t *testing.T) {
	t.Parallel()
	unmasked := []byte{0x81, 1, 'a'}
	huge := append([]byte{0x82, 0x80 | 127}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	for name, test := range map[string]struct {
		in     []byte
		status int
	}{
		"not masked":              {unmasked, 1002},
		"a reserved bit":          {client(0xc1, "a"), 1002},
		"an unknown kind":         {client(0x83, "a"), 1002},
		"an unknown control":      {client(0x8b, "a"), 1002},
		"a ping in pieces":        {client(0x09, "a"), 1002},
		"a long ping":             {client(0x89, strings.Repeat("x", 126)), 1002},
		"it continues nothing":    {client(0x80, "a"), 1002},
		"one within another":      {append(client(0x01, "a"), client(0x81, "b")...), 1002},
		"no UTF-8":                {client(0x81, "\xff"), 1007},
		"a length of no length":   {huge, 1002},
		"a frame too large":       {client(0x82, strings.Repeat("x", 200_001)), 1009},
		"a message too large":     {append(client(0x02, strings.Repeat("x", 200_000)), client(0x80, strings.Repeat("x", 100_001))...), 1009},
		"half a status":           {client(0x88, "x"), 1002},
		"a status nobody may say": {client(0x88, "\x03\xee"), 1002},
		"a reason of no UTF-8":    {client(0x88, "\x03\xe8\xff"), 1007},
	} {
		_, _, err := reader(test.in, func(websocket.Op, []byte) {}).Message()
		if e, ok := errors.AsType[*websocket.Error](err); !ok || e.Status != test.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, want := range map[string]int{string(client(0x88, "\x03\xe8bye")): 1000, string(client(0x88, "")): websocket.StatusNone, string(client(0x88, "\x0f\xa0")): 4000} {
		_, _, err := reader([]byte(in), nil).Message()
		if e, ok := errors.AsType[*websocket.ClosedError](err); !ok || e.Status != want {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, _, err := reader(client(0x81, "hello")[:5], nil).Message(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame: %v", err)
	}
}

func TestMessagesAreWrittenInFrames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := websocket.WriteMessage(&out, websocket.Text, []byte("hello"), 2); err != nil || out.String() != "\x01\x02he\x00\x02ll\x80\x01o" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := websocket.WriteMessage(&out, websocket.Binary, nil, 2); err != nil || out.String() != "\x82\x00" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if got := websocket.AppendFrame(nil, websocket.Text, true, make([]byte, 126)); !bytes.HasPrefix(got, []byte{0x81, 126, 0, 126}) {
		t.Errorf("%q", got[:4])
	}
	if got := websocket.CloseFrame(1001, strings.Repeat("x", 200)); len(got) != 127 || got[1] != 125 {
		t.Errorf("%d bytes", len(got))
	}
	if got := websocket.CloseFrame(websocket.StatusNone, ""); string(got) != "\x88\x00" {
		t.Errorf("%q", got)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(client(0x81, "hello"))
	f.Add(append(client(0x01, "a"), client(0x80, "b")...))
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 4, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := websocket.NewReader(bytes.NewReader(in), websocket.Limits{Frame: 1000, Message: 2000}, websocket.Watch{Control: func(websocket.Op, []byte) {}, Alive: func() {}, Data: func(bool, int64) error { return nil }})
		for {
			op, got, err := r.Message()
			if err != nil {
				return
			}
			if len(got) > 2000 || op != websocket.Text && op != websocket.Binary {
				t.Errorf("%v, %d bytes", op, len(got))
			}
		}
	})
}
