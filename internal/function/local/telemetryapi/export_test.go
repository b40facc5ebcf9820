package telemetryapi

// Destination is where a wish leads, host and port.
func Destination(api API, raw []byte) (string, error) {
	w, err := parse(api, raw)
	if err != nil {
		return "", err
	}
	return w.to.address, nil
}
