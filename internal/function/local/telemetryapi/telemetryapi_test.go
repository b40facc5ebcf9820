package telemetryapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is what a subscriber gets.
type record struct {
	Time, Type string
	Record     json.RawMessage
}

// listener is a subscriber's side.
type listener struct {
	*httptest.Server

	mu      sync.Mutex
	batches [][]record
	gate    chan struct{} // each batch waits for something to come from it; nil for none
	refuse  int           // so many batches are answered with 500
	methods []string
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		gate := l.gate
		refused := l.refuse > 0
		l.refuse--
		l.methods = append(l.methods, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type"))
		l.mu.Unlock()
		if gate != nil {
			<-gate
		}
		if refused {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		var batch []record
		if err := json.Unmarshal(raw, &batch); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.batches = append(l.batches, batch)
	}))
	t.Cleanup(l.Close)
	return l
}

// got gives all records so far.
func (l *listener) got() (all []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, batch := range l.batches {
		all = append(all, batch...)
	}
	return all
}

func (l *listener) kinds() string {
	var list []string
	for _, one := range l.got() {
		list = append(list, one.Type)
	}
	return strings.Join(list, " ")
}

// wish is a subscription of a schema.
func (l *listener) wish(schema, types string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":%q,"types":[%s],"buffering":{"timeoutMs":25},"destination":{"protocol":"HTTP","URI":%q}}`, schema, types, l.URL+"/take")
}

func feed(t *testing.T, about telemetryapi.About) (*telemetryapi.Feed, *await.Text) {
	t.Helper()
	log := &await.Text{}
	f := telemetryapi.New(about, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(f.Close)
	return f, log
}

func subscribe(t *testing.T, f *telemetryapi.Feed, name string, wish []byte) {
	t.Helper()
	api := telemetryapi.Telemetry
	if strings.Contains(string(wish), "2020-08-15") || strings.Contains(string(wish), "2021-03-18") {
		api = telemetryapi.Logs
	}
	if err := f.Subscribe(name, api, wish); err != nil {
		t.Fatal(err)
	}
}

func TestWishesThatAreRefusedSayWhy(t *testing.T) {
	const to = `"destination":{"protocol":"HTTP","URI":"http://sandbox:8080"}`
	f, _ := feed(t, telemetryapi.About{})
	tests := []struct {
		api        telemetryapi.API
		wish, want string
	}{
		{telemetryapi.Telemetry, `[`, "cannot be read"},
		{telemetryapi.Telemetry, `{"types":["platform"],` + to + `}`, `schemaVersion: ""`},
		{telemetryapi.Telemetry, `{"schemaVersion":"2020-08-15","types":["platform"],` + to + `}`, `schemaVersion: "2020-08-15"`},
		{telemetryapi.Logs, `{"schemaVersion":"2022-07-01","types":["platform"],` + to + `}`, `schemaVersion: "2022-07-01"`},
		{telemetryapi.Logs, `{` + to + `}`, "types: name some"},
		{telemetryapi.Logs, `{"types":["all"],` + to + `}`, `types: "all"`},
		{telemetryapi.Logs, `{"types":["platform"]}`, "destination.protocol"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"UDP","port":1}}`, "destination.protocol"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"TCP"}}`, "destination.URI"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"TCP","port":70000}}`, "destination.URI"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox:8080","method":"GET"}}`, "destination.method"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox:8080","encoding":"XML"}}`, "destination.encoding"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"https://sandbox:8080"}}`, "destination.URI"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://169.254.169.254/latest"}}`, "not on this machine"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://example.com/"}}`, "not on this machine"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://0.0.0.0:80/"}}`, "not on this machine"},
		{telemetryapi.Logs, `{"types":["platform"],"destination":{"protocol":"HTTP","URI":"http://a:b@sandbox:8080/"}}`, "destination.URI"},
		{telemetryapi.Logs, `{"types":["platform"],"buffering":{"maxItems":999},` + to + `}`, "buffering.maxItems: 999 is not from 1000 to 10000"},
		{telemetryapi.Logs, `{"types":["platform"],"buffering":{"maxBytes":2097152},` + to + `}`, "buffering.maxBytes"},
		{telemetryapi.Logs, `{"types":["platform"],"buffering":{"timeoutMs":24},` + to + `}`, "buffering.timeoutMs"},
	}
	for _, test := range tests {
		if err := f.Subscribe("agent", test.api, []byte(test.wish)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.wish, err, test.want)
		}
	}
}

// Who subscribes after the first invocation has missed it, but not how the instance began.
func TestASubscriberIsToldFromTheBeginning(t *testing.T) {
	f, _ := feed(t, telemetryapi.About{Name: "orders", Version: "$LATEST", Init: "on-demand", Memory: 128 << 20})
	f.Line([]byte("loading"))
	f.Extension("agent", nil)
	f.Initialised("")
	if f.Begin("missed", "") != nil {
		t.Error("an invocation of which nobody wants to know is told")
	}
	f.Line([]byte("missed"))
	l := listen(t)
	subscribe(t, f, "agent", l.wish("2022-12-13", `"platform","function"`))
	i := f.Begin("id", "Root=1")
	f.Line([]byte("seen"))
	i.Responded(4, "")
	i.End(telemetryapi.None)
	i.End(telemetryapi.Failure) // is not heard
	const want = "platform.initStart function platform.extension platform.initRuntimeDone platform.initReport platform.telemetrySubscription " +
		"platform.start function platform.runtimeDone platform.report"
	await.That(t, "all is told", func() bool { return len(l.got()) == len(strings.Fields(want)) })
	if got := l.kinds(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	first := string(l.got()[0].Record)
	if first != `{"initializationType":"on-demand","phase":"init","functionName":"orders","functionVersion":"$LATEST","instanceMaxMemory":134217728}` {
		t.Errorf("it began with %s", first)
	}
	if l.methods[0] != "POST /take application/json" {
		t.Errorf("it was told by %q", l.methods)
	}
}

func TestLinesOfJSONAreToldAsSuchWhereTheSchemaKnowsIt(t *testing.T) {
	f, _ := feed(t, telemetryapi.About{JSON: true})
	older, newer := listen(t), listen(t)
	subscribe(t, f, "older", older.wish("2022-07-01", `"function"`))
	subscribe(t, f, "newer", newer.wish("2022-12-13", `"function"`))
	for _, line := range []string{`{"level": "INFO"}`, `{no JSON`, "\xff<&>"} {
		f.Line([]byte(line))
	}
	for _, test := range []struct {
		l    *listener
		want string
	}{{older, `"{\"level\": \"INFO\"}" "{no JSON" "` + "\ufffd" + `<&>"`}, {newer, `{"level":"INFO"} "{no JSON" "` + "\ufffd" + `<&>"`}} {
		await.That(t, "all is told", func() bool { return len(test.l.got()) == 3 })
		var got []string
		for _, one := range test.l.got() {
			got = append(got, string(one.Record))
		}
		if strings.Join(got, " ") != test.want && strings.Join(got, " ") != strings.ReplaceAll(test.want, "\ufffd", `\ufffd`) {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// A batch is full at maxItems, and as much again may wait while it is delivered. What
// comes on top is dropped, and told.
func TestWhatASubscriberDoesNotTakeIsDroppedAndTold(t *testing.T) {
	f, log := feed(t, telemetryapi.About{})
	l := listen(t)
	l.gate = make(chan struct{})
	subscribe(t, f, "slow", fmt.Appendf(nil,
		`{"schemaVersion":"2022-07-01","types":["platform","function"],"buffering":{"maxItems":1000,"timeoutMs":25},"destination":{"protocol":"HTTP","URI":%q}}`, l.URL))
	held := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.methods)
	}
	await.That(t, "the first batch is under way", func() bool { return held() == 1 })
	const lines, most = 5000, 2 * 1000
	for n := range lines {
		f.Line(fmt.Appendf(nil, "line %d", n))
	}
	close(l.gate)
	await.That(t, "the loss is told", func() bool { return strings.Contains(l.kinds(), "platform.logsDropped") })
	all := l.got()
	var lost struct {
		Reason                       string
		DroppedRecords, DroppedBytes int
	}
	if err := json.Unmarshal(all[len(all)-1].Record, &lost); err != nil {
		t.Fatal(err)
	}
	kept := strings.Count(l.kinds(), "function")
	if lost.DroppedRecords != lines-kept || kept > most || kept < most-2 || lost.DroppedBytes < lost.DroppedRecords*len("line 1000") || lost.Reason == "" {
		t.Errorf("%d were kept, and it was told of %+v", kept, lost)
	}
	if last := string(all[len(all)-2].Record); last != `"line `+strconv.Itoa(kept-1)+`"` {
		t.Errorf("the last one that was kept is %s of %d", last, kept)
	}
	if got := strings.Count(log.String(), "an extension loses telemetry"); got != 1 {
		t.Errorf("the log has told it %d times:\n%s", got, log)
	}
}

func TestADeliveryThatFailsIsTriedAgain(t *testing.T) {
	f, _ := feed(t, telemetryapi.About{})
	l := listen(t)
	l.refuse = 2
	subscribe(t, f, "agent", l.wish("2021-03-18", `"function"`))
	f.Line([]byte("kept"))
	await.That(t, "the line is told", func() bool { return l.kinds() == "function" })
	if len(l.methods) != 3 {
		t.Errorf("it was tried %d times", len(l.methods))
	}
}

func TestRecordsAreLinesOverTCP(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	f, _ := feed(t, telemetryapi.About{})
	_, port, _ := net.SplitHostPort(socket.Addr().String())
	subscribe(t, f, "agent", fmt.Appendf(nil,
		`{"schemaVersion":"2020-08-15","types":["function"],"buffering":{"timeoutMs":25},"destination":{"protocol":"TCP","port":%s}}`, port))
	f.Line([]byte("one"))
	conn, err := socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, `"type":"function","record":"one"}`) {
		t.Errorf("got %q, %v", line, err)
	}
	_ = conn.Close()
	// A write notices some time later that the connection is gone; nobody says what was read of it.
	accepted := make(chan net.Conn, 1)
	go func() {
		if again, err := socket.Accept(); err == nil {
			accepted <- again
		}
	}()
	await.That(t, "it connects again", func() bool {
		f.Line([]byte("two"))
		return len(accepted) == 1
	})
	_ = (<-accepted).Close()
}

func TestWhatIsLeftIsDeliveredAtTheEnd(t *testing.T) {
	l := listen(t)
	f := telemetryapi.New(telemetryapi.About{}, slog.New(slog.DiscardHandler))
	f.Patient()
	subscribe(t, f, "agent", fmt.Appendf(nil,
		`{"schemaVersion":"2022-07-01","types":["function"],"buffering":{"timeoutMs":30000},"destination":{"protocol":"HTTP","URI":%q}}`, l.URL))
	f.Line([]byte("flushed"))
	f.Flush(t.Context())
	if l.kinds() != "function" {
		t.Errorf("after a flush there is %q", l.kinds())
	}
	f.Line([]byte("last"))
	f.Close()
	if l.kinds() != "function function" {
		t.Errorf("at the end there is %q", l.kinds())
	}
	f.Line([]byte("too late"))
	if err := f.Subscribe("other", telemetryapi.Telemetry, l.wish("2022-07-01", `"function"`)); err == nil {
		t.Error("a feed that is closed takes subscriptions")
	}
}

func TestAnInvocationOfWhichNobodyWantsToKnowCostsNothing(t *testing.T) {
	f, _ := feed(t, telemetryapi.About{})
	f.Begin("first", "")
	line := []byte("a line")
	if n := testing.AllocsPerRun(100, func() {
		i := f.Begin("id", "Root=1")
		f.Line(line)
		f.Drain()
		i.Responding()
		i.Responded(1, "")
		i.End(telemetryapi.None)
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func FuzzWish(f *testing.F) {
	f.Add(true, []byte(`{"schemaVersion":"2022-07-01","types":["platform"],"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},"destination":{"protocol":"HTTP","URI":"http://sandbox:1"}}`))
	f.Add(false, []byte(`{"types":["function"],"destination":{"protocol":"TCP","port":1}}`))
	f.Fuzz(func(t *testing.T, logs bool, raw []byte) {
		api := telemetryapi.Telemetry
		if logs {
			api = telemetryapi.Logs
		}
		to, err := telemetryapi.Destination(api, raw)
		if err != nil {
			return
		}
		host, _, err := net.SplitHostPort(to)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("%s leads to %q", raw, to)
		}
	})
}
