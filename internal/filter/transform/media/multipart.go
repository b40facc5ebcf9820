package media

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

const multipartType = "multipart/form-data"

// Multipart reads and writes multipart/form-data (RFC 7578) as an object, with lists as in Form. A part is a string, or
// a file if it has a file name:
//
//	{"title":"tea","photo":{"filename":"tea.png","type":"image/png","data":"iVBORw0KGgo="}}
//
// The content of a file is base64. Other objects are written as JSON parts, and parts with a JSON Content-Type are read
// as JSON.
type Multipart struct{ Lists Paths }

// Decode implements Format.
func (m *Multipart) Decode(body []byte, contentType string) ([]byte, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, errors.New("its Content-Type names no boundary")
	}
	reader := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	values := fields{lists: m.Lists}
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return values.object(), nil
		}
		if err != nil {
			return nil, errors.New("its parts cannot be told apart")
		}
		value, err := readPart(part)
		if err != nil {
			return nil, fmt.Errorf("the part %s: %w", shortened(part.FormName()), err)
		}
		if err := values.add(part.FormName(), value, maxParts); err != nil {
			return nil, err
		}
	}
}

// readPart returns the JSON of a part.
func readPart(part *multipart.Part) ([]byte, error) {
	if coding := part.Header.Get("Content-Transfer-Encoding"); coding != "" && !strings.EqualFold(coding, "binary") && !strings.EqualFold(coding, "8bit") && !strings.EqualFold(coding, "7bit") {
		return nil, errors.New("it has a transfer encoding, which forms have no more") // RFC 7578 section 4.7
	}
	content, err := io.ReadAll(part)
	if err != nil {
		return nil, errors.New("it breaks off")
	}
	contentType := part.Header.Get("Content-Type")
	file := part.FileName()
	switch {
	case part.FormName() == "":
		return nil, errors.New("it has no name")
	case !utf8.ValidString(part.FormName()) || !utf8.ValidString(file) || !utf8.ValidString(contentType):
		return nil, errors.New("its head is not UTF-8")
	case file != "":
		dst := jsonx.AppendString([]byte(`{"filename":`), file)
		if contentType != "" {
			dst = jsonx.AppendString(append(dst, `,"type":`...), contentType)
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"data":"`...), content)
		return append(dst, `"}`...), nil
	case isJSON(mediaType(contentType)):
		v, err := parseJSON(content, max(len(content), 1))
		if err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		return []byte(v.Raw()), nil
	case !utf8.Valid(content):
		return nil, errors.New("it is not UTF-8")
	}
	return jsonx.AppendString(nil, string(content)), nil
}

// Append implements Format.
func (m *Multipart) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	parts := 0
	err := eachField(v, func(name string, value jsonx.Value) error {
		if parts++; parts > maxParts {
			return fmt.Errorf("there are more than %d parts", maxParts)
		}
		if err := writePart(w, name, value); err != nil {
			return fmt.Errorf("the part %s: %w", shortened(name), err)
		}
		if out.Len() > room(v) {
			return errTooLong(room(v))
		}
		return nil
	})
	if err == nil {
		err = w.Close()
	}
	return append(dst, out.Bytes()...), w.FormDataContentType(), err
}

func writePart(w *multipart.Writer, name string, value jsonx.Value) error {
	head := textproto.MIMEHeader{}
	content := []byte(value.Raw())
	file, isFile := "", false
	switch value.Kind() {
	case jsonx.Object:
		head.Set("Content-Type", jsonType)
		if data, ok := value.Get("data"); ok {
			var err error
			if content, err = decoded(data); err != nil {
				return err
			}
			isFile, file = true, memberText(value, "filename")
			head.Set("Content-Type", memberText(value, "type"))
		}
	case jsonx.List:
		return errors.New("a list in a list has no form as parts")
	default:
		text, err := plainText(value)
		if err != nil {
			return err
		}
		content = []byte(text)
	}
	disposition := `form-data; name="` + quoted(name) + `"`
	if isFile {
		disposition += `; filename="` + quoted(file) + `"`
	}
	head.Set("Content-Disposition", disposition)
	if contentType := head.Get("Content-Type"); contentType == "" {
		head.Del("Content-Type")
	} else if strings.ContainsFunc(contentType, isControl) {
		return errors.New("its type holds a control character")
	}
	part, err := w.CreatePart(head)
	if err == nil {
		_, err = part.Write(content)
	}
	return err
}

// quoted escapes a name as RFC 7578 and WHATWG's HTML specify.
func quoted(name string) string {
	return strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(name)
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// memberText is the text of an object's member, "" if it has none.
func memberText(v jsonx.Value, name string) string {
	member, _ := v.Get(name)
	return member.Text()
}
