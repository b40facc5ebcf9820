package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// compact has etcd forget all versions but the newest, through its JSON API.
func compact(ctx context.Context, etcd string) error {
	var status struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	if err := ask(ctx, etcd+"/v3/kv/range", map[string]string{"key": "AA==", "limit": "1"}, &status); err != nil {
		return err
	}
	return ask(ctx, etcd+"/v3/kv/compaction", map[string]any{"revision": status.Header.Revision, "physical": true}, nil)
}

func ask(ctx context.Context, url string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", url, res.Status, text)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(text, answer)
}
