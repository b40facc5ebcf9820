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

// The header fields that carry the key and the token.
const (
	keyField      = "X-Functions-Key"
	authorization = "Authorization"
)

// dropped returns a function that reports which header fields no client may send. These are the fields in which App
// Service tells an app who is calling (its authentication, and its front end for certificates) and what was requested,
// if that differs from the request itself. The key is one of them if the gateway has a key.
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

// prove puts the key and the token into a request's head, as far as they are configured. The token replaces the
// client's own, because App Service looks for it in no other header field.
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

// judge distinguishes a refusal of the gateway's key or token from an answer of the function. The Functions host
// refuses keys with a 401 that has neither content nor a challenge, which RFC 9110 section 11.6.1 forbids. But
// functions also answer like that about other credentials that they check, so such a 401 counts as a refusal only if
// nothing but a key was sent. App Service's authentication refuses tokens with a challenge.
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
