package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// served runs a server that answers one request after the other, and returns its port. If answer returns "", the
// server closes the connection.
func served(t *testing.T, answer func(n int) string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewReader(conn); ; n++ {
				if _, err := http.ReadRequest(in); err != nil {
					break
				}
				text := answer(n)
				if _, err := conn.Write([]byte(text)); err != nil || text == "" {
					n++
					break
				}
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func answerOf(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestWhoIsLateIsWaitedForAllTheTime stalls the server for a while: requests continue to be due, and the wait of each
// counts from when it was due.
func TestWhoIsLateIsWaitedForAllTheTime(t *testing.T) {
	const stall, step, many = 200 * time.Millisecond, 10 * time.Millisecond, 30
	port := served(t, func(n int) string {
		if n == 0 {
			<-time.After(stall)
		}
		return answerOf("ok")
	})
	l, err := newLoader(port, 1, question{requests: get("/", nil, 0).requests, body: []byte("ok")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	got, err := l.run(many*step, int(time.Second/step))
	if err != nil || got.wrong != "" || got.lost > 0 || got.answers != many {
		t.Fatalf("%+v, %v", got, err)
	}
	var waited, least time.Duration
	for i, wait := range got.waits {
		waited += wait
		least += max(0, stall-time.Duration(i)*step)
	}
	if waited < least {
		t.Errorf("all of them waited for %s; it must be %s", waited, least)
	}
}

func TestWhatIsWrongOrLostIsSeen(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		wrong  string
		loses  bool
	}{
		{name: "a body of another length", answer: answerOf("okay"), wrong: "a response has a length of 4, not 2"},
		{name: "another body", answer: answerOf("no"), wrong: "after 0 bytes of a body there are 2 wrong ones"},
		{name: "another status", answer: "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok", wrong: `"HTTP/1.1 404 Not Found" is not 200`},
		{name: "no answer", answer: "", loses: true},
		{name: "the right one", answer: answerOf("ok")},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := newLoader(served(t, func(int) string { return c.answer }), 1, question{requests: get("/", nil, 0).requests, body: []byte("ok")})
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			got, err := l.run(20*time.Millisecond, 0)
			if err != nil || got.wrong != c.wrong || (got.lost > 0) != c.loses {
				t.Errorf("%q, %d lost, %v", got.wrong, got.lost, err)
			}
		})
	}
}
