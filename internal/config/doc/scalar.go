package doc

import (
	"cmp"
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

// sizeUnits are the units by size, largest first, so that String finds the largest that divides the size.
var sizeUnits = []struct {
	name string
	size Size
}{
	{"TiB", TiB}, {"TB", TB}, {"GiB", GiB}, {"GB", GB}, {"MiB", MiB}, {"MB", MB}, {"KiB", KiB}, {"KB", KB}, {"B", Byte},
}

// String writes the size in the largest unit that divides it. ParseSize reads the same value back.
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
	return 0, fmt.Errorf("%q is not a unit of size; the units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB", unit)
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
		return 0, fmt.Errorf("%q is not a number", number)
	}
	bytes := value * float64(unit)
	if bytes >= math.MaxInt64 {
		return 0, errors.New("that is more bytes than can be counted")
	}
	if bytes != math.Trunc(bytes) {
		return 0, errors.New("that is not a whole number of bytes")
	}
	return Size(bytes), nil
}

// parseDuration reads `300ms`, `2s`, `1m30s` or `1h`. It refuses a bare number and lists the ways in which it could
// have been meant. It refuses a bare 0, too: each field decides what zero means, and it is written `0s`.
func parseDuration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		if d < 0 {
			return 0, errors.New("a duration cannot be negative")
		}
		return d, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("a duration needs a unit: %ss, %sms or %sm", text, text, text)
	}
	return 0, errors.New("a duration is written as 300ms, 2s, 1m30s or 1h")
}

// parseInt reads a decimal integer of the given number of bits. It refuses `010`, because some YAML readers take it for
// 8 and others for 10.
func parseInt(text string, bits int) (int64, error) {
	if err := plainDecimal(text); err != nil {
		return 0, err
	}
	i, err := strconv.ParseInt(text, 10, bits)
	if err != nil { // only the range is left to check
		return 0, fmt.Errorf("it must be between %d and %d", int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits))
	}
	return i, nil
}

// parseUint is parseInt for numbers that are not negative.
func parseUint(text string, bits int) (uint64, error) {
	if err := plainDecimal(text); err != nil {
		return 0, err
	}
	u, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("it must be between 0 and %d", uint64(math.MaxUint64)>>(64-bits))
	}
	return u, nil
}

// parseFloat reads a decimal number. It refuses hexadecimal numbers, infinities and NaN.
func parseFloat(text string, bits int) (float64, error) {
	if strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, errors.New("a number is written as 8, 0.5 or 1e3")
	}
	x, err := strconv.ParseFloat(text, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("it is too large")
	case err != nil:
		return 0, errors.New("a number is written as 8, 0.5 or 1e3")
	}
	return x, nil
}

// How YAML 1.2 writes a bool.
const (
	yes = "true"
	no  = "false"
)

func parseBool(text string) (bool, error) {
	switch text {
	case yes, no:
		return text == yes, nil
	case "yes", "on", "True", "TRUE", "y", "enabled":
		return false, errors.New("write true")
	case "no", "off", "False", "FALSE", "n", "disabled", "none":
		return false, errors.New("write false")
	}
	return false, errors.New("write true or false")
}

// plainDecimal returns an error if text is not a decimal integer. Different YAML readers disagree about hexadecimal
// numbers, underscores and the like.
func plainDecimal(text string) error {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return errors.New("a whole number is written in decimal digits only")
	}
	if plain := strings.TrimLeft(digits, "0"); len(digits) > 1 && digits[0] == '0' {
		return fmt.Errorf("some parsers read a leading zero as octal; write %s", cmp.Or(plain, "0"))
	}
	return nil
}
