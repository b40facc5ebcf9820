package listen_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// TestServerOutlivesAShortageOfFiles runs a server in a process that may open few files. Clients beyond that limit
// are turned away. Once some clients have left, new ones are served as before.
func TestServerOutlivesAShortageOfFiles(t *testing.T) {
	if os.Getenv("WEIR_TEST_FEW_FILES") != "" {
		serveWithFewFiles(t)
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerOutlivesAShortageOfFiles$")
	command.Env = append(os.Environ(), "WEIR_TEST_FEW_FILES=1")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(line)
	var conns []net.Conn
	served, turned := 0, 0
	for range 60 {
		conn := dial(t, address)
		conns = append(conns, conn)
		switch status := ask(conn); status {
		case http.StatusOK:
			served++
		case http.StatusServiceUnavailable, 0: // 0: closed before the server could tell the client
			turned++
		default:
			t.Errorf("status %d", status)
		}
	}
	if served == 0 || turned == 0 {
		t.Errorf("%d were served and %d sent away, want some of each", served, turned)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	until(t, func() bool {
		conn := dial(t, address)
		defer conn.Close()
		return ask(conn) == http.StatusOK
	})
	_ = input.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("the server's process: %v", err)
	}
}

// ask sends a request and returns the status, or 0 if there was none.
func ask(conn net.Conn) int {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return 0
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// serveWithFewFiles serves until its standard input ends.
func serveWithFewFiles(t *testing.T) {
	t.Helper()
	server := serve(t, &listen.Options{Handler: http.HandlerFunc(echo), Log: slog.New(slog.DiscardHandler)})
	limit := syscall.Rlimit{Cur: 32, Max: 32}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(os.Stdout, server.Addr()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop(t, server, time.Second)
}
