package field

// Option is what the value of a Connection field says (RFC 9110 section 7.6.1) that is one of the two usual ones, as nearly all are.
type Option uint8

// The options. Neither names a field that means anything to who receives the message.
const (
	OtherOptions Option = iota // or several, or these in an unusual case
	Close
	KeepOpen
)

// OptionOf tells which option a value is.
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
