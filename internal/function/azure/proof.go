package azure

import (
	"context"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/entra"
	"github.com/weir-gateway/weir/internal/cloud/web"
)

// The fields in which functions are told who may call, and who is calling.
const (
	keyField      = "X-Functions-Key"
	authorization = "Authorization"
)

// dropped tells of the fields that no client may send: by which App Service tells an app who is
// calling (its authentication, and its front end of certificates), and what was asked for where
// that is not the request's own; and the key where the gateway has one.
func dropped(keyed bool) func(name string) bool {
	return func(name string) bool {
		for _, begin := range []string{"x-ms-client-principal", "x-ms-token-", "x-arr-"} {
			if strings.HasPrefix(name, begin) {
				return true
			}
		}
		switch name {
		case "x-ms-original-url", "x-waws-unencoded-url", "disguised-host", "was-default-hostname", "client-ip":
			return true
		default:
			return keyed && name == "x-functions-key"
		}
	}
}

// prove puts key and token into a request's head, as far as there are any. The token stands
// where the client's own would, for App Service looks nowhere else.
func prove(key secret.Value, token *entra.Token) func(context.Context, exchange.Head) (web.Proof, error) {
	return func(ctx context.Context, head exchange.Head) (web.Proof, error) {
		var proof web.Proof
		if token != nil {
			held, err := token.Get(ctx)
			if err != nil {
				return proof, cloud.Unproved(ctx, err) //nolint:wrapcheck // it says what is wrong
			}
			head.Set(authorization, "Bearer "+held.Value.Reveal())
			proof.Refused, proof.Ours = func(ctx context.Context) bool { return token.Refused(ctx, held) }, true
		} else {
			proof.Ours = head.Get(authorization) == ""
		}
		if !key.Empty() {
			head.Set(keyField, key.Reveal())
		}
		return proof, nil
	}
}

// judge tells a refusal of the gateway's key or token from an answer of the function.
// The Functions host refuses keys with a 401 that has neither content nor a challenge,
// which RFC 9110 section 11.6.1 forbids everybody else; but functions do so, too, of whatever
// else they look at, so it is believed only where a key alone was sent. App Service's
// authentication refuses tokens with a challenge.
func judge(keyAlone bool) func(*http.Response, web.Proof) web.Verdict {
	return func(res *http.Response, proof web.Proof) web.Verdict {
		if res.StatusCode != http.StatusUnauthorized || !proof.Ours {
			return web.Plain(res, proof)
		}
		challenge := strings.Join(exchange.ResponseHead(res).Values("Www-Authenticate"), ", ")
		switch {
		case keyAlone && challenge == "" && res.ContentLength == 0:
			return web.Verdict{Refused: fault.FunctionRefused.New("", fault.Internal("Azure Functions has not accepted the key"))}
		case proof.Refused != nil && strings.Contains(strings.ToLower(challenge), "bearer"):
			return web.Verdict{Refused: fault.FunctionRefused.New("", fault.Internal("Azure has not accepted the token: %s", challenge)), Renew: true}
		}
		return web.Plain(res, proof)
	}
}
