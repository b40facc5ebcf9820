package compile

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// A part of a config need not be made again if it says the same as before and if everything that was asked while it was
// made would be answered the same again. So one changed route costs one route, and a changed secret, service or way of
// recognising callers costs those parts that use it.

// question is something that was asked for, with what identifies the answer.
type question struct {
	again func(*build) any // comparable; nil if there is no answer
	got   any
}

// stillSo reports whether all questions would be answered the same now. The parts among the answers are then used by
// this build.
func (b *build) stillSo(asked []question) bool {
	for _, q := range asked {
		if now := q.again(b); now == nil || now != q.got {
			return false
		}
	}
	return true
}

// recorder answers what a part asks for while it is made, and records the questions.
type recorder struct {
	build   *build // nil once the part is made, so that a part that keeps its Env does not keep the config
	resolve func(secret.Template) (secret.Value, error)
	asked   []question
}

func (b *build) record() *recorder {
	return &recorder{build: b, resolve: b.compiler.options.Secret}
}

func (c *recorder) note(again func(*build) any, got any) {
	c.asked = append(c.asked, question{again, got})
}

// done ends the recording.
func (c *recorder) done() []question {
	c.build = nil
	return c.asked
}

// errMade is the error for a part that asks while it should serve.
var errMade = errors.New("this can be asked for only while the config is compiled")

// secret resolves a secret.
func (c *recorder) secret(t secret.Template) (secret.Value, error) {
	value, err := c.resolve(t)
	if c.build != nil && err == nil {
		c.note(func(b *build) any { return b.secretDigest(t) }, digestOf(value))
	}
	return value, err
}

// secretDigest identifies a secret's value; nil if it cannot be read.
func (b *build) secretDigest(t secret.Template) any {
	value, err := b.compiler.options.Secret(t)
	if err != nil {
		return nil
	}
	return digestOf(value)
}

func digestOf(value secret.Value) any { return sha256.Sum256([]byte(value.Reveal())) }

// keep returns state that lives longer than one snapshot, or nil if a config is only checked.
func (c *recorder) keep(name string, makeIt func() (any, func(context.Context), error)) (any, error) {
	switch {
	case c.build == nil:
		return nil, errMade
	case !c.build.start:
		return nil, nil
	}
	value, err := keep(c.build, name, always, makeIt)
	c.uses(name)
	return value, err
}

// uses records a part by its name, if this build has it.
func (c *recorder) uses(name string) {
	if p, ok := c.build.used.parts[name]; ok {
		c.note(func(b *build) any { return b.again(name) }, p)
	}
}

// await makes the build wait for something before it serves.
func (c *recorder) await(what string, ready <-chan struct{}) {
	if c.build != nil {
		c.build.awaited = append(c.build.awaited, awaited{what, ready})
	}
}

// again uses a live part and returns it; nil if there is none with that name.
func (b *build) again(name string) any {
	if p, ok := b.used.parts[name]; ok {
		return p
	}
	if p, ok := b.compiler.kept[name]; ok {
		b.used.parts[name] = p
		return p
	}
	return nil
}

// backend resolves a reference with the settings of calls, which holds no more of the config than they need.
func (c *recorder) backend(calls *config.Route, ref config.Ref) (resolved, error) {
	found, err := c.build.backend(calls, ref)
	if err == nil {
		c.note(func(b *build) any {
			again, _ := b.backend(calls, ref)
			return again.identity
		}, found.identity)
	}
	return found, err
}
