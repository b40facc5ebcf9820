package telemetryapi

import "time"

// Patient has the feed wait for its subscribers' last batch however busy the machine is.
func (f *Feed) Patient() { f.farewell = time.Minute }

// Destination is where a wish leads, host and port.
func Destination(api API, raw []byte) (string, error) {
	w, err := parse(api, raw)
	if err != nil {
		return "", err
	}
	return w.to.address, nil
}
