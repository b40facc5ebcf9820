package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// magic begins every WebAssembly binary. The version and the layer follow, two bytes each (Component Model,
// "Binary.md", preamble).
const magic = "\x00asm"

const (
	preamble  = 8
	coreLayer = 0
)

// Is reports whether the file at path begins like a WebAssembly binary.
func Is(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, len(magic))
	_, err = io.ReadFull(file, head)
	return err == nil && string(head) == magic
}

// ErrComponent is the error for a component.
var ErrComponent = errors.New("it is a component (WASI 0.2 or later), and core modules for WASI preview 1 are what is run here; " +
	"build it for that: GOOS=wasip1 GOARCH=wasm in Go, --target wasm32-wasip1 in Rust, -target=wasip1 in TinyGo, without componentize or wasm-tools component new")

// Check checks the beginning of the file at path, without compiling it.
func Check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, preamble)
	n, _ := io.ReadFull(file, head) // checkPreamble reports too few bytes
	if err := checkPreamble(head[:n]); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func checkPreamble(binary []byte) error {
	switch {
	case len(binary) < preamble || string(binary[:len(magic)]) != magic:
		return errors.New("it is no WebAssembly binary: it does not begin with \\0asm and a version")
	case little(binary[6:]) != coreLayer:
		return ErrComponent
	case little(binary[4:]) != 1:
		return fmt.Errorf("it has version %d of the core format, and 1 is what there is", little(binary[4:]))
	}
	return nil
}

func little(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }

// mostModule bounds a module's file.
const mostModule = 64 << 20

// read reads a module.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if info.Size() > mostModule {
		return nil, fmt.Errorf("%s has more than %d MiB", path, mostModule>>20)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	return module, checkPreamble(module)
}

// The sections that bound reads (WebAssembly Core 2.0, section 5.5.2).
const (
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	sectionCode   = 10
)

const (
	mostEntries = 1 << 20 // per table; each takes 8 bytes
	mostTables  = 16
)

// bound returns the module with bounds added that the engine would not enforce by itself. A table without a maximum
// could grow until the whole program is out of memory. A memory that may grow beyond pages may then grow only to pages.
// Functions that call themselves can then be killed.
func bound(module []byte, pages uint32) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(module)+preamble))
	out.Write(module[:preamble])
	imported := uint32(0)
	for in := (reader{rest: module[preamble:]}); len(in.rest) > 0; {
		id := in.byte()
		content := in.take(in.u32())
		if in.failed {
			return nil, errors.New("it ends in the middle of a section")
		}
		var err error
		switch id {
		case sectionImport:
			imported = importedFunctions(content)
		case sectionCode:
			content = guardRecursion(content, imported)
		case sectionTable:
			content, err = boundTables(content)
		case sectionMemory:
			content, err = boundMemories(content, pages)
		}
		if err != nil {
			return nil, err
		}
		out.WriteByte(id)
		out.Write(appendU32(nil, uint32(len(content))))
		out.Write(content)
	}
	return out.Bytes(), nil
}

func boundTables(content []byte) ([]byte, error) {
	in := reader{rest: content}
	n := in.u32()
	if n > mostTables {
		return nil, fmt.Errorf("it has %d tables, and at most %d are allowed", n, mostTables)
	}
	out := appendU32(nil, n)
	for range n {
		kind := in.byte()
		const funcref, externref = 0x70, 0x6f
		if kind != funcref && kind != externref {
			return nil, fmt.Errorf("it has a table of type %#x, and only functions and externals are known", kind)
		}
		limits, err := in.limits(mostEntries, "entries of a table")
		if err != nil {
			return nil, err
		}
		out = append(append(out, kind), limits...)
	}
	return out, in.end()
}

func boundMemories(content []byte, pages uint32) ([]byte, error) {
	in := reader{rest: content}
	n := in.u32()
	if n > 1 {
		return nil, fmt.Errorf("it has %d memories, and one is allowed", n)
	}
	out := appendU32(nil, n)
	for range n {
		limits, err := in.limits(pages, "pages of 64 KiB, which is what `memory` is")
		if err != nil {
			return nil, err
		}
		out = append(out, limits...)
	}
	return out, in.end()
}

// limits reads limits and returns them with a maximum of at most most. A memory without a maximum stays without one:
// the engine enforces the limit, and the compiled code can be reused when the config sets another size.
func (r *reader) limits(most uint32, what string) ([]byte, error) {
	flag, least := r.byte(), r.u32()
	upper := most
	if flag == 1 {
		upper = min(upper, r.u32())
	}
	switch {
	case r.failed:
		return nil, errors.New("it ends in the middle of a section")
	case flag > 1:
		return nil, errors.New("it shares its memory between threads, or has 64 bit addresses; neither is known")
	case least > upper:
		return nil, fmt.Errorf("it begins with %d of %d %s", least, most, what)
	}
	if flag == 0 && most < mostEntries {
		return appendU32([]byte{0}, least), nil
	}
	return appendU32(appendU32([]byte{1}, least), upper), nil
}

// reader reads a binary. Missing bytes are read as zero and set failed.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.failed = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// u32 reads an unsigned LEB128 of at most 32 bits.
func (r *reader) u32() uint32 {
	var value uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if value > 1<<32-1 {
				break
			}
			return uint32(value)
		}
	}
	r.failed = true
	return 0
}

func (r *reader) end() error {
	if r.failed || len(r.rest) > 0 {
		return errors.New("one of its sections has another length than it says")
	}
	return nil
}

func appendU32(to []byte, value uint32) []byte { return binary.AppendUvarint(to, uint64(value)) }
