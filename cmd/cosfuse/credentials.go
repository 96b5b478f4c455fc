package main

import (
	"context"
	"errors"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"cosfuse/cos"
)

// secret is a pair of keys, with a token if it is temporary. It never prints what it holds.
type secret struct {
	id, key, token string
	from           string // where it was found, for messages; empty if nowhere
}

// String hides the keys.
func (s secret) String() string { return "credentials from " + s.from }

// LogValue hides the keys from structured logs.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// environmentSecret reads our variables, else those of COSFS.
func environmentSecret(getenv func(string) string) secret {
	ours := secret{
		id: getenv("COS_SECRET_ID"), key: getenv("COS_SECRET_KEY"), token: getenv("COS_SESSION_TOKEN"),
		from: "the environment (COS_SECRET_ID, COS_SECRET_KEY)",
	}
	if ours.id != "" || ours.key != "" {
		return ours
	}
	return secret{
		id: getenv("COSACCESSKEYID"), key: getenv("COSSECRETACCESSKEY"),
		from: "the environment (COSACCESSKEYID, COSSECRETACCESSKEY)",
	}
}

// chooseCredentials leaves one source: what a flag names, else the environment, else the config file, else the
// files that COSFS reads if it is told of none.
func (o *mountOptions) chooseCredentials(f *pflag.FlagSet, env secret, getenv func(string) string) {
	switch {
	case f.Changed("anonymous") && o.anonymous && !f.Changed("credentials"):
		o.credentialsFile, o.role, o.secret = "", "", secret{}
	case f.Changed("credentials"):
		o.secret = secret{}
		o.anonymous = o.anonymous && f.Changed("anonymous") // both: validate refuses it
		if o.roleEndpoint == "" {
			o.role = "" // as with COSFS, it says then that the file is renewed, which is looked for anyway
		}
	case f.Changed("role"):
		o.credentialsFile, o.anonymous, o.secret = "", false, secret{}
	case env.id != "" || env.key != "":
		o.credentialsFile, o.role, o.anonymous, o.secret = "", "", false, env
	case o.local == "" && !o.anonymous && o.credentialsFile == "" && o.role == "" && o.secret.from == "":
		o.credentialsFile = o.usualFile(getenv)
	}
}

// usualFile is the file of COSFS that this user has, or "".
func (o *mountOptions) usualFile(getenv func(string) string) string {
	if file := getenv("COS_CREDENTIAL_FILE"); file != "" {
		return file
	}
	for _, file := range []string{filepath.Join(homeDir(getenv), ".passwd-cosfs"), o.systemFile} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// validateCredentials wants exactly one source, and of the secrets we hold here, a sane shape. Files
// are checked when they are read.
func (o *mountOptions) validateCredentials() error {
	sources := 0
	for _, given := range []bool{o.local != "", o.anonymous, o.credentialsFile != "", o.role != "", o.secret.from != ""} {
		if given {
			sources++
		}
	}
	switch {
	case sources > 1:
		return usageError("give one of them", "credentials are given in more than one way: anonymous, a file, a role, secrets in the config file")
	case sources == 0:
		return usageError("set COS_SECRET_ID and COS_SECRET_KEY in the environment, or use --credentials FILE, --role NAME, "+
			"or --anonymous for a public bucket", "no credentials were given")
	case o.secret.from == "":
		return nil
	case o.secret.id == "" || o.secret.key == "":
		return usageError("give both the secret id and the secret key", "%v are not complete", o.secret)
	}
	if strings.ContainsFunc(o.secret.id+o.secret.key+o.secret.token, notPrintable) {
		return usageError("copy them again from the console, without blanks or line ends",
			"%v contain blanks or unprintable characters", o.secret)
	}
	return nil
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// provider hands the credentials to the client; nil is anonymous. A file is read once here, for its
// errors, and again by the client when it is due.
func (o *mountOptions) provider(ctx context.Context) (cos.Provider, error) {
	switch {
	case o.anonymous:
		return nil, nil
	case o.role != "":
		return o.roleProvider(ctx)
	case o.credentialsFile == "":
		return cos.Static{Value: o.secret.credentials()}, nil
	}
	file := cos.File{Path: o.credentialsFile, Bucket: o.bucket}
	if _, err := readCredentials(ctx, file); err != nil {
		return nil, err
	}
	return file, nil
}

// roleProvider asks once, so that a machine without the role is told now.
func (o *mountOptions) roleProvider(ctx context.Context) (cos.Provider, error) {
	role := cos.Role{Name: o.role, URL: o.roleEndpoint}
	if o.role == "default" {
		role.Name = ""
	}
	if _, err := role.Credentials(ctx); err != nil {
		return nil, usageError("bind a CAM role to this machine in the console, or use --credentials FILE", "%w", err)
	}
	return role, nil
}

func (s secret) credentials() cos.Credentials {
	return cos.Credentials{SecretID: s.id, SecretKey: s.key, Token: s.token}
}

// readCredentials reads a credentials file, with errors that say what to do.
func readCredentials(ctx context.Context, file cos.File) (cos.Credentials, error) {
	path := file.Path
	creds, err := file.Credentials(ctx)
	switch {
	case err == nil:
		return creds, nil
	case errors.Is(err, iofs.ErrNotExist):
		return creds, usageError("check the path", "credentials file %s does not exist", path)
	case errors.Is(err, iofs.ErrPermission):
		return creds, usageError("it must belong to you, with mode 0600", "%w", err)
	}
	if info, statErr := os.Stat(path); statErr == nil && info.Mode().Perm()&0o077 != 0 {
		return creds, usageError("run chmod 600 "+path,
			"credentials file %s can be read by others (mode %04o)", path, info.Mode().Perm())
	}
	return creds, usageError("it needs a line \"secret_id = AKID...\" and a line \"secret_key = ...\", or a line \"BUCKET-APPID:ID:KEY\"", "%w", err)
}
