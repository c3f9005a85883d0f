//go:build evilresolver

package main

// brokenResolver says that the first wall was taken down on purpose: all that
// is left to judge is whether the host was changed.
const brokenResolver = true
