package cos

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// CoscliFile reads the configuration of coscli, usually ~/.cos.yaml. Its mode CvmRole leads to the
// instance's role.
type CoscliFile struct {
	Path string
	Role Role // for mode CvmRole; the file's role name wins
}

type coscliDoc struct {
	COS struct {
		Base struct {
			SecretID          string `yaml:"secretid"`
			SecretKey         string `yaml:"secretkey"`
			SessionToken      string `yaml:"sessiontoken"`
			Mode              string `yaml:"mode"`
			RoleName          string `yaml:"cvmrolename"`
			DisableEncryption string `yaml:"disableencryption"`
		} `yaml:"base"`
	} `yaml:"cos"`
}

// Credentials reads the file now.
func (f CoscliFile) Credentials(ctx context.Context) (Credentials, error) {
	b, err := readSecret(f.Path)
	if err != nil {
		return named(f.Path, Credentials{}, err)
	}
	var doc coscliDoc
	if err := yaml.Unmarshal(b, &doc); err != nil {
		// The parser's message quotes the lines around the fault.
		return named(f.Path, Credentials{}, fmt.Errorf("%w: not the YAML that coscli writes", ErrBadCredentials))
	}
	base := doc.COS.Base
	if strings.EqualFold(base.Mode, "CvmRole") {
		role := f.Role
		role.Name = orDefault(base.RoleName, role.Name)
		return role.Credentials(ctx)
	}
	c := Credentials{SecretID: base.SecretID, SecretKey: base.SecretKey, Token: base.SessionToken}
	if !strings.EqualFold(base.DisableEncryption, "true") {
		for _, s := range []*string{&c.SecretID, &c.SecretKey, &c.Token} {
			if *s, err = coscliDecrypt(*s); err != nil {
				return named(f.Path, Credentials{}, err)
			}
		}
	}
	return named(f.Path, c, nil)
}

// coscliDecrypt undoes what coscli does to a secret: AES-128 block by block under a key that is in
// its source, zero-padded, in base64.
func coscliDecrypt(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	var key [16]byte
	copy(key[:], "coscli-secret")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b)%aes.BlockSize != 0 {
		return "", fmt.Errorf("%w: not encrypted as coscli does (plain secrets need disableencryption: \"true\")", ErrBadCredentials)
	}
	for i := 0; i < len(b); i += aes.BlockSize {
		block.Decrypt(b[i:], b[i:])
	}
	return string(bytes.TrimRight(b, "\x00")), nil
}
