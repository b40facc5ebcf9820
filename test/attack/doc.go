// Package attack checks that no request gets in that should not. It sends a table of attacks, class by class, to the
// real binary over sockets. Each of them must be denied, and the backend is never called.
//
// A class is a function that returns its attacks by name (jose_test.go, path_test.go, header_test.go,
// protocol_test.go); the table of classes is in attack_test.go. docs/abuse.md describes what else is done against
// attackers; message framing is attacked in test/corpora.
package attack
