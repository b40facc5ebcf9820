package notify

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// event is one event of the kernel (struct inotify_event).
type event struct {
	number int32  // of the watch; -1 if it belongs to none
	mask   uint32 // what has happened
	name   string // of the changed file in the folder; empty for the folder itself
}

// parse reads the first of the events in a buffer. The kernel returns only complete events; ok is false for anything
// else.
func parse(events []byte) (e event, rest []byte, ok bool) {
	if len(events) < unix.SizeofInotifyEvent {
		return event{}, nil, false
	}
	// Between mask and length there is a cookie, which connects the two events of a move.
	head, rest := events[:unix.SizeofInotifyEvent], events[unix.SizeofInotifyEvent:]
	length := binary.NativeEndian.Uint32(head[12:])
	if uint64(length) > uint64(len(rest)) {
		return event{}, nil, false
	}
	return event{
		number: int32(binary.NativeEndian.Uint32(head)),
		mask:   binary.NativeEndian.Uint32(head[4:]),
		name:   unix.ByteSliceToString(rest[:length]), // it is padded with zeros
	}, rest[length:], true
}
