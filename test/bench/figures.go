package main

import (
	"math"
	"slices"
)

// middle is the median.
func middle(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// interval holds the median of what is measured with a probability of more than nine in ten,
// however it is distributed: the values between which it lies by the binomial distribution.
// Of less than five values there is no such interval; then it is all of them.
func interval(of []float64) (low, high float64) {
	if len(of) == 0 {
		return math.NaN(), math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	outside, chance := 0, math.Pow(0.5, float64(n)) // chance that so many values lie below the median
	for tail := chance; ; outside++ {
		chance *= float64(n-outside) / float64(outside+1)
		if tail += chance; 2*tail > 0.1 || 2*(outside+1) >= n {
			break
		}
	}
	return sorted[outside], sorted[n-1-outside]
}

// ratios are those of one peer to another within each round in which both were measured.
func ratios(of, to []float64) (all []float64) {
	for i, value := range of[:min(len(of), len(to))] {
		if to[i] > 0 {
			all = append(all, value/to[i])
		}
	}
	return all
}
