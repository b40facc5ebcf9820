package cloud

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// mostPort is the largest TCP port (RFC 9293 section 3.1).
const mostPort = 1<<16 - 1

// CheckEndpoint says what is wrong with a URL at which a platform is called instead of its usual address.
func CheckEndpoint(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it is no URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it begins with https://, or with http:// where nothing is secret on the way")
	case u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("it is a scheme and a host, and a port where that is another one")
	}
	return CheckPort(u)
}

// CheckPort says what is wrong with a URL's port, which may be missing.
func CheckPort(u *url.URL) error {
	text := u.Port()
	if text == "" && !strings.HasSuffix(u.Host, ":") {
		return nil
	}
	if port, err := strconv.Atoi(text); err != nil || port < 1 || port > mostPort {
		return errors.New("it has a port from 1 to 65535, or none")
	}
	return nil
}
