package transport

import (
	"fmt"

	encconfig "github.com/containers/ocicrypt/config"
	enchelpers "github.com/containers/ocicrypt/helpers"
	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	imagecli "go.podman.io/image/v5/pkg/cli"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// signing tells the library with what to sign.
func (o *Options) signing(to *imagecopy.Options) error {
	if !o.Sign.wanted() {
		return nil
	}
	passphrase, err := imagecli.ReadPassphraseFile(o.Sign.PassphraseFile)
	if err != nil {
		return fmt.Errorf("passphrase: %w", err)
	}
	to.SignBySigstorePrivateKeyFile = o.Sign.SigstoreKey
	to.SignSigstorePrivateKeyPassphrase = []byte(passphrase)
	if o.Sign.Identity == "" {
		return nil
	}
	to.SignIdentity, err = reference.ParseNamed(o.Sign.Identity)
	if err != nil {
		return fault.Usage("identity %q to sign: %v", o.Sign.Identity, err)
	}
	return nil
}

// encryption tells the library for whom to encrypt layers, and with what to
// decrypt them.
func (o *Options) encryption(to *imagecopy.Options) error {
	e := &o.Encryption
	if len(e.Layers) > 0 && len(e.EncryptFor) == 0 {
		return fault.Usage("layers to encrypt were named, but no key to encrypt for")
	}
	if len(e.EncryptFor) > 0 {
		keys, err := enchelpers.CreateCryptoConfig(e.EncryptFor, nil)
		if err != nil {
			return fault.Usage("encryption key: %v", err)
		}
		to.OciEncryptConfig = encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{keys}).EncryptConfig
		layers := append([]int{}, e.Layers...)
		to.OciEncryptLayers = &layers
	}
	if len(e.DecryptWith) > 0 {
		keys, err := enchelpers.CreateCryptoConfig(nil, e.DecryptWith)
		if err != nil {
			return fault.Usage("decryption key: %v", err)
		}
		to.OciDecryptConfig = encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{keys}).DecryptConfig
	}
	return nil
}
