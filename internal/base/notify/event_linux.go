package notify

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// event is one of the kernel's (struct inotify_event).
type event struct {
	number int32  // of the watch; -1 where it is none's
	mask   uint32 // what has happened
	name   string // of what it has happened to, in the folder; none is the folder itself
}

// parse reads the first of the events that were read together. The kernel gives
// only whole ones; ok is false for what is not.
func parse(events []byte) (e event, rest []byte, ok bool) {
	if len(events) < unix.SizeofInotifyEvent {
		return event{}, nil, false
	}
	// Between mask and length is a cookie, which joins the two sides of a move.
	head, rest := events[:unix.SizeofInotifyEvent], events[unix.SizeofInotifyEvent:]
	length := binary.NativeEndian.Uint32(head[12:])
	if uint64(length) > uint64(len(rest)) {
		return event{}, nil, false
	}
	return event{
		number: int32(binary.NativeEndian.Uint32(head)),
		mask:   binary.NativeEndian.Uint32(head[4:]),
		name:   unix.ByteSliceToString(rest[:length]), // it is filled up with zeros
	}, rest[length:], true
}
