package gcf

import (
	"context"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/google"
	"github.com/weir-gateway/weir/internal/cloud/web"
)

// The header fields that carry tokens. Google looks at the second one first, and removes the signature of a token that
// it has checked (Cloud Run, "Authenticating service-to-service").
const (
	authorization = "Authorization"
	serverless    = "X-Serverless-Authorization"
)

// dropped reports which header fields no client may send, because Google trusts the tokens in them.
func dropped(name string) bool { return name == "x-serverless-authorization" }

// field returns the header field that carries the token in a request with that head.
func (a Authorization) field(head exchange.Head) string {
	if a == Beside || a == Auto && head.Get(authorization) != "" {
		return serverless
	}
	return authorization
}

// prove puts the token into a request's head.
func prove(token *google.Token, place Authorization) func(context.Context, exchange.Head) (web.Proof, error) {
	return func(ctx context.Context, head exchange.Head) (web.Proof, error) {
		held, err := token.Get(ctx)
		if err != nil {
			return web.Proof{}, cloud.Unproved(ctx, err) //nolint:wrapcheck // it says what is wrong
		}
		field := place.field(head)
		ours := field == authorization || head.Get(authorization) == ""
		head.Set(field, "Bearer "+held.Value.Reveal())
		return web.Proof{Refused: func(ctx context.Context) bool { return token.Refused(ctx, held) }, Ours: ours}, nil
	}
}

// judge distinguishes a refusal of the gateway's token from an answer of the function. It is a refusal if the response
// says so in the form of RFC 6750 section 3, and the request carries no other token.
func judge(res *http.Response, proof web.Proof) web.Verdict {
	if res.StatusCode == http.StatusUnauthorized && proof.Ours && refusesToken(res) {
		return web.Verdict{Refused: fault.FunctionRefused.New("", fault.Internal("Google Cloud has not accepted the ID token: %s", challenge(res))), Renew: true}
	}
	return web.Plain(res, proof)
}

func challenge(res *http.Response) string {
	return strings.Join(exchange.ResponseHead(res).Values("Www-Authenticate"), ", ")
}

func refusesToken(res *http.Response) bool {
	text := strings.ToLower(challenge(res))
	return strings.Contains(text, "bearer") && strings.Contains(text, "invalid_token")
}
