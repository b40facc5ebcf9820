package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

var offlineToo = flag.Bool("offline", false, "install serverless-offline and osls, 140 MB, and play against them")

// offline starts serverless-offline, and returns the addresses of its Lambda endpoint and its WebSockets.
func offline(t *testing.T) (lambda, sockets string, log *await.Text) {
	t.Helper()
	folder, err := installed("offline", "package.json", "package-lock.json", "serverless.yml", "echo.mjs")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := os.ReadFile(filepath.Join("chat", "index.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "index.mjs"), handler, 0o600); err != nil {
		t.Fatal(err)
	}
	ports := make([]string, 3)
	for i := range ports {
		_, ports[i], _ = net.SplitHostPort(freeport.Address(t))
	}
	command := exec.Command("node", "node_modules/osls/bin/serverless.js", "offline", "start", "--host", "127.0.0.1", //nolint:noctx // ended below
		"--httpPort", ports[0], "--websocketPort", ports[1], "--lambdaPort", ports[2])
	command.Dir = folder
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=here", "AWS_SECRET_ACCESS_KEY=here", "SLS_TELEMETRY_DISABLED=1", "SLS_NOTIFICATIONS_MODE=off", "CI=1")
	log = &await.Text{}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Log(log)
		}
	})
	deadline := time.Now().Add(2 * time.Minute)
	for !strings.Contains(log.String(), "Server ready") && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // another program's start, which only its output tells
	}
	return "http://127.0.0.1:" + ports[2], "ws://127.0.0.1:" + ports[1], log
}

// TestServerlessOfflineStandsInForAWS checks that a function that serverless-offline runs is invoked as at AWS, and
// receives WebSocket events of the same form there and here.
func TestServerlessOfflineStandsInForAWS(t *testing.T) {
	if !*offlineToo {
		t.Skip("it installs 140 MB: run `make lambda-offline`")
	}
	lambda, sockets, _ := offline(t)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "here", "AWS_SECRET_ACCESS_KEY": "here", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	here, err := filepath.Abs(filepath.Join("offline", "echo.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	chat, err := filepath.Abs(filepath.Join("chat", "index.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, written(t, "listen: 127.0.0.1:0\nroutes:\n  ANY /here/**: {strip: /here, to: fn:echo}\n  ANY /there/**: {strip: /there, to: lambda:far}\n"+
		"  GET /chat: {websocket: {reply: all}, to: fn:chat}\n  GET /far-chat: {websocket: {reply: all}, to: lambda:far-chat}\n"+
		"functions:\n  echo: {run: "+strconv.Quote(here)+patient+"}\n  chat: {run: "+strconv.Quote(chat)+patient+"}\n"+
		"  far: {lambda: weir-dev-echo, region: us-east-1, timeout: 2m, endpoint: '"+lambda+"'}\n  far-chat: {lambda: weir-dev-chat, region: us-east-1, timeout: 2m, endpoint: '"+lambda+"'}\n"))
	for _, request := range []struct{ method, target, body string }{{"GET", "/orders/1?tag=x", ""}, {"POST", "/orders", `{"item":"für uns"}`}} {
		one, other := answered(t, g, request.method, "/here"+request.target, request.body), answered(t, g, request.method, "/there"+request.target, request.body)
		if one != other || !strings.HasPrefix(one, "201 ") {
			t.Errorf("%s %s:\nhere  %s\nthere %s", request.method, request.target, one, other)
		}
	}
	theirs := chatted(t, sockets)
	for _, route := range []string{"/chat", "/far-chat"} {
		if ours := chatted(t, "ws://"+g.Address+route); !slices.Equal(ours, theirs) {
			t.Errorf("%s: a function is told\n%v here\n%v there", route, ours, theirs)
		}
	}
}

// answered returns the part of a response on which both must agree.
func answered(t *testing.T, g *weirtest.Gateway, method, target, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.Address+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(res.StatusCode) + " " + res.Header.Get("X-Method") + " " + strings.Join(res.Header.Values("Set-Cookie"), ";") + " " + text.String()
}

// chatted sends a message that matches no route; serverless-offline would give the message's key where AWS says
// $default. It returns the names of what the function was told, with the values where they are the same everywhere.
func chatted(t *testing.T, url string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"chat"}})
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"text":"greet"}`)); err != nil {
		t.Fatal(err)
	}
	_, text, err := c.Read(ctx)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %s", url, text)
	}
	var told []string
	for name, value := range got {
		switch name {
		case "connectionId", "domainName", "stage": // differ everywhere
			told = append(told, name)
		default:
			one, _ := json.Marshal(value)
			told = append(told, name+"="+string(one))
		}
	}
	slices.Sort(told)
	return told
}
