//go:build !evilresolver

package main

// brokenResolver says that the first wall was taken down on purpose.
const brokenResolver = false
