package cosserver

import (
	"net/http"
	"strings"
)

const (
	s3Prefix  = "X-Amz-"
	cosPrefix = "X-Cos-"
)

// renameS3 makes headers in the spelling of S3 those of the service. A header that is there in the
// service's own spelling stays. What only concerns a signature is left alone.
func renameS3(h http.Header) {
	for name, values := range h {
		suffix, ok := strings.CutPrefix(name, s3Prefix)
		if !ok || suffix == "Content-Sha256" || suffix == "Date" {
			continue
		}
		delete(h, name)
		if own := cosPrefix + suffix; h[own] == nil {
			h[own] = values
		}
	}
}

// s3Writer adds to each answer its x-cos-* headers in the spelling of S3.
type s3Writer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (w *s3Writer) WriteHeader(status int) {
	if !w.begun {
		w.begun = true
		h := w.Header()
		for name, values := range h {
			if suffix, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(cosPrefix)); ok {
				h[strings.ToLower(s3Prefix)+suffix] = values
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *s3Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
