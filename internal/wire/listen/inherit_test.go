package listen

import (
	"net"
	"testing"
)

func TestWhichBoundSocketAnAddressMeans(t *testing.T) {
	tcp := func(address string) net.Addr {
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, test := range []struct {
		bound   net.Addr
		address string
		want    bool
	}{
		{tcp("[::]:443"), ":443", true},
		{tcp("0.0.0.0:443"), ":443", true},
		{tcp("[::]:443"), "0.0.0.0:443", true},
		{tcp("127.0.0.1:443"), "127.0.0.1:443", true},
		{tcp("[::1]:443"), "[::1]:443", true},
		{tcp("[::ffff:192.0.2.1]:443"), "192.0.2.1:443", true},
		{tcp("127.0.0.1:443"), ":443", false},
		{tcp("[::]:443"), "127.0.0.1:443", false},
		{tcp("[::]:443"), ":80", false},
		{tcp("192.0.2.1:443"), "192.0.2.2:443", false},
		{tcp("127.0.0.1:443"), "localhost:443", false}, // no lookup: the name of the socket says it
		{&net.UnixAddr{Net: "unix", Name: "/run/weir.sock"}, "unix:/run/weir.sock", true},
		{&net.UnixAddr{Net: "unix", Name: "/run/weir.sock"}, "unix:/run/other.sock", false},
		{&net.UnixAddr{Net: "unix", Name: "/run/weir.sock"}, ":443", false},
		{tcp("[::]:443"), "unix:/run/weir.sock", false},
	} {
		if got := sameAddress(test.bound, test.address); got != test.want {
			t.Errorf("%s and %s: got %v", test.bound, test.address, got)
		}
	}
}

// A socket that a service manager passed to another process is not ours.
func TestSocketsOfAnotherProcessAreLeftAlone(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "2")
	t.Setenv("LISTEN_FDNAMES", "a:b")
	i, err := Inherit()
	if err != nil || len(i.sockets) > 0 || i.Take(Want{Key: "a", Address: ":80", Listeners: []string{"a"}}) != nil || i.Rest() != nil || i.Ready() != nil {
		t.Errorf("got %+v, %v", i, err)
	}
	var none *Inherited
	if none.Take(Want{}) != nil || none.Rest() != nil || none.Ready() != nil {
		t.Error("nothing is something")
	}
}
