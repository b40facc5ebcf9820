package etcd

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages are those of etcd's etcdserverpb/rpc.proto and mvccpb/kv.proto, with the fields that are needed here.
// Numbers in the code are field numbers; unknown fields are ignored, as is usual for protocol buffers.

// header says which cluster answered, and at which revision of the store.
type header struct {
	cluster  uint64
	revision int64
}

// pair is a key with its value. If the key was deleted, value is nil, and create and lease are 0.
type pair struct {
	key    string
	value  []byte
	create int64 // revision
	mod    int64 // revision
	lease  int64
}

// event is a change of one key.
type event struct {
	pair

	deleted bool
}

// prefixEnd returns the end of the range of all keys that begin with prefix (RangeRequest.range_end).
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0} // all keys after it
}

func appendRange(b []byte, prefix string) []byte {
	b = appendText(b, 1, prefix)
	return appendText(b, 2, string(prefixEnd(prefix)))
}

// rangeRequest asks for all keys of a prefix, as the majority of the cluster knows them.
func rangeRequest(prefix string) []byte { return appendRange(nil, prefix) }

// authenticateRequest asks for a token.
func authenticateRequest(user, password string) []byte {
	return appendText(appendText(nil, 1, user), 2, password)
}

// watchRequest asks for all changes of a prefix from a revision on, with progress notifications when there are none for
// long.
func watchRequest(id int64, prefix string, from int64) []byte {
	create := appendRange(nil, prefix)
	create = appendNumber(create, 3, from)
	create = appendNumber(create, 4, 1)
	create = appendNumber(create, 7, id)
	return appendText(nil, 1, string(create))
}

// cancelRequest ends a watch.
func cancelRequest(id int64) []byte { return appendText(nil, 2, string(appendNumber(nil, 1, id))) }

func appendText(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendNumber(b []byte, field protowire.Number, n int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n))
}

// rangeResponse is the content of a prefix.
type rangeResponse struct {
	header header
	pairs  []pair
}

func readRange(b []byte) (rangeResponse, error) {
	var r rangeResponse
	err := eachField(b, func(field protowire.Number, _ uint64, inner []byte) error {
		var err error
		switch field {
		case 1:
			r.header, err = readHeader(inner)
		case 2:
			var p pair
			if p, err = readPair(inner); err == nil {
				r.pairs = append(r.pairs, p)
			}
		}
		return err
	})
	return r, err
}

// readToken reads an AuthenticateResponse.
func readToken(b []byte) (token string, err error) {
	err = eachField(b, func(field protowire.Number, _ uint64, inner []byte) error {
		if field == 2 {
			token = string(inner)
		}
		return nil
	})
	return token, err
}

// watchResponse is a message of one watch.
type watchResponse struct {
	header    header
	id        int64
	created   bool
	canceled  bool
	compacted int64 // the oldest available revision, if the watch asked for older ones; else 0
	reason    string
	events    []event
}

func readWatch(b []byte) (watchResponse, error) {
	var r watchResponse
	err := eachField(b, func(field protowire.Number, n uint64, inner []byte) error {
		var err error
		switch field {
		case 1:
			r.header, err = readHeader(inner)
		case 2:
			r.id = int64(n)
		case 3:
			r.created = n != 0
		case 4:
			r.canceled = n != 0
		case 5:
			r.compacted = int64(n)
		case 6:
			r.reason = string(inner)
		case 11:
			var e event
			if e, err = readEvent(inner); err == nil {
				r.events = append(r.events, e)
			}
		}
		return err
	})
	return r, err
}

func readHeader(b []byte) (header, error) {
	var h header
	err := eachField(b, func(field protowire.Number, n uint64, _ []byte) error {
		switch field {
		case 1:
			h.cluster = n
		case 3:
			h.revision = int64(n)
		}
		return nil
	})
	return h, err
}

func readEvent(b []byte) (event, error) {
	var e event
	err := eachField(b, func(field protowire.Number, n uint64, inner []byte) error {
		var err error
		switch field {
		case 1:
			e.deleted = n == 1
		case 2:
			e.pair, err = readPair(inner)
		}
		return err
	})
	return e, err
}

func readPair(b []byte) (pair, error) {
	var p pair
	err := eachField(b, func(field protowire.Number, n uint64, inner []byte) error {
		switch field {
		case 1:
			p.key = string(inner)
		case 2:
			p.create = int64(n)
		case 3:
			p.mod = int64(n)
		case 5:
			p.value = append([]byte{}, inner...)
		case 6:
			p.lease = int64(n)
		}
		return nil
	})
	return p, err
}

var errMessage = errors.New("it sent what is no message of etcd")

// eachField calls f for each field of a message: with its number n if it is one, else with its content.
func eachField(b []byte, f func(field protowire.Number, n uint64, inner []byte) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errMessage
		}
		b = b[size:]
		var n uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			inner, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(field, kind, b)
		}
		if size < 0 {
			return errMessage
		}
		b = b[size:]
		if err := f(field, n, inner); err != nil {
			return err
		}
	}
	return nil
}
