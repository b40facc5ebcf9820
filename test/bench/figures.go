package main

import (
	"math"
	"slices"
)

// middle returns the median.
func middle(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// interval returns an interval that contains the true median with a probability of more than 0.9, whatever the
// distribution of the values is: two of the values, chosen by the binomial distribution. For fewer than five values
// there is no such interval, and it returns the range of all of them.
func interval(of []float64) (low, high float64) {
	if len(of) == 0 {
		return math.NaN(), math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	outside, chance := 0, math.Pow(0.5, float64(n)) // probability that this many values lie below the median
	for tail := chance; ; outside++ {
		chance *= float64(n-outside) / float64(outside+1)
		if tail += chance; 2*tail > 0.1 || 2*(outside+1) >= n {
			break
		}
	}
	return sorted[outside], sorted[n-1-outside]
}

// ratios returns the ratio of one peer to another for each round in which both were measured.
func ratios(of, to []float64) (all []float64) {
	for i, value := range of[:min(len(of), len(to))] {
		if to[i] > 0 {
			all = append(all, value/to[i])
		}
	}
	return all
}
