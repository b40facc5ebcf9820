package doc

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as `10MB` (powers of 1000), `64KiB`
// (powers of 1024) or `512B`.
type Size int64

// The units of Size.
const (
	Byte Size = 1
	KB        = 1000 * Byte
	MB        = 1000 * KB
	GB        = 1000 * MB
	TB        = 1000 * GB
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
	TiB       = 1024 * GiB
)

// sizeUnits are the units by size, largest first, so that String takes the largest that fits.
var sizeUnits = []struct {
	name string
	size Size
}{
	{"TiB", TiB}, {"TB", TB}, {"GiB", GiB}, {"GB", GB}, {"MiB", MiB}, {"MB", MB}, {"KiB", KiB}, {"KB", KB}, {"B", Byte},
}

// String writes the size in the largest unit that divides it: Parse reads the same back.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}

// ParseSize reads a Size. Sizes are not negative and have a unit.
func ParseSize(text string) (Size, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789."))
	number, unit := text[:digits], strings.TrimSpace(text[digits:])
	if number == "" {
		return 0, errors.New("a size is a number with a unit, such as 10MB or 64KiB")
	}
	if unit == "" {
		return 0, fmt.Errorf("a size needs a unit: %sB, %sKiB or %sMB", text, text, text)
	}
	for _, u := range sizeUnits {
		if !strings.EqualFold(u.name, unit) {
			continue
		}
		return scaleSize(number, u.size)
	}
	return 0, fmt.Errorf("%q is no unit of size; those are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB", unit)
}

func scaleSize(number string, unit Size) (Size, error) {
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		if whole > math.MaxInt64/int64(unit) {
			return 0, errors.New("that is more bytes than can be counted")
		}
		return Size(whole) * unit, nil
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", number)
	}
	bytes := value * float64(unit)
	if bytes >= math.MaxInt64 {
		return 0, errors.New("that is more bytes than can be counted")
	}
	if bytes != math.Trunc(bytes) {
		return 0, errors.New("that is no whole number of bytes")
	}
	return Size(bytes), nil
}

// parseDuration reads `300ms`, `2s`, `1m30s` or `1h`. A bare number is refused
// with the ways in which it could have been meant; a bare 0 is one, too, for
// what zero means is each field's own matter and is spelled `0s`.
func parseDuration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		if d < 0 {
			return 0, errors.New("a duration is not negative")
		}
		return d, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("a duration needs a unit: %ss, %sms or %sm", text, text, text)
	}
	return 0, errors.New("a duration is written as 300ms, 2s, 1m30s or 1h")
}

// parseInt reads a decimal integer of so many bits. `010` is refused, because
// it is 8 to some readers of YAML and 10 to others.
func parseInt(text string, bits int) (int64, error) {
	if err := plainDecimal(text); err != nil {
		return 0, err
	}
	i, err := strconv.ParseInt(text, 10, bits)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("it is out of range: from %d to %d", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	}
	return i, err //nolint:wrapcheck // plainDecimal leaves no other error
}

// parseUint is parseInt for numbers that are not negative.
func parseUint(text string, bits int) (uint64, error) {
	if err := plainDecimal(text); err != nil {
		return 0, err
	}
	limit := uint64(math.MaxUint64) >> (64 - bits)
	u, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("it is out of range: from 0 to %d", limit)
	}
	return u, nil
}

func plainDecimal(text string) error {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return errors.New("only decimal digits make a whole number")
	}
	if len(digits) > 1 && digits[0] == '0' {
		return fmt.Errorf("a leading zero means octal to some; write %s", strings.TrimLeft(digits[:len(digits)-1], "0")+digits[len(digits)-1:])
	}
	return nil
}
