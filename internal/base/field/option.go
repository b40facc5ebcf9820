package field

// Option is what the value of a Connection field says (RFC 9110 section 7.6.1) if it is one of the two usual values, as
// almost all are.
type Option uint8

// The options. Neither of the two names a field that means anything to the receiver of the message.
const (
	OtherOptions Option = iota // or several, or one of these in unusual case
	Close
	KeepOpen
)

// OptionOf returns which option a value is.
func OptionOf[text string | []byte](value text) Option {
	switch string(value) {
	case "keep-alive", "Keep-Alive":
		return KeepOpen
	case "close", "Close":
		return Close
	default:
		return OtherOptions
	}
}
