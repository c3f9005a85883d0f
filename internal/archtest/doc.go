// Package archtest holds, as tests, the rules of how the code is laid out:
// which package may import which, and what the library never does. The reasons
// are in CONTRIBUTING.md.
package archtest
