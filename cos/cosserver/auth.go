package cosserver

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"cosfuse/cos/cosserver/internal/store"
	"cosfuse/cos/internal/sign"
)

// maxSkew is how far a client's clock may be off.
const maxSkew = 15 * time.Minute

// authenticate finds out whether the owner asks, and refuses bad signatures.
func (r *request) authenticate() error {
	if len(r.srv.opt.Credentials) == 0 {
		r.owner = true
		return nil
	}
	auth := r.Header.Get("Authorization")
	if strings.HasPrefix(auth, "AWS") {
		if !r.srv.opt.Anonymous {
			return failf(http.StatusForbidden, "AccessDenied", "Signatures of this kind are not verified here.")
		}
		auth = ""
	}
	fields, err := sign.Parse(auth)
	if errors.Is(err, sign.ErrNone) {
		fields, err = sign.ParseQuery(r.query)
	}
	switch {
	case errors.Is(err, sign.ErrNone):
		r.owner = r.srv.opt.Anonymous
		return nil
	case err != nil:
		return failf(http.StatusForbidden, "AccessDenied", "The signature cannot be read.")
	}
	if err := r.verify(fields); err != nil {
		return err
	}
	r.owner = true
	return nil
}

// verify checks a signature: who, when, what.
func (r *request) verify(f sign.Fields) error {
	cred, ok := r.srv.opt.Credentials[f.SecretID]
	if !ok {
		return fail(http.StatusForbidden, "InvalidAccessKeyId")
	}
	now := r.srv.clock()
	if err := r.checkToken(cred, now); err != nil {
		return err
	}
	begin, end, err := f.Window()
	switch {
	case err != nil:
		return failf(http.StatusForbidden, "AccessDenied", "The validity of the signature cannot be read.")
	case begin.Sub(now) > maxSkew, now.After(end) && r.skewed(now):
		return failf(http.StatusForbidden, "RequestTimeTooSkewed", "The client's clock and the server's differ too much.")
	case now.After(end):
		return failf(http.StatusForbidden, "AccessDenied", "Request has expired.")
	}
	params := sign.Select(r.query, f.Params)
	for _, host := range hostForms(r.Host) {
		headers := sign.Select(r.signedHeader(host), f.Headers)
		want := sign.Signature(cred.SecretKey, f.KeyTime, f.SignTime, r.Method, r.URL.Path, params, headers)
		if sign.Equal(want, f.Signature) {
			return nil
		}
	}
	return fail(http.StatusForbidden, "SignatureDoesNotMatch")
}

// skewed tells a client whose clock is wrong from one that uses an old signature: the Date header,
// where there is one, says what the client believes the time to be.
func (r *request) skewed(now time.Time) bool {
	date, err := http.ParseTime(r.Header.Get("Date"))
	return err == nil && now.Sub(date).Abs() > maxSkew
}

func (r *request) checkToken(cred Credential, now time.Time) error {
	token := r.Header.Get("X-Cos-Security-Token")
	if token == "" {
		token = r.query.Get("x-cos-security-token")
	}
	if token != cred.Token {
		return failf(http.StatusForbidden, "AccessDenied", "The security token is not the one of this secret ID.")
	}
	if !cred.Expires.IsZero() && !now.Before(cred.Expires) {
		return failf(http.StatusBadRequest, "ExpiredToken", "The security token has expired.")
	}
	return nil
}

// hostForms are what clients sign as host: some leave the port out.
func hostForms(host string) []string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return []string{host, h}
	}
	return []string{host}
}

// signedHeader is the header as the client saw it: net/http takes some fields out.
func (r *request) signedHeader(host string) http.Header {
	h := r.Header.Clone()
	h["Host"] = []string{host}
	if len(r.TransferEncoding) > 0 {
		h["Transfer-Encoding"] = []string{strings.Join(r.TransferEncoding, ",")}
	}
	return h
}

// authorize lets strangers do what ACLs allow.
func (r *request) authorize() error {
	if r.owner {
		return nil
	}
	open := r.state.ACL.Canned
	switch r.op.access {
	case readObject:
		if r.srv.publicObject(open, store.CopySource{Bucket: r.bucket, Key: r.key, VersionID: r.version()}) {
			return nil
		}
	case readBucket:
		if open == "public-read" || open == "public-read-write" {
			return nil
		}
	case writeBucket:
		if open == "public-read-write" {
			return nil
		}
	case ownerOnly:
	}
	return fail(http.StatusForbidden, "AccessDenied")
}

// publicObject reports whether everyone may read the object; without an ACL of its own it has the
// bucket's, and so has one that does not exist.
func (s *Server) publicObject(bucketACL string, at store.CopySource) bool {
	acl := bucketACL
	o, err := s.store.Head(at.Bucket, at.Key, at.VersionID)
	switch {
	case err == nil && o.ACL.Canned != "" && o.ACL.Canned != "default":
		acl = o.ACL.Canned
	case err != nil && !errors.Is(err, store.ErrNoKey):
		return false
	}
	return acl == "public-read" || acl == "public-read-write"
}
