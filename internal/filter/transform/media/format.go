package media

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Format is a way to write a body. It is immutable and safe for concurrent use.
type Format interface {
	// Decode returns the JSON of a body; contentType is the body's Content-Type. The error may be shown to the sender
	// of the body: it contains nothing but what is wrong with the body.
	Decode(body []byte, contentType string) ([]byte, error)
	// Append appends v to dst and returns the Content-Type. The error says what in v cannot be represented in the
	// format; dst is then incomplete.
	Append(dst []byte, v jsonx.Value) (body []byte, contentType string, err error)
}

// The names of formats.
const (
	NameJSON      = "json"
	NameXML       = "xml"
	NameSOAP      = "soap"
	NameForm      = "form"
	NameMultipart = "multipart"
	NameText      = "text"
	NameBytes     = "bytes"
)

// Names lists the names of the formats.
func Names() []string {
	return []string{NameJSON, NameXML, NameSOAP, NameForm, NameMultipart, NameText, NameBytes}
}

// Types are the media types of a format, as messages name them, the usual one first.
func Types(name string) []string {
	switch name {
	case NameJSON:
		return []string{jsonType}
	case NameXML:
		return []string{"application/xml", "text/xml"}
	case NameSOAP:
		return []string{"text/xml", "application/soap+xml"}
	case NameForm:
		return []string{formType}
	case NameMultipart:
		return []string{multipartType}
	case NameText:
		return []string{"text/plain"}
	default:
		return []string{"*/*"}
	}
}

// Reads tells whether a body with that Content-Type can have the format; without a Content-Type, it can have any.
func Reads(name, contentType string) bool {
	media := mediaType(contentType)
	switch {
	case name == NameBytes:
		return true
	case !inUTF8(contentType):
		return false
	case media == "":
		return true
	case name == NameJSON:
		return isJSON(media)
	case name == NameXML, name == NameSOAP:
		return slices.Contains(Types(NameXML), media) || strings.HasSuffix(media, "+xml")
	case name == NameText:
		return strings.HasPrefix(media, "text/")
	default:
		return slices.Contains(Types(name), media)
	}
}

func isJSON(media string) bool { return media == jsonType || strings.HasSuffix(media, "+json") }

// mediaType is a Content-Type without its parameters.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// inUTF8 tells whether a Content-Type names no charset other than UTF-8 or its subset US-ASCII.
func inUTF8(contentType string) bool {
	_, params, _ := strings.Cut(contentType, ";")
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "charset") && !slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(strings.Trim(value, `"`))) {
			return false
		}
	}
	return true
}

// Parse decodes a body of a format into a value that expressions can read. maxBytes also bounds its JSON.
func Parse(f Format, body []byte, contentType string, maxBytes int) (jsonx.Value, error) {
	text, err := f.Decode(body, contentType)
	if err != nil {
		return jsonx.Value{}, err
	}
	// The JSON of a body may be longer than the body, but not without bound.
	return parseJSON(text, max(maxBytes, grows*len(body)))
}

// parseJSON reads JSON and refuses duplicate names.
func parseJSON(text []byte, maxBytes int) (jsonx.Value, error) {
	v, err := jsonx.Parse(text, jsonx.Options{MaxBytes: maxBytes, Unique: true})
	if syntax, ok := errors.AsType[*jsonx.SyntaxError](err); ok {
		err = fmt.Errorf("%s at byte %d", syntax.Text, syntax.Offset)
	}
	return v, err
}

// grows is how many times longer than a body its JSON may be: the escape of one byte has six.
const grows = 8

// room returns how long the written form of v may be. A list repeats its name before each element, so a small body
// could grow without bound.
func room(v jsonx.Value) int { return roomForAll + grows*len(v.Raw()) }

const roomForAll = 8 << 20

func errTooLong(most int) error { return fmt.Errorf("it would be longer than %d bytes", most) }

// Paths are paths from a value to members: names, outermost first. A path goes through a list to all its elements.
type Paths [][]string

// Below returns the rest of the paths that go through a member, and whether one ends there.
func (p Paths) Below(name string) (below Paths, ends bool) {
	for _, path := range p {
		switch {
		case path[0] != name:
		case len(path) == 1:
			ends = true
		default:
			below = append(below, path[1:])
		}
	}
	return below, ends
}

// Ends are the paths with only one name.
func (p Paths) Ends() []string {
	var names []string
	for _, path := range p {
		if len(path) == 1 {
			names = append(names, path[0])
		}
	}
	return names
}
