// Command metadata stands in for the metadata server of Google Cloud, but only issues ID tokens. It signs them with its
// own key, which it publishes at /keys.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9003", "the address to listen on")
	flag.Parse()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", func(w http.ResponseWriter, r *http.Request) {
		audience := r.URL.Query().Get("audience")
		if r.Header.Get("Metadata-Flavor") != "Google" || audience == "" {
			http.Error(w, "Metadata-Flavor: Google and an audience are required", http.StatusForbidden)
			return
		}
		token, err := sign(key, audience)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		fmt.Fprint(w, token)
	})
	http.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	l, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + l.Addr().String())
	log.Fatal(http.Serve(l, nil))
}

// sign returns a token for an audience (RFC 7515, RS256). It is valid for an hour.
func sign(key *rsa.PrivateKey, audience string) (string, error) {
	now := time.Now().Unix()
	head, err := json.Marshal(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://accounts.google.com", "aud": audience, "sub": "1", "email": "gateway@shop-42.iam.gserviceaccount.com", "iat": now, "exp": now + 3600,
	})
	if err != nil {
		return "", err
	}
	text := encode(head) + "." + encode(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return text + "." + encode(signature), err
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
