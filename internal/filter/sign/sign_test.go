package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const functionURL = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws"

func TestHostsTellServiceAndRegion(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		functionURL:          "lambda eu-west-1",
		functionURL + ":443": "lambda eu-west-1",
		"abc123.execute-api.us-gov-west-1.amazonaws.com":  "execute-api us-gov-west-1",
		"ABC123.execute-api.cn-north-1.amazonaws.com.cn":  "execute-api cn-north-1",
		"vpce-1.execute-api.eu-west-1.vpce.amazonaws.com": "execute-api eu-west-1",
		"s-1.sn-2.vpc-lattice-svcs.eu-west-1.on.aws":      "vpc-lattice-svcs eu-west-1",
		"lambda.eu-west-1.amazonaws.com":                  "lambda eu-west-1",
		"lambda-fips.us-east-1.amazonaws.com":             "lambda us-east-1",
		"s3.dualstack.eu-west-1.amazonaws.com":            "s3 eu-west-1",
		"b.s3-fips.dualstack.us-east-1.amazonaws.com":     "s3 us-east-1",
		"dualstack.eu-west-1.amazonaws.com":               "dualstack eu-west-1",
		"bedrock-runtime.eu-west-1.amazonaws.com":         "bedrock eu-west-1",
		"email.eu-west-1.amazonaws.com":                   "ses eu-west-1",
		"lambda.eu-west-1.api.aws":                        "lambda eu-west-1",
		"orders.example.com":                              " ",
		"lambda.eu-west-1.amazonaws.com.example.com":      " ", // somebody else's
		"x.eu-west-1.on.aws.example.com":                  " ",
		"127.0.0.1:8080":                                  " ",
		"":                                                " ",
	} {
		if service, region := placeOf(host); service+" "+region != want {
			t.Errorf("%s is %q %q", host, service, region)
		}
	}
}

func FuzzPlaceOf(f *testing.F) {
	f.Add(functionURL)
	f.Add("a..eu-west-1.amazonaws.com")
	f.Fuzz(func(t *testing.T, host string) {
		if service, region := placeOf(host); (service == "") != (region == "") && region == "" {
			t.Errorf("%q is %q %q", host, service, region)
		}
	})
}

// platform checks signatures as AWS does, and answers.
type platform struct {
	t       *testing.T
	service string
	answers []func(*http.Request) *http.Response // in turn; the last one for all that follow
	asked   atomic.Int64
	last    *http.Request
	body    []byte
}

func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	p.body = nil
	if r.Body != nil {
		var err error
		if p.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	key := sigv4.Key{ID: "AKIDEXAMPLE", Secret: secret.NewValue("hush"), Token: secret.NewValue("a/session+token=")}
	claim, err := sigv4.New(p.service, "eu-west-1", []sigv4.Key{key}).Open(sigv4.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host, Head: exchange.RequestHead(r), Length: r.ContentLength,
	})
	if err == nil {
		err = claim.Confirm(sha256.Sum256(p.body))
	}
	if err != nil {
		p.t.Errorf("the signature: %v", err)
	}
	p.last = r
	n := int(p.asked.Add(1)) - 1
	return p.answers[min(n, len(p.answers)-1)](r), nil
}

func say(status int, body string, fields ...exchange.Field) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		res := exchange.NewResponse(r, status, fields...)
		res.Body = io.NopCloser(strings.NewReader(body))
		return res
	}
}

// lives keeps what filters keep, without sharing it.
func lives(t *testing.T) func(string, func() (any, func(context.Context), error)) (any, error) {
	t.Helper()
	return func(_ string, makeIt func() (any, func(context.Context), error)) (any, error) {
		value, end, err := makeIt()
		if end != nil {
			t.Cleanup(func() { end(context.Background()) })
		}
		return value, err
	}
}

func environment(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "a/session+token=", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
}

func read(t *testing.T, text string) *Config {
	t.Helper()
	var ps doc.Problems
	c, ok := Definition().New().(*Config)
	if !ok {
		t.Fatal("it is no config of ours")
	}
	doc.Decode(doc.Parse("weir.yaml", []byte("sign: "+text), &ps).Get("sign"), c, &ps)
	for _, p := range ps.Sorted() {
		t.Fatal(p)
	}
	return c
}

func built(t *testing.T, text, authority string) filter.Policy {
	t.Helper()
	p, err := Definition().Build(filter.Env{Keep: lives(t), Authority: authority}, read(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func adapted(t *testing.T, text, authority string, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	return built(t, text, authority).Adapt(next)
}

func request(t *testing.T, method, target, body string, length int64) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), length
	}
	r.Host = "shop.dev" // the client's
	r.Header.Set("Authorization", "Bearer of-the-client")
	r.Header.Set("X-Amz-Date", "20200101T000000Z")
	r.Header.Set("X-Amz-Security-Token", "of the client")
	r.Header.Set("X-Amz-Meta-A", " two  words ")
	return exchange.With(r, &exchange.Exchange{ID: "1", Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")}})
}

func TestRequestsAreSignedAsTheyAreSent(t *testing.T) {
	environment(t)
	for name, test := range map[string]struct {
		config, authority, service  string
		method, target, body, query string
		length                      int64
		host                        string
	}{
		"a function URL":         {"aws", functionURL, "lambda", "GET", "/a?b=1", "", "b=1", 0, functionURL},
		"with a body":            {"aws", functionURL, "lambda", "POST", "/a", "hello", "", 5, functionURL},
		"of unknown length":      {"aws", functionURL, "lambda", "POST", "/a", "hello", "", -1, functionURL},
		"encoded":                {"aws", functionURL, "lambda", "GET", "/a%2Fb/%C3%BC%20x/~?q=%2F&a=%20&a=!", "", "q=%2F&a=%20&a=!", 0, functionURL},
		"a plus in the query":    {"aws", functionURL, "lambda", "GET", "/?q=a+b", "", "q=a%20b", 0, functionURL},
		"no value, out of order": {"aws", functionURL, "lambda", "GET", "/?z&b=2&b=1&a", "", "z&b=2&b=1&a", 0, functionURL},
		"API Gateway":            {"aws", "abc.execute-api.eu-west-1.amazonaws.com", "execute-api", "PUT", "/prod/a", "x", "", 1, "abc.execute-api.eu-west-1.amazonaws.com"},
		"a domain of one's own":  {"{ as: aws, service: execute-api, region: eu-west-1 }", "api.example.com:8443", "execute-api", "GET", "/", "", "", 0, "api.example.com:8443"},
		"another host":           {"{ as: aws, host: " + functionURL + " }", "proxy.internal:3128", "lambda", "DELETE", "/", "", "", 0, functionURL},
	} {
		t.Run(name, func(t *testing.T) {
			p := &platform{t: t, service: test.service, answers: []func(*http.Request) *http.Response{say(200, "ok")}}
			res, err := adapted(t, test.config, test.authority, p).RoundTrip(request(t, test.method, test.target, test.body, test.length))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if p.last.Host != test.host || p.last.URL.RawQuery != test.query || string(p.body) != test.body || p.last.ContentLength != int64(len(test.body)) {
				t.Errorf("sent %s?%s %q (%d)", p.last.Host, p.last.URL.RawQuery, p.body, p.last.ContentLength)
			}
			rehearsed := request(t, test.method, test.target, test.body, test.length)
			adds, err := built(t, test.config, test.authority).Rehearse(rehearsed)
			if err != nil || rehearsed.Host != test.host || rehearsed.URL.RawQuery != test.query || strings.Join(adds, "; ") != "a signature for "+test.service+" in eu-west-1" {
				t.Errorf("it rehearses %s at %s with %v, %v", rehearsed.URL, rehearsed.Host, adds, err)
			}
			if got := p.last.Header.Values("X-Amz-Date"); len(got) != 1 || got[0] == "20200101T000000Z" || !strings.Contains(p.last.Header.Get("Authorization"), "x-amz-meta-a") {
				t.Errorf("%v %v", got, p.last.Header)
			}
		})
	}
}

// Its body is not read, so that it streams.
func TestWhatIsTakenUnsignedStreams(t *testing.T) {
	environment(t)
	sent := false
	next := roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = true
		if r.Header.Get("X-Amz-Content-Sha256") != aws.Unsigned {
			t.Errorf("%v", r.Header)
		}
		return say(200, "")(r), nil
	})
	r := request(t, "PUT", "/key", "x", 1)
	r.Body = unread{t}
	if _, err := adapted(t, "aws", "bucket.s3.eu-west-1.amazonaws.com", next).RoundTrip(r); err != nil || !sent { //nolint:bodyclose // there is none
		t.Errorf("%v %v", sent, err)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("it was read"); return 0, io.EOF }
func (unread) Close() error               { return nil }

func TestBodiesAreBounded(t *testing.T) {
	environment(t)
	for name, length := range map[string]int64{"known": 11, "unknown": -1} {
		p := &platform{t: t, service: "lambda", answers: []func(*http.Request) *http.Response{say(200, "")}}
		body := strings.Repeat("x", 11)
		_, err := adapted(t, "{ as: aws, body: 10B }", functionURL, p).RoundTrip(request(t, "POST", "/", body, length)) //nolint:bodyclose // there is none
		if f := fault.From(err); f == nil || f.Status != 413 || !strings.Contains(f.Detail, "10 bytes") || p.asked.Load() != 0 {
			t.Errorf("%s: %v, asked %d times", name, err, p.asked.Load())
		}
	}
}

func TestWhatAWSSaysOfTheSignerIsNotToldToClients(t *testing.T) {
	environment(t)
	kind := func(name string) exchange.Field { return exchange.Field{Name: "X-Amzn-Errortype", Value: name} }
	forbidden := say(403, `{"Message":"of account 123"}`, kind("AccessDeniedException:http://internal.amazon.com/"))
	expired := say(403, `{"message":"expired"}`, kind("ExpiredTokenException"))
	for name, test := range map[string]struct {
		answers     []func(*http.Request) *http.Response
		others      bool // there are other credentials
		status      int
		asked       int64
		code, words string
	}{
		"it may not":                   {[]func(*http.Request) *http.Response{forbidden}, true, 0, 1, fault.FunctionRefused.Code, "of account 123"},
		"the function's own 403":       {[]func(*http.Request) *http.Response{say(403, "no")}, true, 403, 1, "", ""},
		"expired, and there are newer": {[]func(*http.Request) *http.Response{expired, say(200, "ok")}, true, 200, 2, "", ""},
		"expired, and still so":        {[]func(*http.Request) *http.Response{expired}, true, 0, 2, fault.FunctionRefused.Code, "ExpiredTokenException"},
		"expired, and no others":       {[]func(*http.Request) *http.Response{expired}, false, 0, 1, fault.FunctionRefused.Code, "ExpiredTokenException"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &platform{t: t, service: "lambda", answers: test.answers}
			down := atomic.Bool{}
			s := &signer{config: read(t, "aws"), host: functionURL, service: "lambda", region: "eu-west-1", signer: aws.NewSigner("lambda"), room: room.New(100)}
			s.credentials = cloud.Keep(func(context.Context) (sdk.Credentials, time.Time, error) {
				if down.Load() {
					return sdk.Credentials{}, time.Time{}, errors.New("down")
				}
				return sdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "hush", SessionToken: "a/session+token="}, time.Time{}, nil
			}, cloud.KeptOptions{Calm: time.Nanosecond})
			defer s.credentials.Close()
			if _, err := s.credentials.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			down.Store(!test.others)
			res, err := s.adapt(p).RoundTrip(request(t, "POST", "/", "hello", 5))
			f := fault.From(err)
			switch {
			case err == nil && res.StatusCode != test.status:
				t.Errorf("got %d", res.StatusCode)
			case err != nil && (f == nil || f.Code != test.code || !strings.Contains(f.Operator(), test.words) || strings.Contains(f.Detail, "123")):
				t.Errorf("got %v", err)
			}
			if p.asked.Load() != test.asked || !bytes.Equal(p.body, []byte("hello")) || s.room.Taken() != 0 {
				t.Errorf("asked %d times with %q; %d bytes are held", p.asked.Load(), p.body, s.room.Taken())
			}
		})
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	p := &platform{t: t, service: "lambda", answers: []func(*http.Request) *http.Response{say(200, "")}}
	_, err := adapted(t, "aws", functionURL, p).RoundTrip(request(t, "POST", "/", "x", 1)) //nolint:bodyclose // there is none
	if f := fault.From(err); f == nil || f.Code != fault.CredentialsMissing.Code || p.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, p.asked.Load())
	}
}

func TestWhatIsNotKnownIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, authority := range []string{"orders.example.com", ""} {
		if _, err := Definition().Build(filter.Env{Keep: lives(t), Authority: authority}, read(t, "aws")); err == nil || !strings.Contains(err.Error(), "service: lambda, region:") {
			t.Errorf("%q: %v", authority, err)
		}
	}
	for text, want := range map[string]string{
		"gcp": "no way to sign", "{ as: aws, region: ireland }": "no region", "{ as: aws, service: 'a b' }": "no name of a service",
		"{ as: aws, body: 1GiB }": "is not from 1", "{ as: aws, host: 'a b' }": "cannot be sent", "{ region: eu-west-1 }": "as",
	} {
		var ps doc.Problems
		c := defaults()
		doc.Decode(doc.Parse("weir.yaml", []byte("sign: "+text), &ps).Get("sign"), &c, &ps)
		if !ps.Failed() || !strings.Contains(ps.Sorted()[0].String(), want) {
			t.Errorf("%s: %v", text, ps.Sorted())
		}
	}
}
