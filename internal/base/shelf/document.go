package shelf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// version is the version of the file format. A file of another version is ignored.
const version = 1

// document is the content of a file. People may read it, so the value is indented like the rest. Sum is the checksum of
// the value's compact form.
type document struct {
	Version   int             `json:"version"`
	Kind      string          `json:"kind"`
	Of        string          `json:"of"`
	Confirmed time.Time       `json:"confirmed"`
	Sum       string          `json:"sha256"`
	Value     json.RawMessage `json:"value"`
}

// format makes the content of a file. The value is in its compact form.
func format(kind, of string, w word) ([]byte, error) {
	sum := sha256.Sum256(w.value)
	raw, err := json.MarshalIndent(document{version, kind, of, w.confirmed.UTC(), hex.EncodeToString(sum[:]), w.value}, "", "  ")
	if err != nil {
		return nil, err
	}
	raw = append(raw, '\n')
	if len(raw) > largest {
		return nil, fmt.Errorf("it has %d bytes; %d are kept", len(raw), largest)
	}
	return raw, nil
}

// parse reads a file, which must belong to that source and be unchanged since it was written.
func parse(raw []byte, kind, of string) (document, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, err
	}
	var compact bytes.Buffer
	switch {
	case d.Version != version:
		return d, fmt.Errorf("it has version %d", d.Version)
	case d.Kind != kind || d.Of != of:
		return d, fmt.Errorf("it is that of %s %s", d.Kind, d.Of)
	case json.Compact(&compact, d.Value) != nil:
		return d, errors.New("it holds no value")
	}
	d.Value = compact.Bytes()
	if sum := sha256.Sum256(d.Value); hex.EncodeToString(sum[:]) != d.Sum {
		return d, errors.New("it is not what was written")
	}
	return d, nil
}
