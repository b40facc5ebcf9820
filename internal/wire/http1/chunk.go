package http1

// Chunks follows a chunked body (RFC 9112 section 7.1) from the first chunk
// size up to and including the line of the last chunk; the trailer section
// comes after it. It keeps no bytes. The zero value stands at the beginning.
type Chunks struct {
	state  chunkState
	digits uint8 // of the size in this line
	ext    int   // bytes of extensions in this line
	exts   int   // and in all lines
	left   int64 // bytes of data left in this chunk
}

type chunkState uint8

const (
	sizeStart chunkState = iota
	sizeDigits
	extName
	extEquals // an extension's name has begun: more of it, '=', ';' or CR
	extValue
	extToken
	extQuoted
	extEscape
	extEnd // after a quoted value: ';' or CR
	lineLF
	data
	dataCR
	dataLF
	chunksDone
)

const (
	maxSizeDigits = 15  // so that every size fits in an int64
	maxExtensions = 256 // bytes in one chunk line; nobody uses them

	// If each chunk has one byte and extensions, a hundred times as many bytes must be read as the content has. This
	// limit is as high as net/http's, which gives no reason when it is exceeded.
	maxAllExtensions = 16 << 10
)

// Done reports whether the line of the last chunk was read.
func (c *Chunks) Done() bool { return c.state == chunksDone }

// Scan reads b as far as it belongs to the chunks and returns how many of its bytes are valid. With a Reason, the byte
// after those breaks the rule. Without one, and with n < len(b), the chunks are done.
func (c *Chunks) Scan(b []byte) (n int, reason Reason) {
	for n < len(b) && c.state != chunksDone {
		if c.state == data {
			skip := min(c.left, int64(len(b)-n))
			n += int(skip)
			if c.left -= skip; c.left == 0 {
				c.state = dataCR
			}
			continue
		}
		if reason := c.step(b[n]); reason != OK {
			return n, reason
		}
		n++
	}
	return n, OK
}

// Next reads b like Scan, but stops after the first piece of data in it, and also returns that piece; it is a part of
// b.
func (c *Chunks) Next(b []byte) (piece []byte, n int, reason Reason) {
	for n < len(b) && c.state != chunksDone {
		if c.state == data {
			size := int(min(c.left, int64(len(b)-n)))
			piece = b[n : n+size : n+size]
			_, reason = c.Scan(piece)
			return piece, n + size, reason
		}
		if reason := c.step(b[n]); reason != OK {
			return nil, n, reason
		}
		n++
	}
	return nil, n, OK
}

// toData reads b like Scan, but stops where data begins.
func (c *Chunks) toData(b []byte) (n int, reason Reason) {
	for n < len(b) && c.state != data && c.state != chunksDone {
		if reason := c.step(b[n]); reason != OK {
			return n, reason
		}
		n++
	}
	return n, OK
}

// step reads one byte that is not data.
func (c *Chunks) step(b byte) Reason {
	switch c.state {
	case sizeStart, sizeDigits:
		return c.size(b)
	case lineLF:
		return c.endLine(b)
	case dataCR:
		if b != '\r' {
			return BadChunkEnd
		}
		c.state = dataLF
	case dataLF:
		if b != '\n' {
			return BadChunkEnd
		}
		c.state = sizeStart
	default:
		c.ext++
		c.exts++
		if c.ext > maxExtensions || c.exts > maxAllExtensions {
			return BadChunkExtension
		}
		return c.extension(b)
	}
	return OK
}

func (c *Chunks) size(b byte) Reason {
	if classes[b]&hexDigit != 0 {
		if c.state == sizeStart {
			c.left, c.digits, c.ext = 0, 0, 0
		}
		if c.digits++; c.digits > maxSizeDigits {
			return BadChunkSize
		}
		c.left = c.left<<4 | int64(hexValue(b))
		c.state = sizeDigits
		return OK
	}
	switch {
	case c.state == sizeStart:
		return BadChunkSize
	case b == '\r':
		c.state = lineLF
	case b == ';':
		c.state = extName
	default:
		return BadChunkSize
	}
	return OK
}

func hexValue(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return lower(b) - 'a' + 10
}

func (c *Chunks) endLine(b byte) Reason {
	switch {
	case b != '\n':
		return BareCR
	case c.left == 0:
		c.state = chunksDone
	default:
		c.state = data
	}
	return OK
}

// extension reads *( ";" name [ "=" ( token / quoted-string ) ] ) CR. Blanks around ';' and '=' are "bad white space",
// which RFC 9112 forbids senders to write, and are refused.
func (c *Chunks) extension(b byte) Reason {
	isName := classes[b]&tchar != 0
	switch {
	case c.state == extName && isName:
		c.state = extEquals
	case c.state == extEquals && isName, c.state == extToken && isName:
	case c.state == extEquals && b == '=':
		c.state = extValue
	case c.state == extValue && isName:
		c.state = extToken
	case c.state == extValue && b == '"':
		c.state = extQuoted
	case c.state == extQuoted && b == '"':
		c.state = extEnd
	case c.state == extQuoted && b == '\\':
		c.state = extEscape
	case c.state == extQuoted && classes[b]&quotedByte != 0:
	case c.state == extEscape && (classes[b]&quotedByte != 0 || b == '"' || b == '\\'):
		c.state = extQuoted
	case b == ';' && c.nameComplete():
		c.state = extName
	case b == '\r' && c.nameComplete():
		c.state = lineLF
	default:
		return BadChunkExtension
	}
	return OK
}

func (c *Chunks) nameComplete() bool {
	return c.state == extEquals || c.state == extToken || c.state == extEnd
}
