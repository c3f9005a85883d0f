//go:build !amd64

package spec

func noX32() bool { return false }
