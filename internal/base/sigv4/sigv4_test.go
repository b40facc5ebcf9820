package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
)

const (
	exampleID     = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	exampleDate   = "20150830T123600Z"
)

// verifier is one of the moment of AWS's examples, moved by later.
func verifier(t testing.TB, service string, later time.Duration, more ...Key) *Verifier {
	t.Helper()
	at, err := time.Parse(timeForm, exampleDate)
	if err != nil {
		t.Fatal(err)
	}
	v := New(service, "us-east-1", append(more, Key{ID: exampleID, Secret: secret.NewValue(exampleSecret)}))
	v.now = func() time.Time { return at.Add(later) }
	return v
}

// request reads a request written as
//
//	GET /path?query
//	Name:value
//
//	body
func request(text string) (r Request, body []byte) {
	head, rest, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	path, query, _ := strings.Cut(target, "?")
	fields := exchange.MapHead(http.Header{})
	r = Request{Method: method, Path: path, Query: query, Head: fields, Length: int64(len(rest))}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		fields.Add(name, value)
	}
	return r, []byte(rest)
}

func (v *Verifier) check(r Request, body []byte) error {
	claim, err := v.Open(r)
	if err != nil {
		return err
	}
	return claim.Confirm(sha256.Sum256(body))
}

// The signatures are those of AWS's Signature Version 4 test suite and of its manual.
func TestTheSignaturesOfAWSsOwnTestSuiteAreRight(t *testing.T) {
	const scope = "Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
	const date = "\nX-Amz-Date:20150830T123600Z\n"
	tests := map[string]string{
		"get-vanilla": "GET /\nHost:example.amazonaws.com" + date + scope +
			"host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		"get-vanilla-query-order-key-case": "GET /?Param2=value2&Param1=value1\nHost:example.amazonaws.com" + date + scope +
			"host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		"post-vanilla": "POST /\nHost:example.amazonaws.com" + date + scope +
			"host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
		"post-header-key-sort": "POST /\nHost:example.amazonaws.com\nMy-Header1:value1" + date + scope +
			"host;my-header1;x-amz-date, Signature=c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
		"post-x-www-form-urlencoded": "POST /\nContent-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com" + date + scope +
			"content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a\n\nParam1=value1",
	}
	for name, text := range tests {
		r, body := request(text)
		if err := verifier(t, "service", 0).check(r, body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, body := request("GET /?Action=ListUsers&Version=2010-05-08\nHost:iam.amazonaws.com\nContent-Type:application/x-www-form-urlencoded; charset=utf-8" + date +
		"Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	if err := verifier(t, "iam", 0).check(r, body); err != nil {
		t.Errorf("the manual's: %v", err)
	}
}

// sign signs r in its Authorization field, after change has changed what is signed.
func sign(r *Request, body []byte, headers string, change func(*signature)) {
	s := &signature{keyID: exampleID, day: "20150830", region: "us-east-1", service: "lambda", date: exampleDate, headers: strings.Split(headers, ";")}
	change(s)
	r.Head.Set("X-Amz-Date", s.date)
	digest := sha256.Sum256(body)
	told := hex.EncodeToString(digest[:])
	if declared := r.Head.Get("X-Amz-Content-Sha256"); declared != "" {
		told = declared // right or not: it is what AWS's clients sign
	}
	r.Head.Set("Authorization", algorithm+" Credential="+s.keyID+"/"+s.scope()+", SignedHeaders="+headers+", Signature="+s.sign(*r, told))
}

func (s *signature) sign(r Request, digest string) string {
	signed := sha256.Sum256([]byte(s.canonical(r, digest)))
	return hex.EncodeToString(mac(s.signingKey(exampleSecret), strings.Join([]string{algorithm, s.date, s.scope(), hex.EncodeToString(signed[:])}, "\n")))
}

func invocation() (Request, []byte) {
	return request("POST /2015-03-31/functions/arn%3Aaws%3Alambda/invocations?Qualifier=%24LATEST\nHost:127.0.0.1:9001\nX-Amz-Invocation-Type:Event\nUser-Agent:sdk\n\n{}")
}

const headers = "host;x-amz-date;x-amz-invocation-type"

func unchanged(*signature) {}

func TestWhatIsNotAsItWasSignedIsRefused(t *testing.T) {
	change := func(f func(r *Request, body *[]byte)) func(*Request, *[]byte) { return f }
	tests := map[string]struct {
		change func(r *Request, body *[]byte)
		code   string
		text   string
	}{
		"nothing":               {change(func(*Request, *[]byte) {}), "", ""},
		"a field that is free":  {change(func(r *Request, _ *[]byte) { r.Head.Set("User-Agent", "another") }), "", ""},
		"the body":              {change(func(_ *Request, body *[]byte) { *body = []byte("{ }") }), InvalidSignature, "does not match"},
		"the method":            {change(func(r *Request, _ *[]byte) { r.Method = "PUT" }), InvalidSignature, "does not match"},
		"the path":              {change(func(r *Request, _ *[]byte) { r.Path += "s" }), InvalidSignature, "does not match"},
		"the path's encoding":   {change(func(r *Request, _ *[]byte) { r.Path = strings.ReplaceAll(r.Path, "%3A", ":") }), InvalidSignature, "does not match"},
		"the query":             {change(func(r *Request, _ *[]byte) { r.Query += "1" }), InvalidSignature, "does not match"},
		"the query's encoding":  {change(func(r *Request, _ *[]byte) { r.Query = "Qualifier=$LATEST" }), "", ""}, // it means the same
		"the host":              {change(func(r *Request, _ *[]byte) { r.Host = "127.0.0.1:9002" }), InvalidSignature, "does not match"},
		"a field":               {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Invocation-Type", "DryRun") }), InvalidSignature, "does not match"},
		"a field, twice":        {change(func(r *Request, _ *[]byte) { r.Head.Add("X-Amz-Invocation-Type", "DryRun") }), InvalidSignature, "does not match"},
		"a field is gone":       {change(func(r *Request, _ *[]byte) { r.Head.Del("X-Amz-Invocation-Type") }), InvalidSignature, "is missing"},
		"a field that steers":   {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Log-Type", "Tail") }), InvalidSignature, "'x-amz-log-type' must be"},
		"the digest":            {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Content-Sha256", "x") }), InvalidSignature, "must be a 'SignedHeader'"},
		"a token":               {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Security-Token", "x") }), InvalidSignature, "must be a 'SignedHeader'"},
		"the date":              {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Date", "20150830T123601Z") }), InvalidSignature, "does not match"},
		"another day":           {change(func(r *Request, _ *[]byte) { r.Head.Set("X-Amz-Date", "20150831T123600Z") }), InvalidSignature, "Date in Credential scope"},
		"no date":               {change(func(r *Request, _ *[]byte) { r.Head.Del("X-Amz-Date") }), Incomplete, "'Date' header"},
		"no signature":          {change(func(r *Request, _ *[]byte) { r.Head.Del("Authorization") }), MissingToken, "Missing Authentication Token"},
		"two signatures":        {change(func(r *Request, _ *[]byte) { r.Head.Add("Authorization", "x") }), Incomplete, "more than once"},
		"one in the query, too": {change(func(r *Request, _ *[]byte) { r.Query += "&X-Amz-Signature=00" }), Incomplete, "more than once"},
		"another algorithm": {change(func(r *Request, _ *[]byte) {
			r.Head.Set("Authorization", strings.Replace(r.Head.Get("Authorization"), "HMAC-SHA256", "ECDSA-P256-SHA256", 1))
		}), Incomplete, "Unsupported AWS 'algorithm'"},
		"a password": {change(func(r *Request, _ *[]byte) { r.Head.Set("Authorization", "Basic YTpi") }), Incomplete, "Unsupported AWS 'algorithm'"},
	}
	for name, test := range tests {
		r, body := invocation()
		sign(&r, body, headers, unchanged)
		test.change(&r, &body)
		wantRefusal(t, name, verifier(t, "lambda", 0).check(r, body), test.code, test.text)
	}
}

func wantRefusal(t *testing.T, name string, err error, code, text string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, text) {
		t.Errorf("%s: got %v, want %s with %q", name, err, code, text)
	}
	if err != nil && strings.Contains(err.Error(), exampleSecret) {
		t.Errorf("%s: the secret is told: %v", name, err)
	}
}

func TestASignatureIsForOneKeyOneServiceAndOneTime(t *testing.T) {
	temporary := Key{ID: "ASIA", Secret: secret.NewValue(exampleSecret), Token: secret.NewValue("the token")}
	signed := headers + ";x-amz-security-token"
	tests := map[string]struct {
		later   time.Duration
		headers string
		token   string
		change  func(*signature)
		code    string
		text    string
	}{
		"after 5 minutes":           {5 * time.Minute, headers, "", unchanged, "", ""},
		"after more":                {5*time.Minute + time.Second, headers, "", unchanged, InvalidSignature, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		"before 5 minutes":          {-5 * time.Minute, headers, "", unchanged, "", ""},
		"before more":               {-5*time.Minute - time.Second, headers, "", unchanged, InvalidSignature, "Signature not yet current"},
		"another region":            {0, headers, "", func(s *signature) { s.region = "eu-west-1" }, InvalidSignature, "valid region, not 'eu-west-1'"},
		"another service":           {0, headers, "", func(s *signature) { s.service = "s3" }, InvalidSignature, "correct service: 'lambda'"},
		"another key":               {0, headers, "", func(s *signature) { s.keyID = "AKIDOTHER" }, UnknownKey, "security token"},
		"the host is not signed":    {0, "x-amz-date;x-amz-invocation-type", "", unchanged, InvalidSignature, "'Host' or ':authority'"},
		"fields without order":      {0, "x-amz-date;host;x-amz-invocation-type", "", unchanged, Incomplete, "in order"},
		"fields in upper case":      {0, "Host;x-amz-date;x-amz-invocation-type", "", unchanged, Incomplete, "lower case"},
		"a temporary key":           {0, signed, "the token", func(s *signature) { s.keyID = "ASIA" }, "", ""},
		"with another token":        {0, signed, "a token", func(s *signature) { s.keyID = "ASIA" }, UnknownKey, "security token"},
		"without its token":         {0, headers, "", func(s *signature) { s.keyID = "ASIA" }, UnknownKey, "security token"},
		"a token that is not asked": {0, signed, "the token", unchanged, UnknownKey, "security token"},
	}
	for name, test := range tests {
		r, body := invocation()
		if test.token != "" {
			r.Head.Set("X-Amz-Security-Token", test.token)
		}
		sign(&r, body, test.headers, test.change)
		wantRefusal(t, name, verifier(t, "lambda", test.later, temporary).check(r, body), test.code, test.text)
	}
}

func TestWhatOperatorsAreToldHoldsNoToken(t *testing.T) {
	const token = "the+token/of=1"
	temporary := Key{ID: "ASIA", Secret: secret.NewValue(exampleSecret), Token: secret.NewValue(token)}
	tests := map[string]func() (Request, []byte){
		"in the head": func() (Request, []byte) {
			r, body := invocation()
			r.Head.Set("X-Amz-Security-Token", token)
			sign(&r, body, headers+";x-amz-security-token", func(s *signature) { s.keyID = "ASIA" })
			return r, []byte("another body")
		},
		"in the query": func() (Request, []byte) {
			return request("GET /?X-Amz-Algorithm=" + algorithm + "&X-Amz-Credential=ASIA%2F20150830%2Fus-east-1%2Flambda%2Faws4_request&X-Amz-Date=" + exampleDate +
				"&X-Amz-SignedHeaders=host&X-Amz-Security-Token=the%2Btoken%2Fof%3D1&X-Amz-Signature=" + strings.Repeat("0", 64) + "\nHost:127.0.0.1:9001\n\n")
		},
	}
	for name, signed := range tests {
		r, body := signed()
		refused, ok := errors.AsType[*Error](verifier(t, "lambda", 0, temporary).check(r, body))
		if !ok || refused.Code != InvalidSignature || !strings.Contains(refused.Detail, "(token)") || strings.Contains(refused.Detail, "the+token") || strings.Contains(refused.Detail, "the%2Btoken") {
			t.Errorf("%s: %+v", name, refused)
		}
	}
}

func TestBodiesAreSignedAsAWhole(t *testing.T) {
	digest := sha256.Sum256([]byte("{}"))
	tests := map[string]string{ // what the client says: why it is refused
		hex.EncodeToString(digest[:]):                  "",
		strings.Repeat("0", 2*sha256.Size):             "not the digest",
		"UNSIGNED-PAYLOAD":                             "UNSIGNED-PAYLOAD is not accepted",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD":           "signed in chunks",
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER":           "signed in chunks",
		strings.ToUpper(hex.EncodeToString(digest[:])): "not the digest",
	}
	for declared, why := range tests {
		r, body := invocation()
		r.Head.Set("X-Amz-Content-Sha256", declared)
		sign(&r, body, "host;x-amz-content-sha256;x-amz-date;x-amz-invocation-type", unchanged)
		code := InvalidSignature
		if why == "" {
			code = ""
		}
		wantRefusal(t, declared, verifier(t, "lambda", 0).check(r, body), code, why)
	}
}

// Whoever knows no more than a key's id must not have its body read.
func TestADeclaredBodyIsHeldBeforeItIsRead(t *testing.T) {
	r, body := invocation()
	digest := sha256.Sum256(body)
	r.Head.Set("X-Amz-Content-Sha256", hex.EncodeToString(digest[:]))
	const all = "host;x-amz-content-sha256;x-amz-date;x-amz-invocation-type"
	sign(&r, body, all, unchanged)
	if _, err := verifier(t, "lambda", 0).Open(r); err != nil {
		t.Errorf("what is right is refused: %v", err)
	}
	forged, _, _ := strings.Cut(r.Head.Get("Authorization"), "Signature=")
	r.Head.Set("Authorization", forged+"Signature="+strings.Repeat("0", 2*sha256.Size))
	_, err := verifier(t, "lambda", 0).Open(r)
	wantRefusal(t, "forged", err, InvalidSignature, "does not match")
}

// presign signs r in its query, for so many seconds.
func presign(r *Request, body []byte, seconds string) {
	s := &signature{keyID: exampleID, day: "20150830", region: "us-east-1", service: "lambda", date: exampleDate, headers: []string{"host", "x-amz-invocation-type"}, presigned: true}
	if seconds != "" {
		r.Query += "&X-Amz-Expires=" + seconds
	}
	r.Query += "&X-Amz-Algorithm=" + algorithm + "&X-Amz-Credential=" + encode(exampleID+"/"+s.scope(), 0) + "&X-Amz-Date=" + exampleDate + "&X-Amz-SignedHeaders=host%3Bx-amz-invocation-type"
	digest := sha256.Sum256(body)
	r.Query += "&X-Amz-Signature=" + s.sign(*r, hex.EncodeToString(digest[:]))
}

func TestPresignedRequestsCountForTheirTime(t *testing.T) {
	tests := map[string]struct {
		seconds string
		later   time.Duration
		change  func(*Request)
		code    string
		text    string
	}{
		"at once":              {"60", 0, func(*Request) {}, "", ""},
		"in time":              {"3600", time.Hour, func(*Request) {}, "", ""},
		"late":                 {"3600", time.Hour + time.Second, func(*Request) {}, InvalidSignature, "Signature expired"},
		"from the future":      {"3600", -6 * time.Minute, func(*Request) {}, InvalidSignature, "not yet current"},
		"without a life":       {"", 5 * time.Minute, func(*Request) {}, "", ""},
		"without a life, late": {"", 6 * time.Minute, func(*Request) {}, InvalidSignature, "Signature expired"},
		"for ever":             {"604801", 0, func(*Request) {}, Incomplete, "X-Amz-Expires"},
		"for no time":          {"0", 0, func(*Request) {}, Incomplete, "X-Amz-Expires"},
		"for less than that":   {"-1", 0, func(*Request) {}, Incomplete, "X-Amz-Expires"},
		"made longer":          {"60", 0, func(r *Request) { r.Query = strings.Replace(r.Query, "Expires=60", "Expires=600", 1) }, InvalidSignature, "does not match"},
		"with another life":    {"60", 0, func(r *Request) { r.Query = "X-Amz-Expires=600&" + r.Query }, Incomplete, "more than once"},
		"with another date":    {"60", 0, func(r *Request) { r.Head.Set("X-Amz-Date", exampleDate) }, Incomplete, "fields of a signature"},
		"without a date":       {"60", 0, func(r *Request) { r.Query = strings.Replace(r.Query, "X-Amz-Date", "x-date", 1) }, Incomplete, "must include 'X-Amz-Date'"},
		"with a field beside":  {"60", 0, func(r *Request) { r.Head.Set("X-Amz-Log-Type", "Tail") }, InvalidSignature, "must be a 'SignedHeader'"},
		"with another purpose": {"60", 0, func(r *Request) { r.Query = strings.Replace(r.Query, "LATEST", "NEXT", 1) }, InvalidSignature, "does not match"},
	}
	for name, test := range tests {
		r, body := invocation()
		presign(&r, body, test.seconds)
		test.change(&r)
		wantRefusal(t, name, verifier(t, "lambda", test.later).check(r, body), test.code, test.text)
	}
}

// FuzzOpen: whatever stands there, it is refused in AWS's words or was signed by who has the key.
func FuzzOpen(f *testing.F) {
	r, body := invocation()
	sign(&r, body, headers, unchanged)
	f.Add(r.Head.Get("Authorization"), r.Query, exampleDate)
	presign(&r, body, "60")
	f.Add("", r.Query, "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20150830/b/c/aws4_request,SignedHeaders=host;host,Signature=00", "a=%zz&&=", exampleDate)
	v := verifier(f, "lambda", 0)
	right := r.Head.Get("Authorization")
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r, body := invocation()
		r.Query = query
		r.Head.Set("Authorization", authorization)
		if authorization == "" {
			r.Head.Del("Authorization")
		}
		r.Head.Set("X-Amz-Date", date)
		if date == "" {
			r.Head.Del("X-Amz-Date")
		}
		err := v.check(r, body)
		var refused *Error
		if err != nil && (!errors.As(err, &refused) || refused.Code == "" || refused.Message == "" || strings.Contains(err.Error(), exampleSecret)) {
			t.Errorf("it is refused with %v", err)
		}
		if err == nil && authorization != "" && !strings.EqualFold(signatureIn(authorization), signatureIn(right)) {
			t.Errorf("a signature that nobody made counts: %q", authorization)
		}
	})
}

func signatureIn(authorization string) string {
	_, value, _ := strings.Cut(authorization, "Signature=")
	value, _, _ = strings.Cut(value, ",")
	return strings.TrimSpace(value)
}

func BenchmarkCheck(b *testing.B) {
	r, body := invocation()
	sign(&r, body, headers, unchanged)
	v, digest := verifier(b, "lambda", 0), sha256.Sum256(body)
	for b.Loop() {
		claim, err := v.Open(r)
		if err != nil || claim.Confirm(digest) != nil {
			b.Fatal("it is refused")
		}
	}
}
