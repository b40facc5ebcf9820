// Package attack holds that nobody comes in who should not: a table of what attackers
// send, class by class, against the real binary over sockets. Each of them is denied, and the
// backend is never called.
//
// A class is a function that gives its attacks by name (jose_test.go, path_test.go,
// header_test.go, protocol_test.go); the table of classes is in attack_test.go. What else is done about
// those who would is told in docs/abuse.md; message framing is attacked in test/corpora.
package attack
