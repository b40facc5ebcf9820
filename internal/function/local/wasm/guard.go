package wasm

// The engine can kill a guest only where a loop begins. A function that calls itself without a loop, such as a naive
// fib, could therefore run practically forever. So a loop that runs once is put at the beginning of enough functions
// that each cycle of calls has one. Cycles that close only by indirect calls are not detected.

// guardRecursion returns the content of the code section with those loops added. It returns code unchanged if code has
// unknown instructions, and leaves these to the engine.
func guardRecursion(code []byte, imported uint32) []byte {
	in := reader{rest: code}
	bodies := make([]body, 0, 64)
	for range in.u32() {
		b, ok := readBodyOf(in.take(in.u32()), imported)
		if !ok || in.failed {
			return code
		}
		bodies = append(bodies, b)
	}
	if in.end() != nil || !markCircles(bodies) {
		return code
	}
	out := appendU32(make([]byte, 0, len(code)+len(code)/8), uint32(len(bodies)))
	for _, b := range bodies {
		added := 0
		if b.marked {
			added = len(emptyLoop)
		}
		out = appendU32(out, uint32(len(b.text)+added))
		out = append(out, b.text[:b.begin]...)
		out = append(out, emptyLoop[:added]...)
		out = append(out, b.text[b.begin:]...)
	}
	return out
}

// emptyLoop is `loop end`.
const emptyLoop = "\x03\x40\x0b"

// body is the code of one function.
type body struct {
	text   []byte
	begin  int      // where its instructions begin, after its locals
	calls  []uint32 // the functions of the module that it calls, by index
	loops  bool     // each call of it reaches a loop before it calls another
	marked bool
	state  visit
}

type visit uint8

const (
	unseen visit = iota
	under
	seen
)

// markCircles marks functions so that each cycle of calls has one that is marked or loops, and reports whether it has
// marked any.
func markCircles(bodies []body) (found bool) {
	var follow func(i uint32)
	follow = func(i uint32) {
		b := &bodies[i]
		b.state = under
		for _, callee := range b.calls {
			if callee >= uint32(len(bodies)) || bodies[callee].loops {
				continue
			}
			switch bodies[callee].state {
			case unseen:
				follow(callee)
			case under: // the cycle closes here
				bodies[callee].marked, found = true, true
			case seen:
			}
		}
		b.state = seen
	}
	for i := range bodies {
		if bodies[i].state == unseen && !bodies[i].loops {
			follow(uint32(i))
		}
	}
	return found
}

// readBodyOf reads which functions a function calls.
func readBodyOf(text []byte, imported uint32) (body, bool) {
	b := body{text: text}
	in := reader{rest: text}
	for range in.u32() {
		in.u32()
		in.byte()
		if in.failed {
			return b, false
		}
	}
	b.begin = len(text) - len(in.rest)
	straight := true // no call or branch so far
	for len(in.rest) > 0 {
		op := in.byte()
		switch op {
		case opLoop:
			b.loops = b.loops || straight
		case opCall, opReturnCall:
			straight = false
			if callee := in.u32(); callee >= imported {
				b.calls = append(b.calls, callee-imported)
			}
			continue
		case opIf, opElse, opBr, opBrIf, opBrTable, opReturn, opCallIndirect, opReturnCallIndirect:
			straight = false
		}
		if !in.skipImmediates(op) || in.failed {
			return b, false
		}
	}
	return b, true
}

// The instructions that need their own handling (WebAssembly Core 2.0, section 5.4).
const (
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opBr                 = 0x0c
	opBrIf               = 0x0d
	opBrTable            = 0x0e
	opReturn             = 0x0f
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opSelectTyped        = 0x1c
	opConstI32           = 0x41
	opConstI64           = 0x42
	opConstF32           = 0x43
	opConstF64           = 0x44
	opRefNull            = 0xd0
	opRefFunc            = 0xd2
	opBulk               = 0xfc
	opVector             = 0xfd
)

// skipImmediates skips the immediates of an instruction, and reports whether the instruction is known.
func (r *reader) skipImmediates(op byte) bool {
	switch {
	case op == opBlock, op == opLoop, op == opIf, op == opConstI32, op == opConstI64, op == opRefNull:
		r.skipLEB()
	case op == opBr, op == opBrIf, op >= 0x20 && op <= 0x26, op == opRefFunc: // br, locals, globals, tables
		r.skipLEB()
	case op == opCallIndirect, op == opReturnCallIndirect, op >= 0x28 && op <= 0x3e: // loads and stores
		r.skipLEB()
		r.skipLEB()
	case op == opBrTable:
		for range r.u32() {
			if r.skipLEB(); r.failed {
				return false
			}
		}
		r.skipLEB()
	case op == opSelectTyped:
		r.take(r.u32())
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		r.byte()
	case op == opConstF32:
		r.take(4)
	case op == opConstF64:
		r.take(8)
	case op == opBulk:
		return r.skipBulk(r.u32())
	case op == opVector:
		return r.skipVector(r.u32())
	default:
		return op <= 0x01 || op == opElse || op == 0x0b || op == opReturn || op == 0x1a || op == 0x1b || op >= 0x45 && op <= 0xc4 || op == 0xd1
	}
	return true
}

func (r *reader) skipBulk(op uint32) bool {
	switch {
	case op <= 7: // saturating truncations
	case op == 8, op == 10, op == 12, op == 14: // memory.init, memory.copy, table.init, table.copy
		r.skipLEB()
		r.skipLEB()
	case op <= 17:
		r.skipLEB()
	default:
		return false
	}
	return true
}

func (r *reader) skipVector(op uint32) bool {
	switch {
	case op <= 11, op == 92, op == 93: // loads, v128.store
		r.skipLEB()
		r.skipLEB()
	case op == 12, op == 13: // v128.const, i8x16.shuffle
		r.take(16)
	case op >= 21 && op <= 34: // lanes
		r.byte()
	case op >= 84 && op <= 91: // lanes of memory
		r.skipLEB()
		r.skipLEB()
		r.byte()
	default:
		return op <= 255
	}
	return true
}

// skipLEB skips an integer of up to 64 bits.
func (r *reader) skipLEB() {
	const longest = 10
	for range longest {
		if r.byte() < 0x80 {
			return
		}
	}
	r.failed = true
}

// importedFunctions counts the functions in the content of an import section.
func importedFunctions(content []byte) uint32 {
	in := reader{rest: content}
	functions := uint32(0)
	for range in.u32() {
		in.take(in.u32())
		in.take(in.u32())
		switch kind := in.byte(); kind {
		case 0:
			functions++
			in.u32()
		case 1: // a table
			in.byte()
			in.skipLimits()
		case 2: // a memory
			in.skipLimits()
		case 3: // a global
			in.take(2)
		default:
			in.failed = true
		}
		if in.failed {
			return 0
		}
	}
	return functions
}

func (r *reader) skipLimits() {
	if flag := r.byte(); flag&1 != 0 {
		r.skipLEB()
	}
	r.skipLEB()
}
