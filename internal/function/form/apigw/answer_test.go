package apigw_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

// asked is what the answers answer.
var asked = &http.Request{Method: http.MethodGet}

func TestAnswersBecomeResponses(t *testing.T) {
	tests := []struct {
		name, payload string
		status        int
		header        http.Header
		body          string
	}{
		{"all fields", `{"statusCode":201,"headers":{"content-type":"text/plain","X-N":7,"x-b":true},"body":"hi","cookies":["a=1; Path=/","b=2"]}`, 201,
			http.Header{"Content-Type": {"text/plain"}, "X-N": {"7"}, "X-B": {"true"}, "Set-Cookie": {"a=1; Path=/", "b=2"}, "Content-Length": {"2"}}, "hi"},
		{"binary", `{"statusCode":200,"body":"AP8B","isBase64Encoded":true}`, 200, http.Header{"Content-Length": {"3"}}, "\x00\xff\x01"},
		{"streamed, and awaited whole", `{"statusCode":202,"headers":{"x-a":"1"}}` + strings.Repeat("\x00", 8) + " body\x00 ", 202, http.Header{"X-A": {"1"}}, " body\x00 "},
		{"status as text", `{"statusCode":"404"}`, 404, http.Header{"Content-Length": {"0"}}, ""},
		{"no content", `{"statusCode":204,"body":"ignored"}`, 204, http.Header{}, ""},
		{"framing is ours", `{"statusCode":200,"headers":{"Content-Length":"99","Connection":"close","Transfer-Encoding":"chunked"},"body":"x"}`, 200, http.Header{"Content-Length": {"1"}}, "x"},
		{"object without statusCode", `{"hello":"world"}`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"17"}}, `{"hello":"world"}`},
		{"object with fields of another meaning", `{"body":{"a":1}}`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"16"}}, `{"body":{"a":1}}`},
		{"a member of another spelling", `{"StatusCode":418}`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"18"}}, `{"StatusCode":418}`},
		{"and one beside ours", `{"statusCode":201,"StatusCode":418,"BODY":"no","body":"hi"}`, 201, http.Header{"Content-Length": {"2"}}, "hi"},
		{"a member twice", `{"statusCode":418,"headers":{"x-a":"1"},"body":"no","headers":{"x-b":"2"},"statusCode":201,"body":"hi"}`, 201, http.Header{"X-B": {"2"}, "Content-Length": {"2"}}, "hi"},
		{"list", ` [1,2] `, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"5"}}, `[1,2]`},
		{"text", `"hi"`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"4"}}, `"hi"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res, err := apigw.V2.Decode(asked, []byte(test.payload))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status || string(body) != test.body || res.ContentLength != int64(len(test.body)) && res.ContentLength != -1 {
				t.Errorf("got %d %q (length %d), want %d %q", res.StatusCode, body, res.ContentLength, test.status, test.body)
			}
			sameHeader(t, res.Header, test.header)
		})
	}
}

func TestAnswersOfOtherFormats(t *testing.T) {
	tests := []struct {
		format        apigw.Format
		name, payload string
		status        int
		header        http.Header
		body          string
	}{
		{apigw.V1, "lists of values win", `{"statusCode":201,"headers":{"x-a":"1","x-b":"2"},"multiValueHeaders":{"X-A":["3","4"],"Set-Cookie":["a=1","b=2"],"Connection":["close"]},"body":"hi"}`, 201,
			http.Header{"X-A": {"3", "4"}, "X-B": {"2"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"2"}}, "hi"},
		{apigw.ALB, "a description", `{"statusCode":404,"statusDescription":"404 Not Found","headers":{"content-type":"text/plain"},"body":"AP8B","isBase64Encoded":true}`, 404,
			http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"3"}}, "\x00\xff\x01"},
		{apigw.ALBMulti, "lists", `{"statusCode":200,"multiValueHeaders":{"x-a":["1","2"]}}`, 200, http.Header{"X-A": {"1", "2"}, "Content-Length": {"0"}}, ""},
		{apigw.Raw, "whatever it is", `{"statusCode":404}`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"18"}}, `{"statusCode":404}`},
	}
	for _, test := range tests {
		t.Run(string(test.format)+" "+test.name, func(t *testing.T) {
			res, err := test.format.Decode(asked, []byte(test.payload))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || string(body) != test.body {
				t.Errorf("got %d %q, %v", res.StatusCode, body, err)
			}
			sameHeader(t, res.Header, test.header)
		})
	}
	for _, payload := range []string{``, `[]`, `"hi"`, `{"hello":"world"}`, `{"statusCode":200,"multiValueHeaders":{"a":["x\r\ny: z"]}}`, `{"statusCode":200,"multiValueHeaders":{"a":"x"}}`, `{"StatusCode":200}`} {
		for _, format := range []apigw.Format{apigw.V1, apigw.ALB, apigw.ALBMulti} {
			if res, err := format.Decode(asked, []byte(payload)); err == nil {
				t.Errorf("%s: %s became %d %v", format, payload, res.StatusCode, res.Header)
			}
		}
	}
}

func sameHeader(t *testing.T, got, want http.Header) {
	t.Helper()
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			t.Errorf("%s is %q, want %q", name, got[name], values)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("there is a field %s: %q", name, got[name])
		}
	}
}

func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	for _, payload := range []string{
		``, `not json`, `{"statusCode":`, `{"statusCode":99}`, `{"statusCode":101}`, `{"statusCode":600}`, `{"statusCode":{}}`,
		`{"statusCode":200,"body":{"a":1}}`, `{"statusCode":200,"body":"%%","isBase64Encoded":true}`,
		`{"statusCode":200,"headers":{"a b":"x"}}`, `{"statusCode":200,"headers":{"a":"x\r\ny: z"}}`, `{"statusCode":200,"headers":{"a":["x"]}}`,
		`{"statusCode":200,"headers":{"a":null}}`, `{"statusCode":200,"cookies":["a=1\r\nb: c"]}`, `{"statusCode":200,"headers":[]}`,
	} {
		if res, err := apigw.V2.Decode(asked, []byte(payload)); err == nil {
			t.Errorf("%s became %d %v", payload, res.StatusCode, res.Header)
		}
	}
}

func TestAPreludeIsReadHoweverItArrives(t *testing.T) {
	stream := `{"statusCode":201,"headers":{"Content-Type":"text/event-stream"},"cookies":["a=1"]}` + strings.Repeat("\x00", 8) + "body\x00more"
	for name, reader := range map[string]io.Reader{
		"at once": strings.NewReader(stream), "by bytes": iotest.OneByteReader(strings.NewReader(stream)), "with its end": iotest.DataErrReader(strings.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			res, err := apigw.DecodeStream(asked, io.NopCloser(reader))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != "body\x00more" || res.StatusCode != http.StatusCreated || res.ContentLength != -1 {
				t.Errorf("got %d %q (length %d), %v", res.StatusCode, body, res.ContentLength, err)
			}
			sameHeader(t, res.Header, http.Header{"Content-Type": {"text/event-stream"}, "Set-Cookie": {"a=1"}})
		})
	}
}

func TestAPreludeDoesNotWaitForTheBody(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, `{}`)
		_, _ = w.Write(make([]byte, 8)) // and then nothing, until the test ends
	}()
	res, err := apigw.DecodeStream(asked, r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v; want 200 by default", res, err)
	}
	_ = w.Close()
}

func TestAStreamWithoutAProperPreludeIsRefused(t *testing.T) {
	for name, stream := range map[string]string{
		"empty": "", "no end": `{"statusCode":200}`, "seven NULs": `{}` + strings.Repeat("\x00", 7),
		"too long": `{"headers":{"a":"` + strings.Repeat("x", 16<<10) + `"}}` + strings.Repeat("\x00", 8), "no JSON": "x" + strings.Repeat("\x00", 8),
	} {
		if _, err := apigw.DecodeStream(asked, io.NopCloser(strings.NewReader(stream))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"statusCode":200,"headers":{"a":"b"},"body":"x"}`, `{"statusCode":"200"}`, `[]`, `null`, `{"statusCode":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		res, err := apigw.V2.Decode(asked, payload)
		if err != nil {
			return
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || int64(len(body)) != res.ContentLength && res.ContentLength != -1 || res.StatusCode < 200 || res.StatusCode > 599 {
			t.Errorf("status %d, length %d for %d bytes, %v", res.StatusCode, res.ContentLength, len(body), err)
		}
	})
}

func FuzzDecodeStream(f *testing.F) {
	f.Add([]byte(`{"statusCode":200}` + "\x00\x00\x00\x00\x00\x00\x00\x00body"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		res, err := apigw.DecodeStream(asked, io.NopCloser(strings.NewReader(string(stream))))
		if err != nil {
			return
		}
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Error(err)
		}
	})
}

// Several spellings of one name are how functions used to set several cookies.
func TestSpellingsOfOneFieldHaveAnOrder(t *testing.T) {
	const payload = `{"statusCode":200,"headers":{"set-cookie":"b=2","Set-Cookie":"a=1","content-type":"text/b","Content-Type":"text/a"},"cookies":["c=3"]}`
	for range 50 { // the order of a map would be another each time
		res, err := apigw.V2.Decode(asked, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=2", "c=3"}) {
			t.Fatalf("the cookies are %q", got)
		}
		if got := res.Header["Content-Type"]; !slices.Equal(got, []string{"text/b"}) {
			t.Fatalf("the type is %q", got)
		}
	}
}
