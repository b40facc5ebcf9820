package http2

// Reason is why a connection was ended. Its String is short and stable, for metrics and logs.
type Reason uint8

// The reasons. Those up to AfterGoAway are kinds of frames that cost budget. If several are about equally frequent, the
// first in this order is reported.
const (
	None           Reason = iota
	Resets                // RST_STREAM: requests that were cancelled at once
	ForcedResets          // RST_STREAM that the server had to send because the client broke a rule on a stream
	Continuations         // CONTINUATION
	Pings                 // PING
	SettingsFrames        // SETTINGS
	EmptyData             // DATA without content, not at the end of a stream
	Priorities            // PRIORITY
	WindowUpdates         // WINDOW_UPDATE
	OtherFrames           // of types that a server has no use for
	Requests              // HEADERS: requests that never reached a handler
	AfterGoAway           // whatever arrives after the server has given up the connection

	HeaderBlock  // a header block that is larger than any head may be
	NoPreface    // the first bytes are not HTTP/2, though the client had agreed to it
	FirstRequest // the client took too long to begin
	HeadTime     // a head took too long from its first byte to its end

	reasons
)

var reasonNames = [reasons]string{
	None: "none", Resets: "h2_resets", ForcedResets: "h2_forced_resets", Continuations: "h2_continuations",
	Pings: "h2_pings", SettingsFrames: "h2_settings", EmptyData: "h2_empty_data", Priorities: "h2_priorities",
	WindowUpdates: "h2_window_updates", OtherFrames: "h2_other_frames", Requests: "h2_requests",
	AfterGoAway: "h2_after_goaway", HeaderBlock: "h2_header_block", NoPreface: "h2_preface",
	FirstRequest: "first_request", HeadTime: "head_time",
}

func (r Reason) String() string { return reasonNames[r] }

// code returns the error code of a GOAWAY for this reason (RFC 9113 section 7).
func (r Reason) code() uint32 {
	switch r {
	case FirstRequest, HeadTime:
		return codeNone
	default:
		return codeEnhanceYourCalm
	}
}

// Codes of GOAWAY and RST_STREAM (RFC 9113 section 7).
const (
	codeNone            = 0x0
	codeInternal        = 0x2
	codeEnhanceYourCalm = 0xb
)

// Reasons yields all reasons except None.
func Reasons() func(yield func(Reason) bool) {
	return func(yield func(Reason) bool) {
		for r := None + 1; r < reasons && yield(r); r++ {
		}
	}
}
