package shelf

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// FuzzParse holds that what is taken is what was written, and that a file which is taken
// says the same when it is written again.
func FuzzParse(f *testing.F) {
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for _, value := range []string{`"one"`, `{"keys":[]}`, `[1,2.50,"\u003c"]`, `null`} {
		raw, err := format("keys", "a", word{[]byte(value), at})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"version":1,"kind":"keys","of":"a","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parse(raw, "keys", "a")
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if !json.Valid(d.Value) || json.Compact(&compact, d.Value) != nil || !bytes.Equal(compact.Bytes(), d.Value) {
			t.Fatalf("%q is taken for a value", d.Value)
		}
		encoded, err := json.Marshal(d.Value) // as Put does
		if err != nil {
			t.Fatal(err)
		}
		again, err := format("keys", "a", word{encoded, d.Confirmed})
		if err != nil {
			t.Skip() // it grows beyond the bound
		}
		if second, err := parse(again, "keys", "a"); err != nil || !bytes.Equal(second.Value, encoded) || !second.Confirmed.Equal(d.Confirmed) {
			t.Fatalf("%s\nbecomes\n%s\n%v", raw, again, err)
		}
	})
}
