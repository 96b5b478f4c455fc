package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"

	"cosfuse/cos"
)

// explain turns an error of the first requests into what the user can do about it.
func explain(err error, o *mountOptions) error {
	var e *cos.Error
	code := ""
	if errors.As(err, &e) {
		code = e.Code
	}
	switch {
	case errors.Is(err, cos.ErrClockSkew):
		return serviceError("set it, with \"timedatectl set-ntp true\" or by hand",
			"the clock of this machine is too far off for the service: %w", err)
	case errors.Is(err, cos.ErrBadCredentials):
		return explainCredentials(err, code)
	case errors.Is(err, cos.ErrNoSuchBucket), errors.Is(err, cos.ErrNotFound):
		return serviceError("check the name, the APPID and the region in the console; a bucket is found in its own region only",
			"there is no bucket %s in region %s: %w", o.bucket, o.region, err)
	case errors.Is(err, cos.ErrAccessDenied) && o.anonymous:
		return serviceError("mount it with credentials", "bucket %s is not public: %w", o.bucket, err)
	case errors.Is(err, cos.ErrAccessDenied):
		return serviceError("grant it cos:HeadBucket, cos:GetBucket, cos:HeadObject and cos:GetObject, and check that the bucket is yours",
			"this account may not read bucket %s: %w", o.bucket, err)
	}
	return explainNetwork(err, o)
}

func explainCredentials(err error, code string) error {
	switch code {
	case "SignatureDoesNotMatch":
		return serviceError("check the secret key: it does not belong to this secret id", "wrong secret key: %w", err)
	case "InvalidAccessKeyId":
		return serviceError("check the secret id in the console, under API keys", "the service does not know this secret id: %w", err)
	case "ExpiredToken":
		return serviceError("get new temporary credentials", "the temporary credentials have expired: %w", err)
	}
	return serviceError("check secret id, secret key and session token", "the credentials are refused: %w", err)
}

func explainNetwork(err error, o *mountOptions) error {
	where := o.endpoint
	if where == "" {
		where = "https://cos." + o.region + ".myqcloud.com"
	}
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var cert x509.CertificateInvalidError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return serviceError(fmt.Sprintf("check --region %s and --endpoint, and the name service of this machine", o.region),
			"the name %s cannot be resolved", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return serviceError("check --endpoint, its port, and that the server runs", "nothing listens at %s: %w", where, err)
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &cert):
		return serviceError("check --endpoint, the certificate and the clock (apt install ca-certificates on a bare Debian)",
			"the certificate of %s is not accepted: %w", where, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, cos.ErrStalled), errors.Is(err, cos.ErrTransport):
		return serviceError("check --endpoint and --region, the network and the firewall",
			"%s does not answer: %w", where, err)
	}
	return serviceError("", "bucket %s: %w", o.bucket, err)
}
