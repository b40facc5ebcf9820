package telemetry

import (
	"net/http"
	"strconv"
)

// methodNames returns the methods that have a label value of their own, and the one for all others.
func methodNames() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, "other",
	}
}

const (
	methods     = 9
	otherMethod = methods - 1
)

func methodOf(name string) int {
	switch name {
	case http.MethodGet:
		return 0
	case http.MethodHead:
		return 1
	case http.MethodPost:
		return 2
	case http.MethodPut:
		return 3
	case http.MethodPatch:
		return 4
	case http.MethodDelete:
		return 5
	case http.MethodOptions:
		return 6
	case http.MethodTrace:
		return 7
	}
	return otherMethod
}

// statuses maps a status to its index among the labels. A status without a name in HTTP is counted with its class, so
// that a backend cannot make up labels.
type statuses struct {
	place  [1000]uint8
	labels []string
}

const (
	mostStatuses = 80 // room for the labels of all indices
	clientGone   = 499
)

var known = newStatuses() // a table

func newStatuses() *statuses {
	s := &statuses{labels: []string{"0"}} // no head was written
	for class := 1; class <= 9; class++ {
		at := uint8(len(s.labels))
		s.labels = append(s.labels, strconv.Itoa(class)+"xx")
		for status := class * 100; status < class*100+100; status++ {
			s.place[status] = at
			if http.StatusText(status) != "" || status == clientGone {
				s.place[status] = uint8(len(s.labels))
				s.labels = append(s.labels, strconv.Itoa(status))
			}
		}
	}
	return s
}

// placeOf returns the index of a status.
func (s *statuses) placeOf(status int) uint8 {
	if status < 0 || status >= len(s.place) {
		return 0
	}
	return s.place[status]
}

func (s *statuses) classOf(status int) uint8 {
	if status < 100 || status >= len(s.place) {
		return 0
	}
	for place, label := range s.labels {
		if label == strconv.Itoa(status/100)+"xx" {
			return uint8(place)
		}
	}
	return 0
}
