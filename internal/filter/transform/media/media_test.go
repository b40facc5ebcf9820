package media_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// decode gives the JSON of a body, or what is wrong with it.
func decode(f media.Format, body, contentType string) string {
	v, err := media.Parse(f, []byte(body), contentType, 1<<20)
	if err != nil {
		return "error: " + err.Error()
	}
	return v.Raw()
}

// encode writes JSON, or tells why it has no such form.
func encode(tb testing.TB, f media.Format, json string) string {
	tb.Helper()
	v, err := jsonx.Parse([]byte(json), jsonx.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	body, _, err := f.Append(nil, v)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(body)
}

func TestXMLIsReadAsJSON(t *testing.T) {
	t.Parallel()
	lists := media.Paths{{"o", "items", "item"}, {"o", "tags"}}
	const deep = 60
	for _, c := range []struct {
		name string
		xml  media.XML
		body string
		want string
	}{
		{"text", media.XML{}, `<a>b</a>`, `{"a":"b"}`},
		{"nothing", media.XML{}, `<a/>`, `{"a":""}`},
		{"blanks are text", media.XML{}, `<a> </a>`, `{"a":" "}`},
		{"with a head, comments and a byte order mark", media.XML{}, "\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- x --><a><!-- y -->1<?pi z?>2</a>\n", `{"a":"12"}`},
		{"attributes", media.XML{}, `<a x="1" y='"'>b</a>`, `{"a":{"@x":"1","@y":"\"","#text":"b"}}`},
		{"members in order, those of one name together", media.XML{}, `<a><c>1</c><b/><c>2</c></a>`, `{"a":{"c":["1","2"],"b":""}}`},
		{"mixed", media.XML{}, `<a>x<b>1</b>y</a>`, `{"a":{"b":"1","#text":"xy"}}`},
		{"the five entities and CDATA", media.XML{}, `<a>&lt;&gt;&amp;&quot;&apos;&#65;<![CDATA[<b>&x;]]></a>`, `{"a":"<>&\"'A<b>&x;"}`},
		{"numbers stay texts", media.XML{}, `<a><n>9007199254740993</n><m>1.10</m></a>`, `{"a":{"n":"9007199254740993","m":"1.10"}}`},
		{"a list of one, and of none", media.XML{Lists: lists}, `<o><items><item>1</item></items></o>`, `{"o":{"items":{"item":["1"]},"tags":[]}}`},
		{"a list in what is empty", media.XML{Lists: lists}, `<o><items/></o>`, `{"o":{"items":{"item":[]},"tags":[]}}`},
		{"a list in several", media.XML{Lists: media.Paths{{"o", "l", "i"}}}, `<o><l><i>1</i></l><l/></o>`, `{"o":{"l":[{"i":["1"]},{"i":[]}]}}`},
		{"prefixes are left out", media.XML{}, `<p:a xmlns:p="urn:p" p:x="1"><p:b/></p:a>`, `{"a":{"@x":"1","b":""}}`},
		{"prefixes are kept", media.XML{Prefixes: true}, `<p:a xmlns:p="urn:p" p:x="1"><p:b/></p:a>`, `{"p:a":{"@xmlns:p":"urn:p","@p:x":"1","p:b":""}}`},
		{"nil", media.XML{}, `<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><b i:nil="true"/><c i:nil="0"/></a>`, `{"a":{"b":null,"c":""}}`},
		{"the root is left out", media.XML{Root: "a"}, `<a><b>1</b></a>`, `{"b":"1"}`},
		{"another root", media.XML{Root: "a"}, `<b/>`, `error: the outermost element is b, not a`},
		{"a document type", media.XML{}, `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, `error: document types are refused, before byte 54`},
		{"an entity of its own", media.XML{}, `<a>&lol;</a>`, `error: invalid character entity &lol;, before byte 8`},
		{"an attribute twice", media.XML{}, `<a x="1" x="2"/>`, `error: the attribute x stands twice, before byte 16`},
		{"an attribute twice by its namespace", media.XML{}, `<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="2"/>`, `error: the attribute x stands twice, before byte 44`},
		{"attributes that only look alike", media.XML{}, `<a xmlns:p="u" xmlns:q="v" p:x="1" q:x="2"/>`, `error: two attributes are called x but for their prefixes, before byte 44`},
		{"elements that only look alike", media.XML{}, `<a xmlns:p="u" xmlns:q="v"><p:x/><q:x/></a>`, `error: two elements are called x but for their namespaces`},
		{"a prefix that nobody declares", media.XML{}, `<p:a/>`, `error: the prefix p is not declared, before byte 6`},
		{"a prefix beyond its element", media.XML{}, `<a><b xmlns:p="u"/><p:c/></a>`, `error: the prefix p is not declared, before byte 25`},
		{"a colon alone", media.XML{}, `<a :="1"/>`, `error: : is no name with a prefix, before byte 10`},
		{"no name behind a prefix", media.XML{}, `<a:/>`, `error: a: is no name with a prefix, before byte 5`},
		{"a name that begins with a digit behind its prefix", media.XML{}, `<p:0 xmlns:p="u"/>`, `error: 0 is no name with a prefix, before byte 18`},
		{"an attribute that does", media.XML{Prefixes: true}, `<a xmlns:p="u" p:0=""/>`, `error: 0 is no name with a prefix, before byte 23`},
		{"a prefix that does", media.XML{}, `<a xmlns:0="u"/>`, `error: 0 is no prefix, before byte 16`},
		{"a prefix beyond ASCII", media.XML{Prefixes: true}, `<ä:ö xmlns:ä="u"/>`, `{"ä:ö":{"@xmlns:ä":"u"}}`},
		{"another end", media.XML{}, `<a></b>`, `error: an end of b stands where another is expected, before byte 7`},
		{"an end too many", media.XML{}, `<a/></a>`, `error: an end of a stands where another is expected, before byte 8`},
		{"no end", media.XML{}, `<a>`, `error: it ends too early`},
		{"two roots", media.XML{}, `<a/><b/>`, `error: there is a second outermost element, before byte 8`},
		{"text around", media.XML{}, `<a/>x`, `error: text stands outside of the outermost element, before byte 5`},
		{"another charset", media.XML{}, `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, `error: the charset ISO-8859-1 is not read, send UTF-8, before byte 43`},
		{"no UTF-8", media.XML{}, "<a>\xff</a>", `error: invalid UTF-8, before byte 4`},
		{"too deep", media.XML{}, strings.Repeat("<a>", deep+1) + strings.Repeat("</a>", deep+1), `error: elements are nested deeper than 60, before byte 183`},
		{"too many", media.XML{}, "<a>" + strings.Repeat("<b/>", 100_000) + "</a>", `error: there are more than 100000 elements and attributes, before byte 400003`},
		{"nothing at all", media.XML{}, ` `, `error: it ends too early`},
	} {
		if got := decode(&c.xml, c.body, "text/xml"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	depth := strings.Repeat("<a>", deep) + strings.Repeat("</a>", deep)
	if got := decode(&media.XML{}, depth, ""); strings.HasPrefix(got, "error") {
		t.Errorf("what is as deep as may be: %s", got)
	}
}

func TestXMLIsWrittenFromJSON(t *testing.T) {
	t.Parallel()
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	for _, c := range []struct{ name, root, json, want string }{
		{"members in their order", "", `{"o":{"b":1.10,"a":"x","t":true}}`, head + `<o><b>1.10</b><a>x</a><t>true</t></o>`},
		{"attributes and text", "", `{"o":{"#text":"<&>","@a":"\"\n","@b":null}}`, head + `<o a="&quot;&#xA;">&lt;&amp;&gt;</o>`},
		{"lists, nulls and nothing", "", `{"o":{"i":[1,{"x":2},null],"n":null,"e":[],"s":""}}`, head + `<o><i>1</i><i><x>2</x></i><s></s></o>`},
		{"a carriage return is kept", "", `{"o":"a\r\nb"}`, head + "<o>a&#xD;\nb</o>"},
		{"namespaces", "", `{"p:o":{"@xmlns:p":"urn:p","@p:a":"1","p:i":{"@xmlns":"urn:q"}}}`, head + `<p:o xmlns:p="urn:p" p:a="1"><p:i xmlns="urn:q"></p:i></p:o>`},
		{"a root", "o", `{"a":9007199254740993}`, head + `<o><a>9007199254740993</a></o>`},
		{"a root of text", "o", `"x"`, head + `<o>x</o>`},
		{"a root of a list", "o", `[1]`, "error: the element o cannot be a list"},
		{"two members", "", `{"a":1,"b":2}`, "error: XML has one outermost element, so the JSON is an object with one member that is no list; or write root"},
		{"a list", "", `{"a":[1,2]}`, "error: XML has one outermost element, so the JSON is an object with one member that is no list; or write root"},
		{"a list in a list", "o", `{"a":[[1]]}`, "error: a list in the list a has no form in XML"},
		{"no name", "o", `{"a b":1}`, `error: "a b" is no name of an element`},
		{"letters beyond ASCII", "o", `{"größe":1,"é":2}`, head + `<o><größe>1</größe><é>2</é></o>`},
		{"no letters", "o", `{"ä ":1}`, "error: \"ä \" is no name of an element"},
		{"a name that would end the element", "o", `{"a><b":1}`, `error: "a><b" is no name of an element`},
		{"no name of an attribute", "o", `{"@a=\"1\" b":1}`, `error: "a=\"1\" b" is no name of an attribute`},
		{"an object as attribute", "o", `{"@a":{}}`, "error: an object stands where XML has text"},
		{"a character that XML has not", "o", `"\u0001"`, "error: XML cannot hold the character U+0001"},
		{"a prefix that nobody declares", "o", `{"p:a":1}`, `error: the prefix p is not declared; write "@xmlns:p" beside what uses it`},
		{"a prefix beyond its element", "o", `{"a":{"@xmlns:p":"u"},"p:b":1}`, `error: the prefix p is not declared; write "@xmlns:p" beside what uses it`},
		{"too deep", "o", strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60), "error: elements would be nested deeper than 60"},
	} {
		if got := encode(t, &media.XML{Root: c.root}, c.json); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEnvelopesAreTakenOff(t *testing.T) {
	t.Parallel()
	const soap11, soap12 = "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"
	envelope := func(uri, content string) string {
		return `<e:Envelope xmlns:e="` + uri + `"><e:Header><x/></e:Header>` + content + `</e:Envelope>`
	}
	for _, c := range []struct{ name, body, want string }{
		{"1.1", envelope(soap11, `<e:Body><r><a>1</a></r></e:Body>`), `{"r":{"a":"1"}}`},
		{"1.2", envelope(soap12, `<e:Body><r/></e:Body>`), `{"r":""}`},
		{"nothing", envelope(soap11, `<e:Body/>`), `{}`},
		{"a body of another namespace", envelope(soap11, `<Body/>`), `error: the envelope has 0 bodies`},
		{"two bodies", envelope(soap11, `<e:Body/><e:Body/>`), `error: the envelope has 2 bodies`},
		{"no envelope", `<Envelope/>`, `error: the outermost element is Envelope, and no SOAP envelope`},
		{"a fault of 1.1", envelope(soap11, `<e:Body><e:Fault><faultcode>e:Client</faultcode><faultstring> no such order </faultstring></e:Fault></e:Body>`), `error: a SOAP fault, e:Client: no such order`},
		{"a fault of 1.2", envelope(soap12, `<e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code><e:Reason><e:Text>bad</e:Text></e:Reason></e:Fault></e:Body>`), `error: a SOAP fault, e:Sender: bad`},
		{"a Fault of the service's own", envelope(soap11, `<e:Body><Fault>1</Fault></e:Body>`), `{"Fault":"1"}`},
	} {
		if got := decode(&media.SOAP{}, c.body, "text/xml"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	_, err := media.Parse(&media.SOAP{}, []byte(envelope(soap11, `<e:Body><e:Fault/></e:Body>`)), "", 1<<10)
	if _, ok := errors.AsType[*media.FaultError](err); !ok {
		t.Errorf("%v is no fault", err)
	}
	for version, uri := range map[string]string{"": soap11, "1.2": soap12} {
		want := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + `<soap:Envelope xmlns:soap="` + uri + `"><soap:Body><q xmlns="urn:q"><id>7</id></q></soap:Body></soap:Envelope>`
		if got := encode(t, &media.SOAP{Version: version}, `{"q":{"@xmlns":"urn:q","id":7}}`); got != want {
			t.Errorf("version %q: %s", version, got)
		}
	}
	if got := encode(t, &media.SOAP{}, `[]`); got != "error: the content of a SOAP body is an object with a member for each element, this is a list" {
		t.Error(got)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"fields", `a=1&b=x+y%21&c`, `{"a":"1","b":"x y!","c":"","l":[]}`},
		{"a name several times", `b=2&a=1&a=2&l=3`, `{"b":"2","a":["1","2"],"l":["3"]}`},
		{"nothing between ampersands", `&a=1&&`, `{"a":"1","l":[]}`},
		{"another separator", `a=1;b=2`, `error: a form that servers read differently: it holds a ; or an incomplete %`},
		{"an escape that is none", `a=%zz`, `error: a form that servers read differently: it holds a ; or an incomplete %`},
		{"no UTF-8", `a=%ff`, `error: a field of the form is not UTF-8 with sound escapes`},
		{"too many", strings.Repeat("a&", 1001), `error: there are more than 1000 fields`},
	} {
		if got := decode(&media.Form{Lists: media.Paths{{"l"}}}, c.body, ""); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for json, want := range map[string]string{
		`{"b":"x y&=","a":[1.10,true],"n":null}`: `b=x+y%26%3D&a=1.10&a=true`,
		`{}`:                                     ``,
		`[1]`:                                    `error: a form is made of an object, this is a list`,
		`{"a":{"b":1}}`:                          `error: the field a: an object has no form as plain text`,
		`{"a":[null]}`:                           `error: the field a: null has no form as plain text`,
	} {
		if got := encode(t, &media.Form{}, json); got != want {
			t.Errorf("%s: %s, want %s", json, got, want)
		}
	}
}

func TestMultipartIsReadAndWritten(t *testing.T) {
	t.Parallel()
	const contentType = "multipart/form-data; boundary=X"
	part := func(head, content string) string { return "--X\r\n" + head + "\r\n\r\n" + content + "\r\n" }
	field := func(name string) string { return `Content-Disposition: form-data; name="` + name + `"` }
	for _, c := range []struct{ name, contentType, body, want string }{
		{"fields", contentType, part(field("a"), "1") + part(field("b"), "ä") + part(field("a"), "2") + "--X--", `{"a":["1","2"],"b":"ä"}`},
		{"a file", contentType, part(field("p")+`; filename="../x/a.png"`+"\r\nContent-Type: image/png", "\x89PNG") + "--X--", `{"p":{"filename":"a.png","type":"image/png","data":"iVBORw=="}}`},
		{"JSON", contentType, part(field("j")+"\r\nContent-Type: application/json", `{"n":1.10}`) + "--X--", `{"j":{"n":1.10}}`},
		{"broken JSON", contentType, part(field("j")+"\r\nContent-Type: application/json", `{`) + "--X--", "error: the part j: it is no JSON: the text ends where a member's name is expected, in double quotes at byte 1"},
		{"bytes in a field", contentType, part(field("a"), "\xff") + "--X--", "error: the part a: it is not UTF-8"},
		{"no name", contentType, part("Content-Disposition: form-data", "1") + "--X--", "error: the part : it has no name"},
		{"a transfer encoding", contentType, part(field("a")+"\r\nContent-Transfer-Encoding: base64", "MQ==") + "--X--", "error: the part a: it has a transfer encoding, which forms have no more"},
		{"it breaks off", contentType, part(field("a"), "1"), "error: the part a: it breaks off"},
		{"no boundary", "multipart/form-data", "", "error: its Content-Type names no boundary"},
		{"too many", contentType, strings.Repeat(part(field("a"), "1"), 101) + "--X--", "error: there are more than 100 fields"},
	} {
		if got := decode(&media.Multipart{}, c.body, c.contentType); got != c.want && (!strings.HasPrefix(c.name, "broken") || !strings.HasPrefix(got, "error: the part j: it is no JSON")) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	const json = `{"t":"x\r\n--X","n":1.10,"l":["1","2"],"o":{"a":1},"f":{"filename":"a\"b.png","type":"image/png","data":"iVBORw=="}}`
	v, err := jsonx.Parse([]byte(json), jsonx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	body, kind, err := (&media.Multipart{}).Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != "multipart/form-data" {
		t.Errorf("%s: %v", kind, err)
	}
	want := strings.NewReplacer(`1.10`, `"1.10"`, `a\"b.png`, `a%22b.png`).Replace(json)
	if got := decode(&media.Multipart{}, string(body), kind); got != want {
		t.Errorf("written and read again it is %s, not %s", got, want)
	}
	for json, want := range map[string]string{
		`{"a":[[1]]}`:                     "error: the part a: a list in a list has no form as parts",
		`{"a":{"data":"?"}}`:              "error: the part a: the string is not base64",
		`{"a":{"data":"","type":"a\nb"}}`: "error: the part a: its type holds a control character",
	} {
		if got := encode(t, &media.Multipart{}, json); got != want {
			t.Errorf("%s: %s, want %s", json, got, want)
		}
	}
}

// What a small body could be made to cost is bounded: a name stands before each element of its list, and each
// prefix is looked for among those that are declared.
func TestSmallBodiesDoNotBecomeLargeOnes(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("n", 100_000)
	long := `{"` + name + `":[1` + strings.Repeat(",1", 5000) + `]}`
	for kind, f := range map[string]media.Format{"form": &media.Form{}, "xml": &media.XML{Root: "r"}, "soap": &media.SOAP{}} {
		if got := encode(t, f, long); !strings.Contains(got, "it would be longer than 9") {
			t.Errorf("%s: %.100s", kind, got)
		}
	}
	if got := encode(t, &media.Multipart{}, long); !strings.Contains(got, "more than 100 parts") && !strings.Contains(got, "it would be longer than") {
		t.Errorf("multipart: %.100s", got)
	}
	var read, written strings.Builder
	for i := range 300 {
		fmt.Fprintf(&read, ` xmlns:p%d="u"`, i)
		fmt.Fprintf(&written, `"@xmlns:p%d":"u",`, i)
	}
	if got := decode(&media.XML{}, "<a"+read.String()+"/>", ""); !strings.Contains(got, "more than 256 prefixes are declared") {
		t.Errorf("read: %.100s", got)
	}
	if got := encode(t, &media.XML{Root: "r"}, "{"+written.String()+`"a":1}`); got != "error: more than 256 prefixes would be declared" {
		t.Errorf("written: %.100s", got)
	}
}

func TestPlainFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format     media.Format
		body, want string
	}{
		{&media.JSON{}, ` {"a": 1.10, "b": 9007199254740993} `, `{"a": 1.10, "b": 9007199254740993}`},
		{&media.JSON{}, `{"a":1,"a":2}`, "error: the object has this name twice at byte 7"},
		{&media.JSON{}, "\"\xff\"", "error: this string is not valid UTF-8 at byte 0"},
		{&media.Text{}, "a\"\n", `"a\"\n"`},
		{&media.Text{}, "\xff", "error: it is not UTF-8"},
		{&media.Bytes{}, "\xff\x00", `"/wA="`},
	} {
		if got := decode(c.format, c.body, ""); got != c.want {
			t.Errorf("%T of %q: %s, want %s", c.format, c.body, got, c.want)
		}
	}
	for _, c := range []struct {
		format     media.Format
		json, want string
	}{
		{&media.Text{}, `"a\n"`, "a\n"},
		{&media.Text{}, `1.10`, "1.10"},
		{&media.Text{}, `{}`, "error: an object has no form as plain text"},
		{&media.Bytes{}, `"/wA="`, "\xff\x00"},
		{&media.Bytes{}, `"/wA"`, "\xff\x00"},
		{&media.Bytes{}, `"?"`, "error: the string is not base64"},
		{&media.Bytes{}, `7`, "error: base64 is a string, this is a number"},
	} {
		if got := encode(t, c.format, c.json); got != c.want {
			t.Errorf("%T of %s: %q, want %q", c.format, c.json, got, c.want)
		}
	}
}

func TestWhichBodiesAreRead(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string][]string{
		"":                                  media.Names(),
		"application/json":                  {"json", "bytes"},
		"Application/Vnd.API+JSON; a=b":     {"json", "bytes"},
		"text/xml; charset=\"UTF-8\"":       {"xml", "soap", "text", "bytes"},
		"application/soap+xml; action=x":    {"xml", "soap", "bytes"},
		"text/plain; charset=iso-8859-1":    {"bytes"},
		"application/x-www-form-urlencoded": {"form", "bytes"},
		"multipart/form-data; boundary=x":   {"multipart", "bytes"},
		"text/event-stream":                 {"text", "bytes"},
		"application/grpc":                  {"bytes"},
	} {
		got := slices.DeleteFunc(media.Names(), func(name string) bool { return !media.Reads(name, contentType) })
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", contentType, got, want)
		}
	}
}

// FuzzXML: what is read can be written, and is then read as the same; no text becomes an element.
func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		`<a x="1"><b>t</b><b/>&lt;</a>`, `<p:a xmlns:p="u" p:x="&#10;"/>`, "<a>\r\n&#13;</a>", `<!DOCTYPE a><a/>`,
		`<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><b i:nil="1"/></a>`, `<a><![CDATA[]]&gt;]]></a>`, `<A0 :=""/>`, `<A xmlns:p="0"p:0=""/>`, `<p:0 xmlns:p="u"/>`, `<A xmlns:0="u"/>`,
	} {
		f.Add(seed)
	}
	x := &media.XML{Prefixes: true}
	f.Fuzz(func(t *testing.T, body string) {
		first, err := media.Parse(x, []byte(body), "", 1<<20)
		if err != nil || strings.Contains(first.Raw(), "null") { // which is written as nothing
			return
		}
		written, _, err := x.Append(nil, first)
		if err != nil {
			t.Fatalf("%q was read as %s: %v", body, first.Raw(), err)
		}
		second, err := media.Parse(x, written, "", 1<<20)
		if err != nil || second.Raw() != first.Raw() {
			t.Fatalf("%q was read as %s, written as %q and read as %s, %v", body, first.Raw(), written, second.Raw(), err)
		}
	})
}

// FuzzForm: what is read and written again is the same.
func FuzzForm(f *testing.F) {
	f.Add("a=1&b=%20+x&a=2&=&%26=%3D")
	form := &media.Form{}
	f.Fuzz(func(t *testing.T, body string) {
		first, err := media.Parse(form, []byte(body), "", 1<<20)
		if err != nil {
			return
		}
		written, _, err := form.Append(nil, first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := media.Parse(form, written, "", 1<<20); err != nil || second.Raw() != first.Raw() {
			t.Fatalf("%q was read as %s, written as %q and read as %s, %v", body, first.Raw(), written, second.Raw(), err)
		}
	})
}

// FuzzJSONAsXML: whatever JSON a client sends, what is written is XML, and has the elements that it says.
func FuzzJSONAsXML(f *testing.F) {
	f.Add(`{"a":"</o><x>","@b":"\" c=\"","#text":"]]>"}`)
	f.Add(`{"a":[1,null,{"b":[]}],"ä":true}`)
	x := &media.XML{Root: "o", Prefixes: true}
	f.Fuzz(func(t *testing.T, json string) {
		v, err := jsonx.Parse([]byte(json), jsonx.Options{Unique: true})
		if err != nil {
			return
		}
		written, _, err := x.Append(nil, v)
		if err != nil {
			return
		}
		if _, err := media.Parse(x, written, "", 1<<20); err != nil {
			t.Fatalf("%s was written as %q: %v", json, written, err)
		}
	})
}

// FuzzMultipart: nothing that comes makes trouble, and what is read can be written and read as the same.
func FuzzMultipart(f *testing.F) {
	f.Add("--X\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: c/d\r\n\r\nx\r\n--X--")
	f.Add("--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X--")
	f.Fuzz(func(t *testing.T, body string) {
		first, err := media.Parse(&media.Multipart{}, []byte(body), "multipart/form-data; boundary=X", 1<<20)
		if err != nil {
			return
		}
		written, kind, err := (&media.Multipart{}).Append(nil, first)
		if err != nil {
			return // a part of JSON may hold what has no form as one
		}
		if _, err := media.Parse(&media.Multipart{}, written, kind, 1<<20); err != nil {
			t.Fatalf("%q was read as %s, written as %q and then: %v", body, first.Raw(), written, err)
		}
	})
}

func BenchmarkXML(b *testing.B) {
	body := []byte(`<order id="7"><customer><name>Ann</name><city>Berlin</city></customer>` + strings.Repeat(`<item sku="1"><name>Tea</name><price>4.20</price></item>`, 10) + `</order>`)
	x := &media.XML{}
	v, err := media.Parse(x, body, "", 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := media.Parse(x, body, "", 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			if buf, _, err = x.Append(buf[:0], v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestBase64OfAFileIsItsContent(t *testing.T) {
	t.Parallel()
	content := "\x00\xff--X\r\n"
	json := `{"f":{"data":"` + base64.StdEncoding.EncodeToString([]byte(content)) + `"}}`
	if got := encode(t, &media.Multipart{}, json); !strings.Contains(got, "\r\n\r\n"+content+"\r\n--") {
		t.Errorf("%q", got)
	}
}
