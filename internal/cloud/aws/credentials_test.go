package aws_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/test/issuertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer stands for STS, IMDS, the container agents and the SSO portal: it checks each field
// as AWS documents it, and answers AWS's own errors.
type issuer struct {
	*httptest.Server

	t *testing.T

	mu    sync.Mutex
	calls []string
	token string        // that a web identity must show
	life  time.Duration // of what it gives
	down  bool
	moved string // where callers are sent instead of an answer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, life: time.Hour, token: "identity-1"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", i.sts)
	mux.HandleFunc("PUT /latest/api/token", i.imdsToken)
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", i.imdsRole)
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/gateway", i.imdsCredentials)
	mux.HandleFunc("GET /v2/credentials/1234", i.container)
	mux.HandleFunc("GET /federation/credentials", i.sso)
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// wrongf tells that a field is not as it is documented.
func (i *issuer) wrongf(format string, args ...any) { i.t.Errorf(format, args...) }

// called notes a call, and tells whether it can be answered.
func (i *issuer) called(w http.ResponseWriter, name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, name)
	if i.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>ServiceUnavailable</Code><Message>down</Message></Error></ErrorResponse>`)
	}
	if i.moved != "" {
		w.Header().Set("Location", i.moved)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	return !i.down && i.moved == ""
}

func (i *issuer) count(name string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, c := range i.calls {
		if c == name {
			n++
		}
	}
	return n
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) expires() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Now().Add(i.life).UTC().Format(time.RFC3339)
}

// sts answers as the API reference of AWS Security Token Service has it.
func (i *issuer) sts(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Version") != "2011-06-15" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		i.wrongf("not a call of STS: %s %v", body, r.Header)
	}
	action := form.Get("Action")
	if !i.called(w, action) {
		return
	}
	for name, want := range map[string]string{"RoleArn": "arn:aws:iam::123456789012:role/gateway"} {
		if got := form.Get(name); got != want {
			i.wrongf("%s: %s is %q", action, name, got)
		}
	}
	switch action {
	case "AssumeRole":
		i.signed(r, body)
		if form.Get("ExternalId") != "shop-42" && form.Get("ExternalId") != "" || form.Get("RoleSessionName") == "" {
			i.wrongf("AssumeRole: %v", form)
		}
	case "AssumeRoleWithWebIdentity":
		if r.Header.Get("Authorization") != "" || form.Get("RoleSessionName") == "" {
			i.wrongf("a web identity is its own proof: %v %v", r.Header, form)
		}
		i.mu.Lock()
		right := form.Get("WebIdentityToken") == i.token
		i.mu.Unlock()
		if !right {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>`)
			return
		}
	default:
		i.wrongf("unknown action %q", action)
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>ASIA%[1]s</AccessKeyId>`+
		`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%[2]s</Expiration></Credentials>`+
		`<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/gateway/weir</Arn><AssumedRoleId>AROA:weir</AssumedRoleId></AssumedRoleUser></%[1]sResult></%[1]sResponse>`, action, i.expires())
}

// signed checks the signature of who assumes a role.
func (i *issuer) signed(r *http.Request, body []byte) {
	claim, err := sigv4.New("sts", "eu-west-1", []sigv4.Key{{ID: "AKIDEXAMPLE", Secret: secret.NewValue("hush")}}).Open(sigv4.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host, Head: exchange.RequestHead(r), Length: r.ContentLength,
	})
	if err == nil {
		err = claim.Confirm(sha256.Sum256(body))
	}
	if err != nil {
		i.wrongf("the signature: %v", err)
	}
}

const imdsToken = "AQAEA-token=="

// imdsToken is IMDSv2's first call.
func (i *issuer) imdsToken(w http.ResponseWriter, r *http.Request) {
	ttl := r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds")
	if !i.called(w, "imds token") {
		return
	}
	if ttl == "" {
		i.wrongf("IMDSv2 is told no lifetime: %v", r.Header)
	}
	w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)
	_, _ = io.WriteString(w, imdsToken)
}

func (i *issuer) imds(w http.ResponseWriter, r *http.Request, name string) bool {
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != imdsToken {
		w.WriteHeader(http.StatusUnauthorized) // IMDSv1 is switched off
		return false
	}
	return i.called(w, name)
}

func (i *issuer) imdsRole(w http.ResponseWriter, r *http.Request) {
	if i.imds(w, r, "imds role") {
		_, _ = io.WriteString(w, "gateway")
	}
}

func (i *issuer) imdsCredentials(w http.ResponseWriter, r *http.Request) {
	if i.imds(w, r, "imds credentials") {
		_, _ = fmt.Fprintf(w, `{"Code":"Success","LastUpdated":"2026-11-28T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAIMDS","SecretAccessKey":"s","Token":"t","Expiration":%q}`, i.expires())
	}
}

// container is the agent of ECS and of EKS Pod Identity.
func (i *issuer) container(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "pod-token" {
		i.wrongf("the agent is shown %q", got)
	}
	if i.called(w, "container") {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":"ASIAPOD","SecretAccessKey":"s","Token":"t","AccountId":"123456789012","Expiration":%q}`, i.expires())
	}
}

// sso is GetRoleCredentials of the SSO portal.
func (i *issuer) sso(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("X-Amz-Sso_bearer_token"); got != "sso-token" || r.URL.Query().Get("role_name") != "Gateway" || r.URL.Query().Get("account_id") != "123456789012" {
		i.wrongf("the portal is asked %s with %q", r.URL, got)
	}
	if i.called(w, "sso") {
		_, _ = fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"t","expiration":%d}}`, time.Now().Add(time.Hour).UnixMilli())
	}
}

// world is an environment with none of this machine's own credentials, whose calls lead to i.
func world(t *testing.T, i *issuer) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"HOME": home, "AWS_ENDPOINT_URL_STS": i.URL, "AWS_ENDPOINT_URL_SSO": i.URL, "AWS_ENDPOINT_URL_SSO_OIDC": i.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT": i.URL, "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": filepath.Join(home, ".aws", "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, ".aws", "credentials"),
	} {
		t.Setenv(name, value)
	}
	return home
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const role = "arn:aws:iam::123456789012:role/gateway"

// keys are those of a user, in variables.
func keys(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
}

const userProfile = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = hush\n"

func TestEachSourceOfTheChain(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, i *issuer, home string)
		who     aws.Caller
		id      string
		calls   string
	}{
		"environment": {func(t *testing.T, _ *issuer, _ string) { t.Helper(); keys(t) }, aws.Caller{}, "AKIDEXAMPLE", ""},
		"profile": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/.aws/credentials", "[production]\naws_access_key_id = AKIDPROD\naws_secret_access_key = s\n")
		}, aws.Caller{Profile: "production"}, "AKIDPROD", ""},
		"profile with a role": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/.aws/credentials", userProfile)
			write(t, home+"/.aws/config", "[profile production]\nrole_arn = "+role+"\nsource_profile = default\nexternal_id = shop-42\n")
		}, aws.Caller{Profile: "production"}, "ASIAAssumeRole", "AssumeRole"},
		"a program": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/given.json", `{"Version":1,"AccessKeyId":"ASIAPROCESS","SecretAccessKey":"s","SessionToken":"t","Expiration":"2999-01-01T00:00:00Z"}`)
			write(t, home+"/.aws/config", "[default]\ncredential_process = cat "+home+"/given.json\n")
		}, aws.Caller{}, "ASIAPROCESS", ""},
		"sso, as it was": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/.aws/config", "[profile work]\nsso_start_url = https://shop.awsapps.com/start\nsso_region = eu-west-1\nsso_account_id = 123456789012\nsso_role_name = Gateway\n")
			ssoToken(t, home, "https://shop.awsapps.com/start")
		}, aws.Caller{Profile: "work"}, "ASIASSO", "sso"},
		"sso, by a session": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/.aws/config", "[profile work]\nsso_session = shop\nsso_account_id = 123456789012\nsso_role_name = Gateway\n[sso-session shop]\nsso_start_url = https://shop.awsapps.com/start\nsso_region = eu-west-1\n")
			ssoToken(t, home, "shop")
		}, aws.Caller{Profile: "work"}, "ASIASSO", "sso"},
		"web identity": {func(t *testing.T, _ *issuer, home string) {
			t.Helper()
			write(t, home+"/token", "identity-1")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", home+"/token")
			t.Setenv("AWS_ROLE_ARN", role)
		}, aws.Caller{}, "ASIAAssumeRoleWithWebIdentity", "AssumeRoleWithWebIdentity"},
		"pod identity": {func(t *testing.T, i *issuer, home string) {
			t.Helper()
			write(t, home+"/pod", "pod-token")
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", i.URL+"/v2/credentials/1234")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", home+"/pod")
		}, aws.Caller{}, "ASIAPOD", "container"},
		"container": {func(t *testing.T, i *issuer, _ string) {
			t.Helper()
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", i.URL+"/v2/credentials/1234")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
		}, aws.Caller{}, "ASIAPOD", "container"},
		"instance": {func(*testing.T, *issuer, string) {}, aws.Caller{}, "ASIAIMDS", "imds token, imds role, imds credentials"},
		"a role on top": {func(t *testing.T, _ *issuer, _ string) { t.Helper(); keys(t) },
			aws.Caller{Role: role, ExternalID: "shop-42", Session: "weir"}, "ASIAAssumeRole", "AssumeRole"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			test.prepare(t, i, world(t, i))
			test.who.Region = "eu-west-1"
			callers := aws.NewCallers()
			kept := callers.Use(test.who, slog.New(slog.DiscardHandler))
			defer callers.Leave(test.who)
			held := issuertest.Together(t, kept)
			asked := func() string {
				i.mu.Lock()
				defer i.mu.Unlock()
				return strings.Join(i.calls, ", ")
			}
			calls := asked()
			if held.Value.AccessKeyID != test.id || calls != test.calls {
				t.Errorf("got %s by %q", held.Value.AccessKeyID, calls)
			}
			if ends := held.Value.AccessKeyID[:4] == "ASIA"; ends == held.Expires.IsZero() {
				t.Errorf("it ends at %v", held.Expires)
			}
			if test.calls == "" {
				return
			}
			fetch := func() error { // nothing in between remembers what was given, on which Kept relies
				i.change(func() { i.calls = nil })
				_, _, err := callers.Fetch(t.Context(), test.who)
				return err
			}
			if err := fetch(); err != nil || asked() != test.calls {
				t.Errorf("asked again were %s: %v", asked(), err)
			}
			i.change(func() { i.down = true })
			if err := fetch(); err == nil || asked() == "" {
				t.Errorf("while it is down, asked were %q, and something is given", asked())
			}
			i.change(func() { i.down = false })
			if err := fetch(); err != nil || asked() != test.calls {
				t.Errorf("afterwards, asked were %s: %v", asked(), err)
			}
			i.change(func() { i.moved = elsewhere(t) })
			if err := fetch(); err == nil || asked() == "" {
				t.Errorf("sent elsewhere, asked were %q, and something is given", asked())
			}
		})
	}
}

// elsewhere is a server that nobody named, to which no credentials may go.
func elsewhere(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("asked elsewhere: %s %s %v", r.Method, r.URL, r.Header)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A bundle of certificates that AWS's tools are told of is trusted by what asks in the gateway's
// name as well, which follows no redirect then either.
func TestCertificatesThatTheEnvironmentNames(t *testing.T) {
	i := newIssuer(t)
	safe := httptest.NewTLSServer(i.Config.Handler)
	defer safe.Close()
	safe.Config.ErrorLog = log.New(io.Discard, "", 0) // of callers that trust it not
	home := world(t, i)
	keys(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", safe.URL)
	who := aws.Caller{Region: "eu-west-1", Role: role, Session: "weir"}
	if _, _, err := aws.NewCallers().Fetch(t.Context(), who); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown to all: %v", err)
	}
	write(t, home+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: safe.Certificate().Raw})))
	t.Setenv("AWS_CA_BUNDLE", home+"/ca.pem")
	if _, _, err := aws.NewCallers().Fetch(t.Context(), who); err != nil {
		t.Errorf("named: %v", err)
	}
	i.change(func() { i.moved = elsewhere(t) })
	if _, _, err := aws.NewCallers().Fetch(t.Context(), who); err == nil {
		t.Error("sent elsewhere, something is given")
	}
}

// ssoToken writes what `aws sso login` leaves.
func ssoToken(t *testing.T, home, key string) {
	t.Helper()
	sum := sha1.Sum([]byte(key))
	text, _ := json.Marshal(map[string]string{"accessToken": "sso-token", "expiresAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	write(t, filepath.Join(home, ".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json"), string(text))
}

// An identity's token is read anew each time, credentials are fetched before they end, and
// an outage meanwhile is not noticed.
func TestWebIdentitiesAreRenewed(t *testing.T) {
	i := newIssuer(t)
	home := world(t, i)
	write(t, home+"/token", "identity-1")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", home+"/token")
	t.Setenv("AWS_ROLE_ARN", role)
	i.life = 14 * time.Second // ten of which are a margin
	callers, who := aws.NewCallers(), aws.Caller{Region: "eu-west-1"}
	kept := callers.Use(who, slog.New(slog.DiscardHandler))
	defer callers.Leave(who)
	first, err := kept.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i.change(func() { i.down = true })
	await.That(t, "another fetch, in the outage", func() bool { return i.count("AssumeRoleWithWebIdentity") > 1 })
	if held, err := kept.Get(t.Context()); time.Until(first.Expires) > 11*time.Second && (err != nil || held.Value.AccessKeyID != first.Value.AccessKeyID) {
		t.Errorf("in the outage: %v", err)
	}
	write(t, home+"/token", "identity-2")
	i.change(func() { i.down, i.token, i.life = false, "identity-2", time.Hour })
	await.That(t, "credentials for the new token", func() bool {
		held, err := kept.Get(t.Context())
		return err == nil && time.Until(held.Expires) > 30*time.Minute
	})
}

func TestErrorsOfIssuersAreTold(t *testing.T) {
	i := newIssuer(t)
	home := world(t, i)
	write(t, home+"/token", "somebody else's")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", home+"/token")
	t.Setenv("AWS_ROLE_ARN", role)
	callers, who := aws.NewCallers(), aws.Caller{Region: "eu-west-1"}
	kept := callers.Use(who, slog.New(slog.DiscardHandler))
	defer callers.Leave(who)
	if _, err := kept.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "InvalidIdentityToken") {
		t.Errorf("got %v", err)
	}
}

// Each of twenty gateways that start at once under load asks once.
func TestTwentyGatewaysUnderLoadAskOnceEach(t *testing.T) {
	i := newIssuer(t)
	world(t, i)
	keys(t)
	who := aws.Caller{Region: "eu-west-1", Role: role, Session: "weir"}
	var all sync.WaitGroup
	for range 20 {
		callers := aws.NewCallers()
		for range 3 { // functions
			kept := callers.Use(who, slog.New(slog.DiscardHandler))
			for range 10 { // requests
				all.Go(func() {
					if _, err := kept.Get(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		t.Cleanup(func() {
			for range 3 {
				callers.Leave(who)
			}
		})
	}
	all.Wait()
	if n := i.count("AssumeRole"); n != 20 {
		t.Errorf("STS was asked %d times", n)
	}
}

// What no field of a request may have is the source's mistake, and told as that.
func TestCredentialsThatNoRequestCouldBearAreNotKept(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"} {
		keys(t)
		t.Setenv(name, "a\r\nX-Admin: yes")
		callers, who := aws.NewCallers(), aws.Caller{Region: "eu-west-1"}
		_, err := callers.Use(who, slog.New(slog.DiscardHandler)).Get(t.Context())
		callers.Leave(who)
		if err == nil || !strings.Contains(err.Error(), "no field of a request may have") || strings.Contains(err.Error(), "Admin") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]aws.Target{
		"orders":                {Name: "orders"},
		"orders:live@eu-west-1": {Name: "orders", Qualifier: "live", Region: "eu-west-1"},
		"orders:$LATEST":        {Name: "orders", Qualifier: "$LATEST"},
		"arn:aws-cn:lambda:cn-north-1:123456789012:function:orders:7": {Partition: "aws-cn", Region: "cn-north-1", Account: "123456789012", Name: "orders", Qualifier: "7"},
		"orders@us-gov-west-1": {Name: "orders", Region: "us-gov-west-1"},
	} {
		got, err := aws.ParseTarget(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v, written as %s", text, got, err, got)
		}
	}
	for _, text := range []string{
		"", "a b", "a:", "a:b c", "a@", "a@x", strings.Repeat("a", 65), "a/../b", "a%2f", "arn:aws:lambda:eu-west-1:123:function:a", "arn:aws:lambda:eu-west-1:123456789012:function:a:b:c",
		"arn:aws:lambda:eu-west-1:123456789012:layer:a", "arn:aws:lambda:eu-west-1:123456789012:function:a@eu-west-1", "arn:", "a@evil.test",
		"arn::lambda:eu-west-1:123456789012:function:a", "arn:a ws:lambda:eu-west-1:123456789012:function:a", "arn:aws\n:lambda:eu-west-1:123456789012:function:a", "arn:aws-:lambda:eu-west-1:123456789012:function:a",
	} {
		if got, err := aws.ParseTarget(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	for region, host := range map[string]string{
		"eu-west-1": "lambda.eu-west-1.amazonaws.com", "cn-north-1": "lambda.cn-north-1.amazonaws.com.cn", "us-gov-west-1": "lambda.us-gov-west-1.amazonaws.com",
		"us-isob-east-1": "lambda.us-isob-east-1.sc2s.sgov.gov", "eusc-de-east-1": "lambda.eusc-de-east-1.amazonaws.eu",
	} {
		if got := aws.Host("lambda", region); got != host {
			t.Errorf("%s is at %s", region, got)
		}
		if err := aws.CheckRegion(region); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsWrongWithARole(t *testing.T) {
	const right = "arn: " + role
	for text, want := range map[string]string{
		right: "",
		right + "\nsession: weir-prod@shop.dev\nexternal_id: shop:42/eu": "",
		right + "\nsession: ''":               "weir.yaml:2:10: session is empty",
		right + "\nsession: w":                "weir.yaml:2:10: the session \"w\" is not understood; AWS takes 2 to 64",
		right + "\nsession: \"we\\nir\"":      "weir.yaml:2:10",
		right + "\nexternal_id: ''":           "weir.yaml:2:14",
		right + "\nexternal_id: ${env:X}":     "weir.yaml:2:14: the external id \"${env:X}\" is not understood; it is sent as it stands here",
		right + "\nexternal_id: \"a\\r\\nb\"": "weir.yaml:2:14",
		"arn: \"" + role + "\\n\"":            "is no role",
	} {
		var ps doc.Problems
		var r aws.Role
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &r, &ps)
		told := ""
		for _, p := range ps.Sorted() {
			told += p.String() + "\n"
		}
		if want == "" && told != "" || !strings.Contains(told, want) {
			t.Errorf("%s\ngets: %s\nwant: %s", text, told, want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	f.Add("orders:live@eu-west-1")
	f.Add("arn:aws:lambda:eu-west-1:123456789012:function:orders:live")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := aws.ParseTarget(text)
		if err != nil {
			return
		}
		again, err := aws.ParseTarget(target.String())
		if err != nil || again != target {
			t.Errorf("%q is %+v, and written out %+v, %v", text, target, again, err)
		}
		if strings.ContainsAny(target.Name+target.Qualifier+target.Region, "/?#%\\ @") || strings.ContainsAny(target.String(), " \r\n") {
			t.Errorf("%q could lead elsewhere: %+v", text, target)
		}
	})
}
