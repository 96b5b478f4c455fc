package cos

import (
	"net/http"
	"strings"
)

// byCode maps the service's error codes to sentinels; nil if the status decides.
func byCode(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NoSuchCopySource", "NoSuchTagSet":
		return ErrNotFound
	case "NoSuchBucket":
		return ErrNoSuchBucket
	case "PreconditionFailed":
		return ErrPrecondition
	case "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidSecurityToken":
		return ErrBadCredentials
	case "RequestTimeTooSkewed", "Request has expired":
		return ErrClockSkew
	case "FileAlreadyExists":
		return ErrExists
	case "AppendPositionErr":
		return ErrAppendPosition
	case "ObjectNotAppendable":
		return ErrNotAppendable
	case "InvalidObjectState":
		return ErrInvalidState
	case "InvalidRange":
		return ErrInvalidRange
	case "EntityTooLarge":
		return ErrTooLarge
	case "KeyTooLong", "InvalidObjectName", "InvalidURI":
		return ErrKeyInvalid
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall":
		return ErrInvalidPart
	case "BadDigest", "InvalidSHA1Digest":
		return ErrChecksum
	case "SlowDown":
		return ErrThrottled
	case "QuotaConflict", "AttachmentFull", "PaymentRequired":
		return ErrNoSpace
	case "MethodNotAllowed", "NotImplemented", "UploadIdNotSupported", "ActionAccelerateNotSupported",
		"BucketAccelerateNotEnabled", "MAZOperationNotSupportOnOAZBucket", "OAZOperationNotSupportOnMAZBucket":
		return ErrUnsupported
	case "RequestTimeout", "UserNetworkTooSlow", "IncompleteBody":
		return ErrTransport
	case "InternalError", "ServiceUnavailable", "KmsInternalException", "KmsFreqControl":
		return ErrServer
	}
	return nil
}

// byStatus maps what is left, and the answers that carry no code.
func byStatus(status int) error {
	switch status {
	case http.StatusNotModified:
		return ErrNotModified
	case http.StatusPaymentRequired:
		return ErrNoSpace
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return ErrAccessDenied
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ErrUnsupported
	case http.StatusConflict:
		return ErrConflict
	case http.StatusPreconditionFailed:
		return ErrPrecondition
	case http.StatusRequestedRangeNotSatisfiable:
		return ErrInvalidRange
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return ErrThrottled
	}
	switch {
	case status >= 500:
		return ErrServer
	case status >= 400:
		return ErrInvalidArgument
	}
	return ErrBadResponse // a redirect, or a success where an error document came
}

// sentinel is the error that a code and a status stand for.
func sentinel(status int, code, message string) error {
	if strings.Contains(message, "Request has expired") {
		return ErrClockSkew // comes with the code AccessDenied
	}
	if err := byCode(code); err != nil {
		return err
	}
	if status < 300 && code != "" {
		return ErrServer // an error document after the header had promised success
	}
	return byStatus(status)
}
