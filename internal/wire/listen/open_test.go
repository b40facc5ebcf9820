package listen_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

func TestOpenTellsWhatToDoAboutATakenPort(t *testing.T) {
	first, err := listen.Open(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := listen.Open(t.Context(), first.Addr().String())
	if err == nil {
		_ = second.Close()
		t.Fatal("the port could be bound twice")
	}
	_, port, _ := net.SplitHostPort(first.Addr().String())
	for _, want := range []string{first.Addr().String(), "already in use", "choose another port", ":" + port} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestOpenRefusesWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{"", "8080", "localhost", "unix:", "300.1.1.1:80", "127.0.0.1:99999"} {
		if listener, err := listen.Open(t.Context(), address); err == nil {
			_ = listener.Close()
			t.Errorf("%q was bound", address)
		}
	}
}

func TestOpenReplacesAStaleSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	address := "unix:" + path
	first, err := listen.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v, want mode 0660", info.Mode(), err)
	}
	if second, err := listen.Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), "answers") {
		t.Errorf("got %v, %v for a socket in use", second, err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as if the process were killed
	_ = first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	again, err := listen.Open(t.Context(), address)
	if err != nil {
		t.Fatalf("a stale socket was not replaced: %v", err)
	}
	_ = again.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket file is left: %v", err)
	}
}

func TestOpenNeverRemovesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if listener, err := listen.Open(t.Context(), "unix:"+path); err == nil {
		_ = listener.Close()
		t.Error("it was bound over a file")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != 0 || info.Size() != 4 {
		t.Errorf("the file is %v, %v", info, err)
	}
}
