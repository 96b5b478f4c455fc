package cos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const maxCredentialFile = 64 << 10

// readSecret reads a file that nobody but its owner may open. A missing file is ErrNoCredentials.
// Below /etc the group may read too, so that a service's account can share it.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoCredentials, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	open := iofs.FileMode(0o077)
	if strings.HasPrefix(filepath.Clean(path), "/etc/") {
		open = 0o037
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrBadCredentials, path)
	case info.Mode().Perm()&open != 0:
		return nil, fmt.Errorf("%w: %s can be read by others (mode %04o): run: chmod 600 %s",
			ErrBadCredentials, path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCredentialFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxCredentialFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrBadCredentials, path, maxCredentialFile)
	}
	return b, nil
}

// named says which file credentials or an error came from.
func named(path string, c Credentials, err error) (Credentials, error) {
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials file %s: %w", path, err)
	}
	return c, nil
}

// File reads lines "name = value": secret_id, secret_key and, for temporary credentials,
// session_token and expires (RFC 3339). The names of the environment variables (COS_SECRET_ID and
// so on) are accepted too, "export" before and quotes around a value as well, so that one file can
// serve a shell. "#" begins a comment line. Files in the forms of PasswdFile and STSFile are understood
// as well.
type File struct {
	Path   string
	Bucket string // whose lines count in a file such as PasswdFile reads
}

// Credentials reads the file now.
func (f File) Credentials(context.Context) (Credentials, error) {
	b, err := readSecret(f.Path)
	if err != nil {
		return named(f.Path, Credentials{}, err)
	}
	c, err := f.parse(b)
	return named(f.Path, c, err)
}

// parse reads b in the form that its first line has.
func (f File) parse(b []byte) (Credentials, error) {
	first := ""
	// The first error is what ends it.
	_ = eachLine(b, func(line string) error {
		first = line
		return io.EOF
	})
	switch {
	case strings.HasPrefix(first, "COSAccess"), strings.HasPrefix(first, "COSSecret"):
		return parseSTS(b)
	case strings.Contains(first, ":") && !strings.Contains(first, "="):
		return parsePasswd(b, f.Bucket)
	}
	return parseFile(b)
}

func parseFile(b []byte) (Credentials, error) {
	var c Credentials
	err := eachSetting(b, func(name, value string) error {
		name = strings.TrimPrefix(strings.ToLower(strings.TrimPrefix(name, "export ")), "cos_")
		value = strings.Trim(value, `"'`)
		switch name {
		case "secret_id":
			c.SecretID = value
		case "secret_key":
			c.SecretKey = value
		case "session_token":
			c.Token = value
		case "region":
			// Belongs to who reads the environment; harmless here.
		case "expires":
			t, err := time.Parse(time.RFC3339, value)
			c.Expires = t
			return err
		default:
			return fmt.Errorf("%w: unknown name %q: expected secret_id, secret_key, session_token, expires", ErrBadCredentials, name)
		}
		return nil
	})
	return c, err
}

// eachSetting calls f for each "name=value" line. Its errors name the line, never its text.
func eachSetting(b []byte, f func(name, value string) error) error {
	return eachLine(b, func(line string) error {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%w: expected name=value", ErrBadCredentials)
		}
		return f(strings.TrimSpace(name), strings.TrimSpace(value))
	})
}

func eachLine(b []byte, f func(line string) error) error {
	s := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}

// PasswdFile reads the file COSFS uses: lines "BUCKET-APPID:SecretId:SecretKey", or without the APPID as
// old ones have it, and "SecretId:SecretKey" for every other bucket.
type PasswdFile struct {
	Path   string
	Bucket string
}

// Credentials reads the file now.
func (p PasswdFile) Credentials(context.Context) (Credentials, error) {
	b, err := readSecret(p.Path)
	if err != nil {
		return named(p.Path, Credentials{}, err)
	}
	c, err := parsePasswd(b, p.Bucket)
	return named(p.Path, c, err)
}

func parsePasswd(b []byte, bucket string) (Credentials, error) {
	short := bucket[:max(strings.LastIndexByte(bucket, '-'), 0)]
	var own, old, any Credentials
	err := eachLine(b, func(line string) error {
		f := strings.Split(line, ":")
		switch {
		case len(f) == 2:
			any = Credentials{SecretID: f[0], SecretKey: f[1]}
		case len(f) != 3:
			return fmt.Errorf("%w: expected BUCKET-APPID:SecretId:SecretKey", ErrBadCredentials)
		case f[0] == bucket:
			own = Credentials{SecretID: f[1], SecretKey: f[2]}
		case short != "" && f[0] == short:
			old = Credentials{SecretID: f[1], SecretKey: f[2]}
		}
		return nil
	})
	for _, c := range []Credentials{own, old} {
		if c.SecretID != "" {
			return c, err
		}
	}
	return any, err
}

// STSFile reads the file of temporary credentials that COSFS reads with -ocam_role=sts: the lines
// COSAccessKeyId=, COSSecretKey=, COSAccessToken= and COSAccessTokenExpire= (UTC, without a zone).
// Whoever renews them replaces the file; it is read again before they expire.
type STSFile struct {
	Path string
}

const stsTime = "2006-01-02T15:04:05"

// Credentials reads the file now.
func (s STSFile) Credentials(context.Context) (Credentials, error) {
	b, err := readSecret(s.Path)
	if err != nil {
		return named(s.Path, Credentials{}, err)
	}
	c, err := parseSTS(b)
	return named(s.Path, c, err)
}

func parseSTS(b []byte) (Credentials, error) {
	var c Credentials
	err := eachSetting(b, func(name, value string) (err error) {
		switch name {
		case "COSAccessKeyId":
			c.SecretID = value
		case "COSSecretKey":
			c.SecretKey = value
		case "COSAccessToken":
			c.Token = value
		case "COSAccessTokenExpire":
			c.Expires, err = time.Parse(stsTime, strings.TrimSuffix(value, "Z"))
		}
		return err
	})
	return c, err
}
