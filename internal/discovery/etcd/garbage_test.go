package etcd

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/discovery"
)

// pretender is a server of HTTP/2 that answers as a test wants.
func pretender(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols.SetHTTP1(true)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

func grpcHead(w http.ResponseWriter, trailers ...string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	w.WriteHeader(http.StatusOK)
	for i := 0; i+1 < len(trailers); i += 2 {
		w.Header().Set(trailers[i], trailers[i+1])
	}
}

// known is an answer to a read, of one endpoint in a store of that cluster and revision.
func known(cluster uint64, revision int64, address string) []byte {
	head := appendNumber(appendNumber(nil, 1, int64(cluster)), 3, revision)
	b := appendText(nil, 1, string(head))
	if address != "" {
		kv := appendText(appendNumber(appendNumber(appendText(nil, 1, "services/users/a"), 2, 1), 3, revision), 5, address)
		b = appendText(b, 2, string(kv))
	}
	return b
}

// heard is a word of watch 1.
func heard(cluster uint64, revision int64, created bool) []byte {
	head := appendNumber(appendNumber(nil, 1, int64(cluster)), 3, revision)
	b := appendNumber(appendText(nil, 1, string(head)), 2, 1)
	if created {
		b = appendNumber(b, 3, 1)
	}
	return b
}

func TestWhatIsNoEtcdChangesNothing(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a web server":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"a page":              func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"nothing":             func(http.ResponseWriter, *http.Request) {},
		"half a frame":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0, 0, 0, 0, 9, 1}) },
		"a frame without end": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0, 255, 255, 255, 255, 1}) },
		"what is compressed":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{1, 0, 0, 0, 1, 1}) },
		"a message of nobody": func(w http.ResponseWriter, _ *http.Request) {
			grpcHead(w)
			_, _ = w.Write(frame([]byte{0xff, 0xff, 0xff}))
		},
		"an error at once": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "14")
			w.Header().Set("Grpc-Message", "no%20leader")
		},
		"an error at the end": func(w http.ResponseWriter, _ *http.Request) {
			grpcHead(w, "Grpc-Status", "13", "Grpc-Message", "it is ill")
		},
		"a status that is none": func(w http.ResponseWriter, _ *http.Request) { grpcHead(w, "Grpc-Status", "many") },
		"an error after a frame": func(w http.ResponseWriter, _ *http.Request) {
			grpcHead(w, "Grpc-Status", "2")
			_, _ = w.Write(frame(known(1, 1, "10.0.0.1:80")))
		},
		"a hang-up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			r := run(t, at(t, pretender(t, func(w http.ResponseWriter, req *http.Request) {
				asked.Add(1)
				answer(w, req)
			})), "users")
			r.Trouble("")
			await.That(t, "it is asked again", func() bool { return asked.Load() > 1 })
			r.Only()
		})
	}
}

func TestWhoDoesNotAnswerIsToldOf(t *testing.T) {
	t.Parallel()
	r := run(t, at(t, pretender(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })), "users")
	r.Trouble("no answer within 5s")
	r.Only()
}

// A member that begins no watch is left, though it answers reads.
func TestAWatchThatDoesNotBeginIsToldOf(t *testing.T) {
	t.Parallel()
	r := run(t, at(t, pretender(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == methodWatch {
			<-req.Context().Done()
			return
		}
		grpcHead(w, "Grpc-Status", "0")
		_, _ = w.Write(frame(known(1, 7, "10.0.0.1:80")))
	})), "users")
	r.Have("10.0.0.1:80")
	r.Trouble("no word of a watch")
	r.Only("10.0.0.1:80")
}

// A member that lags behind is not taken for one that has lost something: all keys are read, as
// the majority knows them.
func TestAMemberThatLagsBehindIsNotBelieved(t *testing.T) {
	t.Parallel()
	var reads, watches atomic.Int64
	r := run(t, at(t, pretender(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == methodRange {
			grpcHead(w, "Grpc-Status", "0")
			_, _ = w.Write(frame(known(1, 6+reads.Add(1), "10.0.0.1:80")))
			return
		}
		grpcHead(w)
		revision := int64(5)
		if watches.Add(1) > 1 {
			revision = 100
		}
		id := firstID(req.Body)
		_, _ = w.Write(frame(appendNumber(heard(1, revision, true), 2, id)))
		_ = http.NewResponseController(w).Flush()
		for id > 0 {
			if id = firstID(req.Body); id > 0 {
				_, _ = w.Write(frame(appendNumber(heard(1, 100, true), 2, id)))
				_ = http.NewResponseController(w).Flush()
			}
		}
	})), "users")
	await.That(t, "a second read", func() bool { return reads.Load() == 2 })
	r.Fine()
	r.Only("10.0.0.1:80")
}

// firstID is the id of the next watch that is asked for, 0 where there is none any more.
func firstID(body io.Reader) int64 {
	for {
		message, err := readFrame(body)
		if err != nil {
			return 0
		}
		var id int64
		_ = eachField(message, func(field protowire.Number, _ uint64, inner []byte) error {
			if field != 1 {
				return nil
			}
			return eachField(inner, func(field protowire.Number, n uint64, _ []byte) error {
				if field == 7 {
					id = int64(n)
				}
				return nil
			})
		})
		if id > 0 {
			return id
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(known(1, 2, "10.0.0.1:80"))
	f.Add(heard(1, 2, true))
	f.Add(appendText(heard(3, 4, false), 11, string(appendText(appendNumber(nil, 1, 1), 2, string(appendText(nil, 1, "services/users/a"))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRange(b)
		v := view{prefix: "services/users/", log: discard(), entries: map[string]entry{}}
		if err == nil {
			v.read(time.Now(), r)
		}
		w, err := readWatch(b)
		if err == nil {
			v.apply(w)
		}
		_, _ = readToken(b)
		list, _ := v.set(time.Now())
		for _, e := range list {
			if _, _, err := discovery.SplitAddress(e.Address); err != nil || e.Weight < 0 {
				t.Errorf("%+v", e)
			}
		}
		var size [5]byte
		binary.BigEndian.PutUint32(size[1:], uint32(len(b)))
		if got, err := readFrame(strings.NewReader(string(size[:]) + string(b))); err != nil || len(got) != len(b) {
			t.Error(err)
		}
		if _, err := readFrame(strings.NewReader(string(size[:]) + string(b[:len(b)/2]))); len(b) > 1 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}
