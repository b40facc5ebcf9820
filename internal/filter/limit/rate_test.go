package limit

import (
	"strings"
	"testing"
	"time"
)

func TestRatesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"50/s":              {50, time.Second, 50},
		"1/d":               {1, 24 * time.Hour, 1},
		"100/15m":           {100, 15 * time.Minute, 100},
		"1000/h burst 20":   {1000, time.Hour, 20},
		"5/s burst 500":     {5, time.Second, 500},
		"1000000/s":         {1_000_000, time.Second, 1_000_000},
		"1/366d":            {1, 366 * 24 * time.Hour, 1},
		" 5/m  burst  7 \t": {5, time.Minute, 7},
	} {
		got, err := parseRate(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := parseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %+v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{"60/60s": "60/m", "5/120m": "5/2h", "3/24h": "3/d", "3/36h": "3/36h", "3/90s burst 3": "3/90s"} {
		if got, err := parseRate(text); err != nil || got.String() != want {
			t.Errorf("%q is written as %q, want %q", text, got, want)
		}
	}
}

func TestMistakesInRatesSayWhereAndWhatToWrite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]syntaxError{
		"":                      {0, `"" is no rate`, example},
		"50":                    {0, `"50" is no rate`, example},
		"50/":                   {3, "the rate has no unit of time", "those are s, m, h and d; " + example},
		"50/min":                {3, `"min" is no unit of time here`, "write m"},
		"50/2week":              {4, `"week" is no unit of time here`, "write 7d"},
		"50/ms":                 {3, `"ms" is no unit of time here`, "those are s, m, h and d"},
		"0/s":                   {0, "a rate is at least 1", "to let nothing pass write `allow: =false`"},
		"-1/s":                  {0, "a rate is at least 1", "to let nothing pass write `allow: =false`"},
		"05/s":                  {0, `a rate is a whole number, this is "05"`, example},
		"1.5/s":                 {0, `a rate is a whole number, this is "1.5"`, example},
		"1/0s":                  {2, "a time is at least 1", "to let nothing pass write `allow: =false`"},
		"1/367d":                {2, "that is longer than a year", "write a shorter time"},
		"1000001/s":             {0, "that is more than a million requests a second", "write a lower rate, or leave the limit out"},
		"9999999999999999999/s": {0, "9999999999999999999 is too large", "write a smaller number"},
		"1/d burst 400":         {0, "a burst of 400 would take more than a year to come back", "write a smaller burst"},
		"5/s burst":             {9, `a burst is a whole number, this is ""`, example},
		"5/s bursts 3":          {4, `"bursts" is not understood behind a rate`, "behind it may stand `burst NUMBER` and `per KEY`"},
		"5/s per client.ip":     {4, "a key cannot stand here", "write the rate alone"},
	} {
		_, err := parseRate(text)
		if got, ok := err.(*syntaxError); !ok || *got != want { //nolint:errorlint // it is given unwrapped
			t.Errorf("%q: %+v, want %+v", text, err, want)
		}
	}
}

func TestKeysStandBehindPer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]part{
		"50/s":                                   {"", 0},
		"50/s per client.ip":                     {"client.ip", 9},
		"50/s burst 7  per  auth.id":             {"auth.id", 19},
		"5/m per request.headers['x'] + ' per '": {"request.headers['x'] + ' per '", 8},
	} {
		if _, key, err := parseText(text); err != nil || key != want {
			t.Errorf("%q: %+v, %v", text, key, err)
		}
	}
	if _, _, err := parseText("5/s per "); err == nil || !strings.Contains(err.Error(), "no key stands behind per") {
		t.Errorf("got %v", err)
	}
}

// FuzzRates: what is read is within the bounds and is written as it is read.
func FuzzRates(f *testing.F) {
	for _, seed := range []string{"50/s", "100/15m burst 20", "1/366d per client.ip", "0/s", "9223372036854775807/d burst 9223372036854775807", "5/ per x", "\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rate, key, err := parseText(text)
		if err != nil {
			if syntax, ok := err.(*syntaxError); !ok || syntax.Offset < 0 || syntax.Offset > len(text) { //nolint:errorlint // it is given unwrapped
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if rate.interval() < 1 || rate.full() < 1 || rate.full() > int64(longestWindow) || rate.Burst < 1 {
			t.Fatalf("%q: %+v is out of bounds", text, rate)
		}
		if !strings.HasSuffix(text, key.text) {
			t.Fatalf("%q: the key %q is not its end", text, key.text)
		}
		if again, err := parseRate(rate.String()); err != nil || again != rate {
			t.Fatalf("%q is written as %q, which is %+v, %v", text, rate, again, err)
		}
	})
}
