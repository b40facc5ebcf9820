package lambdaapi

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/test/weirtest"
)

// sent is a request as a platform received it.
type sent struct {
	method, target, host, body string
	head                       http.Header
}

// recorder stands in for a platform.
type recorder struct {
	*httptest.Server

	mu  sync.Mutex
	all []sent
}

func record(t *testing.T, answer string) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.all = append(r.all, sent{req.Method, req.RequestURI, req.Host, string(body), req.Header.Clone()})
		r.mu.Unlock()
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) sent() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// aws4Agrees has aws4 sign the same request again: with the same time, header fields and body it must produce the
// same signature.
func aws4Agrees(t *testing.T, s sent, service string, by who) {
	t.Helper()
	authorization := s.head.Get("Authorization")
	_, list, ok := strings.Cut(authorization, "SignedHeaders=")
	names, _, _ := strings.Cut(list, ",")
	if !ok || !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential="+by.ID+"/") {
		t.Fatalf("it is not signed: %q", authorization)
	}
	head := map[string]string{}
	for name := range strings.SplitSeq(names, ";") {
		if name == "host" {
			head["Host"] = s.host
			continue
		}
		value := s.head.Get(name)
		if name == "content-length" {
			value = strconv.Itoa(len(s.body))
		}
		head[http.CanonicalHeaderKey(name)] = value
	}
	sum := sha256.Sum256([]byte(s.body))
	if told := s.head.Get("X-Amz-Content-Sha256"); told != "" && told != hex.EncodeToString(sum[:]) {
		t.Errorf("the hash of the body is %s", told)
	}
	ignored := map[string]bool{} // aws4 would sign them, but that is optional
	for _, name := range []string{"content-length", "content-type"} {
		if !strings.Contains(names, name) {
			ignored[name] = true
		}
	}
	request := map[string]any{"service": service, "method": s.method, "path": s.target, "host": s.host, "headers": head, "body": s.body, "extraHeadersToIgnore": ignored}
	if got := javaScript.ask(t, question{Op: "judge", Region: region, Who: by, Request: request}); got.Payload != authorization {
		t.Errorf("%s %s:\naws4 signs %s\nWeir signed %s", s.method, s.target, got.Payload, authorization)
	}
}

func TestAWS4ComesToTheSameSignatures(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": temporaryID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	by := who{ID: temporaryID, Secret: secret, Token: token}
	api, url, gateway := record(t, `{"statusCode":200,"body":"ok"}`), record(t, "ok"), record(t, "ok")
	const functionURL, execute = "abcdefghijklmnopqrstuvwxyz012345.lambda-url." + region + ".on.aws", "abc123.execute-api." + region + ".amazonaws.com"
	g := weirtest.Start(t, written(t, `listen: 127.0.0.1:0
routes:
  ANY /name: far
  ANY /arn: far-arn
  ANY /async: far-async
  ANY /url/**: {sign: {as: aws, host: `+functionURL+`}, strip: /url, encoded_slash: true, to: `+url.URL+`}
  ANY /gateway/**: {sign: {as: aws, host: `+execute+`}, to: `+gateway.URL+`}
functions:
  far: {lambda: "orders:live", region: `+region+`, endpoint: "`+api.URL+`"}
  far-arn: {lambda: "arn:aws:lambda:`+region+`:123456789012:function:orders:$LATEST", endpoint: "`+api.URL+`"}
  far-async: {lambda: orders, mode: async, region: `+region+`, endpoint: "`+api.URL+`"}
`))
	for _, target := range []string{"GET /name", "POST /arn", "PUT /async", "GET /url/", "GET /url/a%2Fb/%C3%BC%20x/~?q=%2F&b=2&b=1&flag&s=a+b", "POST /url/orders", "DELETE /gateway/prod/orders/1", "PATCH /gateway/prod/*"} {
		method, path, _ := strings.Cut(target, " ")
		body := ""
		if method != http.MethodGet && method != http.MethodDelete {
			body = `{"item":"für uns"}`
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.Address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer of-the-client")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	judged := 0
	for r, service := range map[*recorder]string{api: "lambda", url: "lambda", gateway: "execute-api"} {
		for _, s := range r.sent() {
			aws4Agrees(t, s, service, by)
			judged++
		}
	}
	if judged != 8 {
		t.Errorf("%d requests were judged", judged)
	}
	for _, s := range url.sent() {
		if s.host != functionURL {
			t.Errorf("the host is %s", s.host)
		}
	}
}
