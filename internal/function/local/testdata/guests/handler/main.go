//go:build wasip1

// Command handler is a guest for tests that is kept between requests, by the HTTP handler ABI of http-wasm.io. Build it
// with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared.
package main

import (
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport http_handler get_method
func getMethod(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_uri
func getURI(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_protocol_version
func getProtocol(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_source_addr
func getSource(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_config
func getConfig(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler set_uri
func setURI(buf unsafe.Pointer, n uint32)

//go:wasmimport http_handler set_method
func setMethod(buf unsafe.Pointer, n uint32)

//go:wasmimport http_handler enable_features
func enableFeatures(f uint32) uint32

//go:wasmimport http_handler log_enabled
func logEnabled(level int32) uint32

//go:wasmimport http_handler get_header_names
func getNames(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler get_header_values
func getValues(kind uint32, name unsafe.Pointer, n uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler set_header_value
func setValue(kind uint32, name unsafe.Pointer, n uint32, value unsafe.Pointer, m uint32)

//go:wasmimport http_handler add_header_value
func addValue(kind uint32, name unsafe.Pointer, n uint32, value unsafe.Pointer, m uint32)

//go:wasmimport http_handler remove_header
func removeHeader(kind uint32, name unsafe.Pointer, n uint32)

//go:wasmimport http_handler read_body
func readBody(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler write_body
func writeBody(kind uint32, body unsafe.Pointer, n uint32)

//go:wasmimport http_handler get_status_code
func getStatus() uint32

//go:wasmimport http_handler set_status_code
func setStatus(code uint32)

//go:wasmimport http_handler log
func log(level int32, message unsafe.Pointer, n uint32)

const request, response = 0, 1

func at(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func get(f func(unsafe.Pointer, uint32) uint32) string {
	buf := make([]byte, f(nil, 0))
	if len(buf) > 0 {
		f(unsafe.Pointer(&buf[0]), uint32(len(buf)))
	}
	return string(buf)
}

func list(f func(unsafe.Pointer, uint32) uint64) []string {
	size := f(nil, 0)
	if uint32(size) == 0 {
		return nil
	}
	buf := make([]byte, uint32(size))
	f(unsafe.Pointer(&buf[0]), uint32(len(buf)))
	all := strings.Split(strings.TrimSuffix(string(buf), "\x00"), "\x00")
	if len(all) != int(size>>32) {
		panic("the count is not that of the values")
	}
	return all
}

func values(kind uint32, name string) []string {
	return list(func(buf unsafe.Pointer, n uint32) uint64 { return getValues(kind, at(name), uint32(len(name)), buf, n) })
}

func set(name, value string) {
	setValue(response, at(name), uint32(len(name)), at(value), uint32(len(value)))
}

func add(name, value string) {
	addValue(response, at(name), uint32(len(name)), at(value), uint32(len(value)))
}

func write(text string) { writeBody(response, at(text), uint32(len(text))) }

func body() string {
	var all []byte
	buf := make([]byte, 1000)
	for {
		n := readBody(request, unsafe.Pointer(&buf[0]), uint32(len(buf)))
		all = append(all, buf[:uint32(n)]...)
		if n>>32 == 1 {
			return string(all)
		}
	}
}

var served int

// Guests read their configuration when they start.
var config, features = get(getConfig), enableFeatures(3)

func init() {
	if os.Getenv("INIT") == "trap" {
		panic("cannot find my config")
	}
	if os.Getenv("INIT") == "hang" {
		for {
		}
	}
}

//go:wasmexport handle_request
func handleRequest() uint64 {
	served++
	uri := get(getURI)
	path, _, _ := strings.Cut(uri, "?")
	switch path {
	case "/hello":
		write("hello")
	case "/seen":
		set("Content-Type", "text/plain")
		write(get(getMethod) + " " + uri + " " + get(getProtocol) + " " + get(getSource) + " config=" + config + "\n")
		for _, name := range list(func(buf unsafe.Pointer, n uint32) uint64 { return getNames(request, buf, n) }) {
			write(name + ": " + strings.Join(values(request, name), "|") + "\n")
		}
		missing := len(values(request, "X-Missing"))
		trailers := len(list(func(buf unsafe.Pointer, n uint32) uint64 { return getNames(2, buf, n) }))
		write("missing " + strconv.Itoa(missing) + ", trailers " + strconv.Itoa(trailers) + ", features " + strconv.Itoa(int(features)) +
			", debug " + strconv.Itoa(int(logEnabled(-1))) + ", status " + strconv.Itoa(int(getStatus())) +
			", env " + strings.Join(os.Environ(), " ") + ", args " + strings.Join(os.Args, " ") + "\n")
	case "/echo":
		setStatus(201)
		add("Set-Cookie", "a=1")
		add("Set-Cookie", "b=2")
		set("X-Gone", "x")
		removeHeader(response, at("X-Gone"), 6)
		set("Transfer-Encoding", "chunked")
		write(body())
	case "/changed":
		setURI(at("/other?y=2"), 10)
		setMethod(at("PATCH"), 5)
		setValue(request, at("X-New"), 5, at("new"), 3)
		writeBody(request, at("replaced"), 8)
		write(get(getMethod) + " " + get(getURI) + " " + strings.Join(values(request, "x-new"), ",") + " " + body())
	case "/served":
		write(strconv.Itoa(served))
	case "/log":
		text := "by the ABI"
		log(1, at(text), uint32(len(text)))
		_, _ = os.Stdout.WriteString("to stdout\n")
		_, _ = os.Stderr.WriteString("to stderr")
	case "/big":
		write(strings.Repeat("x", 2<<20))
	case "/clock":
		time.Sleep(time.Millisecond)
		write(time.Now().Format(time.DateOnly))
	case "/files":
		_, err := os.ReadFile("/etc/passwd")
		write(err.Error())

	case "/trap":
		panic("out of tea")
	case "/exit":
		os.Exit(7)
	case "/loop":
		for {
		}
	case "/sleep":
		time.Sleep(time.Hour)
	case "/next":
		return 1
	case "/bomb":
		var held [][]byte
		for {
			held = append(held, make([]byte, 1<<20))
			held[len(held)-1][0] = 1
		}
	case "/flood":
		for {
			write(strings.Repeat("x", 1<<20))
		}
	case "/field":
		set("X-Split", "a\r\nSet-Cookie: b=1")
	case "/status":
		setStatus(99)
	case "/trailer":
		setValue(3, at("X"), 1, at("y"), 1)
	case "/outside":
		writeBody(response, unsafe.Pointer(uintptr(0xfffffff0)), 100)
	case "/deep":
		write(strconv.Itoa(deep(1)))
	}
	return 0
}

//go:noinline
func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n+1) + 1
}

//go:wasmexport handle_response
func handleResponse(ctx, isError uint32) {}

func main() {}
