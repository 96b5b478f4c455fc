package cosserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"cosfuse/cos/cosserver/internal/store"
)

// apiError is an answer that says no.
type apiError struct {
	status  int
	code    string
	message string
	header  []store.Pair // extra headers of the answer
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// errReset ends a request by closing its connection without an answer.
var errReset = errors.New("connection to be reset")

// messages are the texts that go with codes. Clients must not depend on them.
var messages = map[string]string{
	"AccessDenied":             "Access denied.",
	"AppendPositionErr":        "Position is not the length of the object.",
	"BadDigest":                "The Content-MD5 is not that of the body.",
	"BucketAlreadyExists":      "A bucket of this name exists.",
	"BucketNotEmpty":           "The bucket still holds objects, versions or uploads.",
	"EntityTooLarge":           "The object or part is larger than allowed.",
	"EntityTooSmall":           "A part other than the last is smaller than allowed.",
	"FileAlreadyExists":        "The object exists and must not be overwritten.",
	"IncompleteBody":           "The body is shorter than Content-Length.",
	"InternalError":            "The server met an error of its own.",
	"InvalidAccessKeyId":       "The secret ID is not known here.",
	"InvalidDigest":            "The Content-MD5 is not a base64 MD5.",
	"InvalidObjectState":       "The operation does not suit the state of the object.",
	"InvalidPart":              "A part is missing, or its ETag is another.",
	"InvalidPartOrder":         "Part numbers must ascend.",
	"InvalidRange":             "The range is outside the object.",
	"KeyTooLong":               "The key is longer than 850 bytes.",
	"MalformedXML":             "The body is not the XML this operation takes.",
	"MethodNotAllowed":         "The method does not suit the resource.",
	"MissingContentLength":     "Content-Length is required.",
	"NoSuchBucket":             "The bucket does not exist.",
	"NoSuchKey":                "The object does not exist.",
	"NoSuchUpload":             "The upload does not exist; it may have been completed or aborted.",
	"NoSuchVersion":            "The version does not exist.",
	"NotImplemented":           "This server does not offer the operation.",
	"ObjectNotAppendable":      "The object was not made by an append.",
	"PathConflict":             "The path is taken by a file, or by a directory that is not empty.",
	"PathStyleDomainForbidden": "The bucket belongs into the host name, not into the path.",
	"PreconditionFailed":       "Precondition not match.",
	"ServiceUnavailable":       "The server is stopping.",
	"SignatureDoesNotMatch":    "The signature is not the one computed here.",
}

// fail makes an error with the code's usual text.
func fail(status int, code string) *apiError {
	return &apiError{status: status, code: code, message: messages[code]}
}

// failf makes an error with a text of its own.
func failf(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func badArgument(format string, args ...any) *apiError {
	return failf(http.StatusBadRequest, "InvalidArgument", format, args...)
}

var storeErrors = []struct {
	err    error
	status int
	code   string
}{
	{store.ErrNoBucket, http.StatusNotFound, "NoSuchBucket"},
	{store.ErrNoKey, http.StatusNotFound, "NoSuchKey"},
	{store.ErrNoVersion, http.StatusNotFound, "NoSuchVersion"},
	{store.ErrNoUpload, http.StatusNotFound, "NoSuchUpload"},
	{store.ErrNotAppendable, http.StatusConflict, "ObjectNotAppendable"},
	{store.ErrTooLarge, http.StatusBadRequest, "EntityTooLarge"},
	{store.ErrBucketExists, http.StatusConflict, "BucketAlreadyExists"},
	{store.ErrConflict, http.StatusConflict, "PathConflict"},
	{store.ErrBucketNotEmpty, http.StatusConflict, "BucketNotEmpty"},
	{io.ErrUnexpectedEOF, http.StatusBadRequest, "IncompleteBody"},
}

// toAPI turns any error into an answer.
func (s *Server) toAPI(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*store.PositionError](err); ok {
		return s.positionError(e)
	}
	for _, row := range storeErrors {
		if errors.Is(err, row.err) {
			return fail(row.status, row.code)
		}
	}
	return fail(http.StatusInternalServerError, "InternalError")
}

func (s *Server) positionError(e *store.PositionError) *apiError {
	answer := fail(http.StatusConflict, "AppendPositionErr")
	if e.Length == 0 && s.opt.Switches.MissingAppend404 {
		answer = fail(http.StatusNotFound, "NoSuchKey")
	}
	if !s.opt.Switches.HideAppendPosition {
		answer.header = []store.Pair{{Name: hdrNextPosition, Value: strconv.FormatInt(e.Length, 10)}}
	}
	return answer
}
