//go:build !poison

package http1

import "net/url"

// What poison.go does is for tests.

func (t *turn) newReply() *response { return &t.reply }

func scramble([]byte)        {}
func scrambleLines([]string) {}
func scrambleURL(u *url.URL) { *u = url.URL{} }
