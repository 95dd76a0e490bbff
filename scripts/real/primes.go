// Counts primes with a sieve, and words with a map: a heap that grows, and a collector that runs.
package main

import (
	"fmt"
	"sort"
	"strings"
)

func main() {
	const most = 2_000_000
	composite := make([]bool, most)
	count := 0
	for n := 2; n < most; n++ {
		if composite[n] {
			continue
		}
		count++
		for m := n * n; m < most; m += n {
			composite[m] = true
		}
	}
	words := map[string]int{}
	for _, word := range strings.Fields(strings.Repeat("the house the wall the guest ", 20_000)) {
		words[word]++
	}
	var names []string
	for name := range words {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Println(count, names, words["the"])
}
