// Package config edits image configs and manifests as raw JSON.
//
// Decoding into the image-spec's structs and encoding again would lose every
// member that the structs lack: Healthcheck, Shell, OnBuild, the engines' own.
// So only the members concerned are touched; all others keep their value to the
// byte, numbers included. What is written has sorted keys and no white space:
// equal edits of equal documents are equal bytes.
package config
