package listen_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

func TestOneClientHasItsShareOfConnections(t *testing.T) {
	told := make(chan string, 10)
	address := start(t, listen.Options{
		Handler: http.HandlerFunc(sayPeer), Announced: loopback, Limits: config.Limits{PerClient: 2},
		Ended: func(reason string) {
			select {
			case told <- reason:
			default: // the test has heard enough
			}
		},
	})
	ask := func(source string) (status int, end func()) {
		conn := dial(t, address)
		h := announcement(source)
		send(t, conn, string(h.AppendV2(nil))+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		return receive(t, bufio.NewReader(conn)).StatusCode, func() { _ = conn.Close() }
	}
	var ends []func()
	for _, test := range []struct {
		source string
		want   int
	}{
		{"198.51.100.7:1", 200},
		{"198.51.100.7:2", 200},
		{"198.51.100.7:3", 503},
		{"198.51.100.8:1", 200},
		{"[2001:db8::1]:1", 200},
		{"[2001:db8::2]:1", 200}, // clients of one network count as one client
		{"[2001:db8::3]:1", 503},
		{"[2001:db8:0:1::1]:1", 200},
	} {
		got, end := ask(test.source)
		if ends = append(ends, end); got != test.want {
			t.Errorf("%s: %d, want %d", test.source, got, test.want)
		}
	}
	for range 2 {
		if reason := <-told; reason != "per_client" {
			t.Errorf("told was %s", reason)
		}
	}
	ends[0]()
	until(t, func() bool {
		status, end := ask("198.51.100.7:4")
		end() // only a limited number at a time is told why it is turned away
		return status == http.StatusOK
	})
}

// TestHandshakesComputeInTurn looks into handshakes while they compute.
func TestHandshakesComputeInTurn(t *testing.T) {
	certificate, pool := selfSigned(t)
	var now, most atomic.Int32
	address := start(t, listen.Options{Handler: http.HandlerFunc(echo), Limits: patientLimits(), TLS: &tls.Config{ // handshakes wait for their turn, however long the machine takes
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			for range 100 {
				runtime.Gosched() // as many others as are allowed have their turn
			}
			now.Add(-1)
			return &certificate, nil
		},
	}})
	stuck := dial(t, address) // holds nothing up
	send(t, stuck, "\x16\x03\x01")
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, ServerName: "weir.test", MinVersion: tls.VersionTLS12})
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		})
	}
	clients.Wait()
	if got, want := int(most.Load()), runtime.GOMAXPROCS(0); got > want {
		t.Errorf("%d handshakes computed at the same time, want %d at most", got, want)
	}
}

func TestHTTP2IsNotSpokenWithCiphersThatItForbids(t *testing.T) {
	certificate, pool := selfSigned(t)
	suites := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	address := start(t, listen.Options{Handler: http.HandlerFunc(echo), TLS: &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, CipherSuites: suites,
	}})
	for protocol, want := range map[string]bool{"h2": false, "http/1.1": true} {
		conn, err := tls.Dial("tcp", address, &tls.Config{
			RootCAs: pool, ServerName: "weir.test", NextProtos: []string{protocol},
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: suites,
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(conn)
		if got := strings.HasPrefix(string(answer), "HTTP/1.1 200"); got != want {
			t.Errorf("%s: %q", protocol, answer)
		}
		_ = conn.Close()
	}
}

// lines are the messages of a log.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func (l *lines) about(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// A flood of clients that are cut off does not flood the log.
func TestTheLogIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := beginWith(t, listen.Options{Handler: http.HandlerFunc(echo)}, slog.New(slog.NewTextHandler(&log, nil)))
		slow := func() {
			conn := b.dial()
			write(t, conn, []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"))
			_, _ = io.Copy(io.Discard, conn)
		}
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(slow)
		}
		clients.Wait()
		if got := log.about("reason=body_rate"); len(got) != 1 || !strings.Contains(got[0], "others=0") || !strings.Contains(got[0], "level=WARN") {
			t.Errorf("the log was told %q", got)
		}
		pause(10 * time.Second)
		slow()
		if got := log.about("reason=body_rate"); len(got) != 2 || !strings.Contains(got[1], "others=19") {
			t.Errorf("the log was told %q", got)
		}
		if got := len(b.endings()); got != 21 {
			t.Errorf("%d were counted, want 21", got)
		}
	})
}

func TestEndingsAreSortedAndDiffer(t *testing.T) {
	all := listen.Endings()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || !slices.Contains(all, "h2_resets") || !slices.Contains(all, "body_rate") {
		t.Errorf("endings: %v", all)
	}
}
