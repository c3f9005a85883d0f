// Package transport copies container images between the places where they
// are kept: registries, OCI layouts, archives, directories, a Docker daemon.
//
// It is the only package that imports the image library go.podman.io/image.
// The library converts manifests, compresses, encrypts, signs, and decides
// what the signature policy allows. What it does not do safely or fast is done
// here, behind its interfaces: OCI layouts are read and written through
// lib/layout, archives stream, registries are spoken to by package registry.
//
// Whatever the path, nothing is read from a source before the policy has
// allowed it, and every blob is hashed before it counts as copied.
package transport
