package wasm

// Bound is bound for modules as short as a fuzzer makes them.
func Bound(module []byte, pages uint32) ([]byte, error) {
	if err := checkPreamble(module); err != nil {
		return nil, err
	}
	return bound(module, pages)
}
