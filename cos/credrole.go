package cos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

const (
	// DefaultMetadataURL lists the roles of the instance; a role's name is appended to it.
	DefaultMetadataURL = "http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/"
	metadataTimeout    = 5 * time.Second
	commandTimeout     = time.Minute
)

// Role asks the metadata service of a cloud instance for the temporary credentials of its role.
type Role struct {
	Name      string            // "" = the first one listed
	URL       string            // "" = DefaultMetadataURL
	Transport http.RoundTripper // nil = http.DefaultTransport without a proxy
}

// Credentials asks now; one or two requests of at most five seconds each.
func (r Role) Credentials(ctx context.Context) (Credentials, error) {
	base := strings.TrimSuffix(orDefault(r.URL, DefaultMetadataURL), "/") + "/"
	name := r.Name
	if name == "" {
		list, err := r.fetch(ctx, base)
		if err != nil {
			return Credentials{}, fmt.Errorf("instance role: %w", err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(list)), "\n")
		if name = strings.TrimSpace(first); name == "" {
			return Credentials{}, fmt.Errorf("instance role: none is bound to this instance: %w", ErrNoCredentials)
		}
	}
	b, err := r.fetch(ctx, base+url.PathEscape(name))
	if err != nil {
		return Credentials{}, fmt.Errorf("instance role %s: %w", name, err)
	}
	c, err := parseCredentialsJSON(b)
	if err != nil {
		return Credentials{}, fmt.Errorf("instance role %s: %w", name, err)
	}
	return c, nil
}

func (r Role) fetch(ctx context.Context, u string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	rt := r.Transport
	if rt == nil {
		t := &http.Transport{DisableKeepAlives: true}
		rt = t
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metadata service answers %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxCredentialFile))
}

// credentialsJSON takes the spellings of the metadata service, of STS and of Command.
type credentialsJSON struct {
	Code         string
	SecretID     string `json:"SecretId"`
	SecretKey    string
	TmpSecretID  string `json:"TmpSecretId"`
	TmpSecretKey string
	Token        string
	SessionToken string
	ExpiredTime  int64
	Expiration   time.Time
}

func parseCredentialsJSON(b []byte) (Credentials, error) {
	var j credentialsJSON
	if err := json.Unmarshal(b, &j); err != nil {
		// A syntax error tells a position; a quotation could tell a secret.
		return Credentials{}, fmt.Errorf("%w: not the expected JSON", ErrBadCredentials)
	}
	if j.Code != "" && j.Code != "Success" {
		return Credentials{}, fmt.Errorf("%w: code %q", ErrBadCredentials, j.Code)
	}
	c := Credentials{
		SecretID:  orDefault(j.SecretID, j.TmpSecretID),
		SecretKey: orDefault(j.SecretKey, j.TmpSecretKey),
		Token:     orDefault(j.Token, j.SessionToken),
		Expires:   j.Expiration,
	}
	if j.ExpiredTime > 0 {
		c.Expires = time.Unix(j.ExpiredTime, 0)
	}
	return c, c.check()
}

// Command runs a program that prints credentials as one JSON object:
//
//	{"SecretId": "...", "SecretKey": "...", "Token": "...", "Expiration": "2026-01-02T15:04:05Z"}
//
// Token and Expiration are left out of permanent ones. TmpSecretId, TmpSecretKey, SessionToken and
// ExpiredTime (Unix seconds) are understood as well. It runs without a shell, for at most a minute,
// and again before the credentials expire.
type Command struct {
	Args []string // program and arguments
}

// Credentials runs the program now.
func (c Command) Credentials(ctx context.Context) (Credentials, error) {
	if len(c.Args) == 0 {
		return Credentials{}, fmt.Errorf("credentials command: %w", ErrNoCredentials)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.WaitDelay = time.Second // for a grandchild that keeps the pipe open
	out := limitedBuffer{left: maxCredentialFile}
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return Credentials{}, fmt.Errorf("credentials command %s: %w", c.Args[0], err)
	}
	creds, err := parseCredentialsJSON(out.b)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials command %s: %w", c.Args[0], err)
	}
	return creds, nil
}

// limitedBuffer keeps what fits and refuses the rest.
type limitedBuffer struct {
	b    []byte
	left int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, io.ErrShortWrite
	}
	l.b = append(l.b, p...)
	l.left -= len(p)
	return len(p), nil
}
