package lambdaapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// chats serves the function in the folder chat behind WebSockets: here, and through the API of AWS Lambda, for which
// another gateway stands in.
func chats(t *testing.T) (here, there *weirtest.Gateway) {
	t.Helper()
	folder, err := filepath.Abs("chat/index.mjs")
	if err != nil {
		t.Fatal(err)
	}
	route := "routes:\n  GET /chat: {websocket: {select: $request.body.action, routes: {fail: none}, reply: all, stage: prod}, to: '"
	here = weirtest.Start(t, written(t, "listen: localhost:0\nlambda_api: "+keyed(t)+"\n"+route+"fn:chat'}\nfunctions:\n  chat: {run: "+strconv.Quote(folder)+patient+"}\n"))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": temporaryID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	there = weirtest.Start(t, written(t, "listen: localhost:0\nlambda_api: "+keyed(t)+"\n"+route+"lambda:far'}\nfunctions:\n  far: {lambda: chat, region: "+region+
		", timeout: 2m, endpoint: 'http://"+here.Lambda+"'}\n"))
	return here, there
}

// hear reads a message as JSON.
func hear(t *testing.T, c *websocket.Conn) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		return map[string]any{"text": string(text)}
	}
	return got
}

func manage(t *testing.T, g *weirtest.Gateway, by who, command, id, data string) answer {
	t.Helper()
	request := map[string]string{"command": command, "id": id}
	if data != "" {
		request["data"] = data
	}
	return javaScript.ask(t, question{Op: "manage", Endpoint: "http://" + g.Lambda + "/prod", Region: region, Who: by, Request: request})
}

func TestFunctionsServeWebSockets(t *testing.T) {
	here, there := chats(t)
	for name, g := range map[string]*weirtest.Gateway{"here": here, "by AWS's API": there} {
		t.Run(name, func(t *testing.T) {
			_, res, err := websocket.Dial(t.Context(), "ws://"+g.Address+"/chat?token=wrong", nil)
			if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
				t.Fatalf("a wrong token: %v, %v", res, err)
			}
			c, _, err := websocket.Dial(t.Context(), "ws://"+g.Address+"/chat", &websocket.DialOptions{Subprotocols: []string{"other", "chat"}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if c.Subprotocol() != "chat" {
				t.Errorf("the subprotocol is %q", c.Subprotocol())
			}
			say := func(kind websocket.MessageType, text string) map[string]any {
				t.Helper()
				if err := c.Write(t.Context(), kind, []byte(text)); err != nil {
					t.Fatal(err)
				}
				return hear(t, c)
			}
			told := say(websocket.MessageText, `{"action":"greet"}`)
			id, _ := told["connectionId"].(string)
			if id == "" || told["routeKey"] != "$default" || told["stage"] != "prod" || told["domainName"] != g.Address || told["ip"] != "127.0.0.1" || told["body"] != `{"action":"greet"}` {
				t.Errorf("it was told %v", told)
			}
			if got := say(websocket.MessageBinary, "\xff"); got["body"] != "/w==" || got["encoded"] != true {
				t.Errorf("bytes: %v", got)
			}
			if got := say(websocket.MessageText, `{"action":"fail"}`); got["message"] != "Forbidden" {
				t.Errorf("a key of nobody: %v", got)
			}
			if got := say(websocket.MessageText, "throw"); got["message"] != "Internal server error" {
				t.Errorf("one that fails: %v", got)
			}
			managed(t, g, c, id)
			ended(t, g, here, c, id)
		})
	}
}

// managed sends the requests that AWS's own client sends about a connection.
func managed(t *testing.T, g *weirtest.Gateway, c *websocket.Conn, id string) {
	t.Helper()
	if a := manage(t, g, holder(), "post", id, "für dich"); a.Status != 200 {
		t.Errorf("post: %+v", a)
	}
	if got := hear(t, c); got["text"] != "für dich" {
		t.Errorf("heard %v", got)
	}
	if a := manage(t, g, holder(), "describe", id, ""); a.Status != 200 || a.Payload != "127.0.0.1" || len(a.Names) != 2 {
		t.Errorf("describe: %+v", a)
	}
	if a := manage(t, g, holder(), "post", id, strings.Repeat("x", 129<<10)); a.Status != 413 || a.Error != "PayloadTooLargeException" {
		t.Errorf("a message too large: %+v", a)
	}
	if a := manage(t, g, who{ID: keyID, Secret: "wrong"}, "post", id, "x"); a.Status != 403 {
		t.Errorf("a wrong signature: %+v", a)
	}
	if a := manage(t, g, holder(), "post", "nobody", "x"); a.Status != 410 || a.Error != "GoneException" {
		t.Errorf("nobody: %+v", a)
	}
	big := strings.Repeat("x", 100<<10) // in four frames
	c.SetReadLimit(1 << 20)
	if a := manage(t, g, holder(), "post", id, big); a.Status != 200 {
		t.Errorf("a large message: %+v", a)
	}
	if got := hear(t, c); got["text"] != big {
		t.Error("a large message has not come as it was sent")
	}
}

// ended closes a connection from the function's side.
func ended(t *testing.T, g, runs *weirtest.Gateway, c *websocket.Conn, id string) {
	t.Helper()
	if a := manage(t, g, holder(), "close", id, ""); a.Status != 204 {
		t.Errorf("close: %+v", a)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var closed websocket.CloseError
	if _, _, err := c.Read(ctx); !errors.As(err, &closed) || closed.Code != websocket.StatusNormalClosure {
		t.Errorf("it ends with %v", err)
	}
	await.That(t, "the connection is gone", func() bool { return manage(t, g, holder(), "post", id, "x").Status == 410 })
	await.That(t, "the function was told of it", func() bool { return strings.Contains(runs.Log(), "left "+id+" 1000") })
}
