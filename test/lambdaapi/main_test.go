// Package lambdaapi tests the Lambda API with AWS's own clients: the SDKs for Go and JavaScript and the command line,
// and aws4 for signatures that no SDK makes. It is a module of its own, so that Weir depends on none of them.
package lambdaapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	javaScript.stop()
	weirtest.Cleanup()
	os.Exit(code)
}

const (
	keyID, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	temporaryID   = "ASIAEXAMPLE"
	token         = "the/session+token="
	region        = "eu-west-1"
)

// start serves the function in the folder orders, with api and function as further parts of its config. Its first
// build may download modules.
func start(t *testing.T, api, function string, arguments ...string) *weirtest.Gateway {
	t.Helper()
	return weirtest.Start(t, configure(t, api, function), arguments...)
}

// configure writes that config and returns its path.
func configure(t *testing.T, api, function string) string {
	t.Helper()
	folder, err := filepath.Abs("orders")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "weir.yaml")
	text := "lambda_api: " + api + "\nfunctions:\n  orders: {run: " + strconv.Quote(folder) + function + "}\n  web: {run: /bin/true, contract: http}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

const (
	open = "127.0.0.1:0"
	// patient is a queue that waits for the build.
	patient = ", queue: {wait: 2m}"
)

// keyed is a config that demands signatures.
func keyed(t *testing.T) string {
	t.Helper()
	t.Setenv("TEST_SECRET", secret)
	t.Setenv("TEST_TOKEN", token)
	return "{address: 127.0.0.1:0, region: " + region + ", keys: {" + keyID + ": '${env:TEST_SECRET}', " + temporaryID + ": {secret: '${env:TEST_SECRET}', token: '${env:TEST_TOKEN}'}}}"
}

// metric reads one of g's metrics, 0 if it does not exist.
func metric(t *testing.T, g *weirtest.Gateway, name string) float64 {
	t.Helper()
	res, err := http.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Error(err)
			}
			return n
		}
	}
	return 0
}

// who is a client's credentials.
type who struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"secretAccessKey"`
	Token  string `json:"sessionToken,omitempty"`
}

func anybody() who { return who{ID: "test", Secret: "test"} }

func holder() who { return who{ID: keyID, Secret: secret} }

// question is one call of the API.
type question struct {
	Op       string `json:"op"` // "invoke", "stream", "list", "get"; for aws4 "signed" and "judge"; and "manage"
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Who      who    `json:"credentials"`
	Attempts int    `json:"attempts,omitempty"`
	Input    input  `json:"input"`
	Request  any    `json:"request,omitempty"` // for aws4 and WebSockets
}

// input is the input of an SDK's command.
type input struct {
	Function string  `json:"FunctionName,omitempty"`
	Qual     string  `json:"Qualifier,omitempty"`
	Type     string  `json:"InvocationType,omitempty"`
	Log      string  `json:"LogType,omitempty"`
	Context  string  `json:"ClientContext,omitempty"`
	Payload  *string `json:"Payload,omitempty"`
}

// answer is what a client makes of the API's answer.
type answer struct {
	Status        int      `json:"status"`
	Attempts      int      `json:"attempts"`
	RequestID     string   `json:"requestId"`
	Version       string   `json:"version"`
	FunctionError string   `json:"functionError"`
	Details       string   `json:"details"`
	Log           string   `json:"log"`
	Payload       string   `json:"payload"`
	Complete      bool     `json:"complete"` // the stream has announced its end
	Names         []string `json:"names"`
	Error         string   `json:"error"` // the exception's name
	Message       string   `json:"message"`
	Reason        string   `json:"reason"`
}

// clients are AWS's SDKs, which must all see the same.
func clients() map[string]func(*testing.T, question) answer {
	return map[string]func(*testing.T, question) answer{"Go": goSDK, "JavaScript": javaScript.ask}
}

// patientClient gives net/http a body of its own. The SDK closes the body that it has made as soon as there is a
// response. If net/http has not seen the end of that body yet, as happens with a server on the same machine, it takes
// the request for broken and closes the connection in the middle of the answer (seen with aws-sdk-go-v2 1.41 and
// 1.48).
type patientClient struct{}

func (patientClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return http.DefaultClient.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	own := r.Clone(r.Context())
	own.Body = io.NopCloser(bytes.NewReader(body))
	return http.DefaultClient.Do(own)
}

func goSDK(t *testing.T, q question) answer {
	t.Helper()
	client := lambda.New(lambda.Options{
		Region: q.Region, BaseEndpoint: &q.Endpoint, Credentials: credentials.NewStaticCredentialsProvider(q.Who.ID, q.Who.Secret, q.Who.Token),
		RetryMaxAttempts: q.Attempts, HTTPClient: patientClient{},
	})
	var a answer
	var err error
	switch q.Op {
	case "invoke":
		a, err = goInvoke(t.Context(), client, q.Input)
	case "stream":
		a, err = goStream(t.Context(), client, q.Input)
	case "list":
		var out *lambda.ListFunctionsOutput
		if out, err = client.ListFunctions(t.Context(), &lambda.ListFunctionsInput{}); err == nil {
			for _, f := range out.Functions {
				a.Names = append(a.Names, *f.FunctionName)
			}
		}
	case "get":
		var out *lambda.GetFunctionOutput
		if out, err = client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &q.Input.Function}); err == nil {
			a.Names = []string{*out.Configuration.FunctionArn}
		}
	}
	if err != nil {
		return goError(err)
	}
	return a
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (in input) payload() []byte {
	if in.Payload == nil {
		return nil
	}
	return []byte(*in.Payload)
}

func goInvoke(ctx context.Context, client *lambda.Client, in input) (answer, error) {
	out, err := client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: &in.Function, Qualifier: orNil(in.Qual), InvocationType: types.InvocationType(in.Type), LogType: types.LogType(in.Log),
		ClientContext: orNil(in.Context), Payload: in.payload(),
	})
	if err != nil {
		return answer{}, err
	}
	return answer{
		Status: int(out.StatusCode), Version: aws.ToString(out.ExecutedVersion), FunctionError: aws.ToString(out.FunctionError),
		Log: aws.ToString(out.LogResult), Payload: string(out.Payload),
	}, nil
}

func goStream(ctx context.Context, client *lambda.Client, in input) (answer, error) {
	out, err := client.InvokeWithResponseStream(ctx, &lambda.InvokeWithResponseStreamInput{
		FunctionName: &in.Function, Qualifier: orNil(in.Qual), LogType: types.LogType(in.Log), Payload: in.payload(),
	})
	if err != nil {
		return answer{}, err
	}
	stream := out.GetStream()
	defer stream.Close()
	a := answer{Status: int(out.StatusCode), Version: aws.ToString(out.ExecutedVersion)}
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			a.Payload += string(e.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			a.Complete, a.FunctionError, a.Details, a.Log = true, aws.ToString(e.Value.ErrorCode), aws.ToString(e.Value.ErrorDetails), aws.ToString(e.Value.LogResult)
		}
	}
	return a, stream.Err()
}

func goError(err error) answer {
	a := answer{Error: err.Error()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		a.Error, a.Message = api.ErrorCode(), api.ErrorMessage()
	}
	if res, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		a.Status = res.HTTPStatusCode()
	}
	if throttled, ok := errors.AsType[*types.TooManyRequestsException](err); ok {
		a.Reason = string(throttled.Reason)
	}
	return a
}

// node is the process with the JavaScript clients.
type node struct {
	once  sync.Once
	mu    sync.Mutex
	in    io.WriteCloser
	out   *bufio.Reader
	cmd   *exec.Cmd
	cause string // why there is no process
}

var javaScript node

// ask sends a question to the process.
func (n *node) ask(t *testing.T, q question) answer {
	t.Helper()
	n.once.Do(func() { n.start() })
	if n.cause != "" {
		t.Skip(n.cause)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := json.NewEncoder(n.in).Encode(q); err != nil {
		t.Fatal(err)
	}
	line, err := n.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the process of the clients: %v", err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return a
}

// start installs the packages in the lock file, once per content of that file, and starts the process.
func (n *node) start() {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			n.cause = program + " is not installed (see test/deps.sh)"
			return
		}
	}
	folder, err := installed(".", "package.json", "package-lock.json", "clients.mjs")
	if err != nil {
		n.cause = "the packages cannot be installed: " + err.Error()
		return
	}
	n.cmd = exec.Command("node", filepath.Join(folder, "clients.mjs")) //nolint:noctx // stopped by stop
	n.cmd.Stderr = os.Stderr
	n.in, err = n.cmd.StdinPipe()
	if err == nil {
		var out io.Reader
		if out, err = n.cmd.StdoutPipe(); err == nil {
			n.out = bufio.NewReaderSize(out, 1<<20)
			err = n.cmd.Start()
		}
	}
	if err != nil {
		n.cause = err.Error()
	}
}

func (n *node) stop() {
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.in.Close()
		_ = n.cmd.Wait() // it ends with its input
	}
}

// installed returns a folder that contains those files and the packages that they name.
func installed(from string, names ...string) (string, error) {
	files := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if files[i], err = os.ReadFile(filepath.Join(from, name)); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(bytes.Join(files, nil))
	folder := filepath.Join(cache, "weir", "test-lambdaapi-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return "", err
	}
	making, err := os.MkdirTemp(filepath.Dir(folder), "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(making, name), files[i], 0o600); err != nil {
			return "", err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund") //nolint:noctx // it ends
	npm.Dir = making
	if out, err := npm.CombinedOutput(); err != nil {
		return "", errors.New(strings.TrimSpace(string(out)))
	}
	if err := os.Rename(making, folder); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return folder, nil
}
