package main

import (
	"context"
	"errors"
	iofs "io/fs"
	"log/slog"
	"os"
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

func environmentSecret(getenv func(string) string) secret {
	return secret{
		id: getenv("COS_SECRET_ID"), key: getenv("COS_SECRET_KEY"), token: getenv("COS_SESSION_TOKEN"),
		from: "the environment (COS_SECRET_ID, COS_SECRET_KEY)",
	}
}

// chooseCredentials leaves one source: what a flag names, else the environment, else the config file.
func (o *mountOptions) chooseCredentials(f *pflag.FlagSet, env secret) {
	switch {
	case f.Changed("anonymous") && o.anonymous && !f.Changed("credentials"):
		o.credentialsFile, o.secret = "", secret{}
	case f.Changed("credentials"):
		o.secret = secret{}
		o.anonymous = o.anonymous && f.Changed("anonymous") // both: validate refuses it
	case env.id != "" || env.key != "":
		o.credentialsFile, o.anonymous, o.secret = "", false, env
	}
}

// validateCredentials wants exactly one source, and of the secrets we hold here, a sane shape. Files
// are checked when they are read.
func (o *mountOptions) validateCredentials() error {
	sources := 0
	for _, given := range []bool{o.local != "", o.anonymous, o.credentialsFile != "", o.secret.from != ""} {
		if given {
			sources++
		}
	}
	switch {
	case sources > 1:
		return usageError("give one of them", "credentials are given in more than one way: anonymous, a file, secrets in the config file")
	case sources == 0:
		return usageError("set COS_SECRET_ID and COS_SECRET_KEY in the environment, or use --credentials FILE, "+
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
	case o.credentialsFile == "":
		return cos.Static{Value: o.secret.credentials()}, nil
	}
	file := cos.File{Path: o.credentialsFile}
	if _, err := readCredentials(ctx, o.credentialsFile); err != nil {
		return nil, err
	}
	return file, nil
}

func (s secret) credentials() cos.Credentials {
	return cos.Credentials{SecretID: s.id, SecretKey: s.key, Token: s.token}
}

// readCredentials reads a credentials file, with errors that say what to do.
func readCredentials(ctx context.Context, path string) (cos.Credentials, error) {
	creds, err := cos.File{Path: path}.Credentials(ctx)
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
	return creds, usageError("it needs a line \"secret_id = AKID...\" and a line \"secret_key = ...\"", "%w", err)
}
