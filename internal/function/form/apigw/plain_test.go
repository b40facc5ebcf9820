package apigw

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// FuzzPlainAnswersAreReadAlike: what readPlain takes, encoding/json takes for the same.
func FuzzPlainAnswersAreReadAlike(f *testing.F) {
	for _, seed := range []string{
		`{"statusCode":200,"headers":{"a":"b","A":"c","n":7,"t":true,"l":[]},"body":"x","cookies":["a=1","b=2"],"isBase64Encoded":false}`,
		`{"statusCode":"200","headers":null,"multiValueHeaders":null,"body":null,"cookies":null,"isBase64Encoded":null}`,
		`{"statusCode":null}`, `{"StatusCode":200}`, `{"statusCode":200,"statusCode":201}`, `{"statusCode":200,"headers":{"a":"b","a":"c"}}`,
		`{"body":"\u00e4\ud800\n"}`, "{\"body\":\"\xff\"}", `{"cookies":[null]}`, `{"isBase64Encoded":1}`, `[1]`, `"x"`, `7`, ` {} `, `{"statusCode":01}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		payload = bytes.TrimSpace(payload)
		got, plain := readPlain(payload)
		if !plain {
			return
		}
		want, err := read(payload)
		if err != nil || !same(got, want) {
			t.Errorf("%q is read as %+v, and by encoding/json as %+v, %v", payload, got, want, err)
		}
	})
}

func same(a, b *answer) bool {
	if a == nil || b == nil {
		return a == b
	}
	if (a.body == nil) != (b.body == nil) || a.body != nil && *a.body != *b.body {
		return false
	}
	return (a.status == nil) == (b.status == nil) && bytes.Equal(a.status, b.status) && a.isEncoded == b.isEncoded &&
		slices.Equal(a.headers, b.headers) && slices.Equal(a.cookies, b.cookies)
}

func TestOddAnswersAreLeftToEncodingJSON(t *testing.T) {
	for text, want := range map[string]bool{
		`{"statusCode":200,"body":"x","other":{}}`: true, `[1]`: true,
		`{"StatusCode":200}`: true, `{"body":"a","body":"b"}`: false, `{"body":7}`: false, `{"cookies":[1]}`: false, `{`: false,
	} {
		if _, plain := readPlain([]byte(text)); plain != want {
			t.Errorf("%s: got %v", text, plain)
		}
	}
}

// FuzzMembersAreThoseOfEncodingJSON: they have the same names and values.
func FuzzMembersAreThoseOfEncodingJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{ "a" : 1 , "A":"\"}" , "b\u0061":[{"x":"]"},{}],"c":{"d":[]} }`, `{"a":1,"a":null}`, `{"":-1.5e3,"t":true}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		payload = bytes.TrimSpace(payload)
		if !json.Valid(payload) || payload[0] != '{' {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		got := maps.Collect(members(payload))
		if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s has the members %s, want %s", payload, got, want)
		}
	})
}
