// Package attack tests that nobody gets in who should not. A table of attacks, class by class, is sent to the real
// binary over sockets. Each attack is denied, and the backend is never called.
//
// A class is a function that returns its attacks by name (jose_test.go, path_test.go, header_test.go,
// protocol_test.go); the table of classes is in attack_test.go. Other defences are described in docs/abuse.md.
// Attacks on message framing are in test/corpora.
package attack
