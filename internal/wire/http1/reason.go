package http1

import "github.com/weir-gateway/weir/internal/base/fault"

// Reason is the rule that a message breaks; the zero Reason is none. It costs
// nothing to return, so that the parser allocates only for what it refuses.
type Reason uint8

// The rules, in the order of a message.
const (
	OK Reason = iota

	BareLF
	BareCR
	LeadingLines
	NotHTTP
	LooksLikeTLS
	BadRequestLine
	BadMethod
	BadVersion
	TargetTooLong
	TargetForm
	TargetByte
	TargetFragment
	TargetEscape
	TargetAuthority
	ConnectMethod
	TraceContent

	HeadTooLarge
	TooManyFields
	HeadIncomplete
	LeadingBlank
	NoColon
	BadFieldName
	BlankBeforeColon
	AliasFieldName
	BadFieldValue

	NoHost
	RepeatedHost
	BadHost
	HostMismatch
	BadLength
	RepeatedLength
	BadCoding
	RepeatedCoding
	CodingOnHTTP10
	LengthAndCoding
	LengthMismatch
	BadConnection
	BadExpectation

	BadChunkSize
	BadChunkExtension
	BadChunkEnd
	BadTrailer
	TrailerTooLarge
	ContentTooSlow

	BadStatusLine
	BadStatus

	reasonCount
)

// rule says how a Reason is answered: the kind of problem and the detail for the client, which quotes no byte that it
// sent.
type rule struct {
	kind   fault.Kind
	detail string
}

// rules is the table of what is refused. References are to RFC 9112, unless another is named.
var rules = [reasonCount]rule{
	BareLF:          {fault.MalformedRequest, "A line ends with LF alone instead of CR LF."},                                                  // 2.2
	BareCR:          {fault.MalformedRequest, "There is a CR that is not followed by LF."},                                                    // 2.2
	LeadingLines:    {fault.MalformedRequest, "More than one empty line comes before the request line."},                                      // 2.2
	NotHTTP:         {fault.MalformedRequest, "The request does not begin with a method."},                                                    // 3
	LooksLikeTLS:    {fault.MalformedRequest, "This looks like TLS, but this port speaks plain HTTP."},                                        // 3
	BadRequestLine:  {fault.MalformedRequest, "The request line must be METHOD, one space, target, one space, HTTP/1.1."},                     // 3
	BadMethod:       {fault.MalformedRequest, "The method is not a token."},                                                                   // 3.1
	BadVersion:      {fault.VersionUnsupported, "Only HTTP/1.1 and HTTP/1.0 are understood in this form."},                                    // 2.3
	TargetTooLong:   {fault.URLTooLong, ""},                                                                                                   // 3
	TargetForm:      {fault.MalformedRequest, "The target must begin with '/' or be an absolute http or https URL; '*' is only for OPTIONS."}, // 3.2
	TargetByte:      {fault.MalformedRequest, "The target holds a byte that must be percent-encoded."},                                        // 3.2, RFC 3986 3.3
	TargetFragment:  {fault.MalformedRequest, "The target holds a '#': fragments are not sent."},                                              // 3.2.1
	TargetEscape:    {fault.MalformedRequest, "A '%' in the path is not followed by two hexadecimal digits."},                                 // RFC 3986 2.1
	TargetAuthority: {fault.MalformedRequest, "The host in the target is not valid."},                                                         // 3.2.2, RFC 9110 4.2.4
	ConnectMethod:   {fault.NotImplemented, "CONNECT is not supported."},                                                                      // RFC 9110 9.3.6
	TraceContent:    {fault.MalformedRequest, "TRACE must not have content."},                                                                 // RFC 9110 9.3.8

	HeadTooLarge:     {fault.HeadTooLarge, ""},                                                             // RFC 6585 5
	TooManyFields:    {fault.HeadTooLarge, "There are too many header fields."},                            // RFC 6585 5
	HeadIncomplete:   {fault.RequestTimeout, "The head of the request did not arrive in time."},            // RFC 9110 15.5.9
	LeadingBlank:     {fault.MalformedRequest, "A header line begins with white space."},                   // 2.2, 5.2
	NoColon:          {fault.MalformedRequest, "A header line has no colon."},                              // 5
	BadFieldName:     {fault.MalformedRequest, "A field name is empty or not a token."},                    // 5.1
	BlankBeforeColon: {fault.MalformedRequest, "There is white space between a field name and its colon."}, // 5.1
	AliasFieldName:   {fault.MalformedRequest, "A field name is another spelling of one that the gateway itself manages."},
	BadFieldValue:    {fault.MalformedRequest, "A field value holds a control character."}, // RFC 9110 5.5

	NoHost:          {fault.MalformedRequest, "The Host field is missing."},                                                       // 3.2
	RepeatedHost:    {fault.MalformedRequest, "There is more than one Host field."},                                               // 3.2
	BadHost:         {fault.MalformedRequest, "The Host field is not a host with an optional port."},                              // 3.2
	HostMismatch:    {fault.MalformedRequest, "The Host field and the host in the target differ."},                                // 3.2.2
	BadLength:       {fault.MalformedRequest, "Content-Length is not a plain decimal number."},                                    // 6.2
	RepeatedLength:  {fault.MalformedRequest, "There is more than one Content-Length."},                                           // 6.3
	BadCoding:       {fault.MalformedRequest, "The only transfer coding understood is chunked, given once."},                      // 6.1
	RepeatedCoding:  {fault.MalformedRequest, "There is more than one Transfer-Encoding field."},                                  // 6.1
	CodingOnHTTP10:  {fault.MalformedRequest, "HTTP/1.0 has no Transfer-Encoding."},                                               // 6.1
	LengthAndCoding: {fault.MalformedRequest, "Content-Length and Transfer-Encoding exclude each other."},                         // 6.1
	LengthMismatch:  {fault.MalformedRequest, "The content is not as long as Content-Length says."},                               // 6.3, RFC 9113 8.1.1
	BadConnection:   {fault.MalformedRequest, "The Connection field is malformed, or names a field that must reach the backend."}, // RFC 9110 7.6.1
	BadExpectation:  {fault.ExpectationFail, ""},                                                                                  // RFC 9110 10.1.1

	BadChunkSize:      {fault.MalformedRequest, "A chunk size is not a plain hexadecimal number."},             // 7.1
	BadChunkExtension: {fault.MalformedRequest, "A chunk extension is malformed or too long."},                 // 7.1.1
	BadChunkEnd:       {fault.MalformedRequest, "A chunk does not end where its size says."},                   // 7.1
	BadTrailer:        {fault.MalformedRequest, "A trailer field is malformed or may not stand in a trailer."}, // 7.1.2, RFC 9110 6.5.1
	TrailerTooLarge:   {fault.HeadTooLarge, "The trailer section is too large."},
	ContentTooSlow:    {fault.RequestTimeout, "The content of the request came too slowly."}, // RFC 9110 15.5.9

	BadStatusLine: {fault.BackendInvalid, "The status line must be HTTP/1.1, one space, three digits, one space and a reason."}, // 4
	BadStatus:     {fault.BackendInvalid, "The status is less than 100."},                                                       // RFC 9110 15
}

// Fault returns what a message that breaks this rule is answered with, nil for OK.
func (r Reason) Fault() *fault.Fault {
	if r == OK {
		return nil
	}
	return rules[r].kind.New(rules[r].detail)
}

// String returns the rule in words.
func (r Reason) String() string {
	switch {
	case r == OK:
		return "valid"
	case rules[r].detail == "":
		return rules[r].kind.Title
	default:
		return rules[r].detail
	}
}
