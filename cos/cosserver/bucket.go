package cosserver

import (
	"net/http"
	"time"

	"cosfuse/cos/cosserver/internal/store"
)

func (r *request) headBucket() error {
	r.set("x-cos-bucket-region", r.srv.opt.Region)
	if r.state.MAZ {
		r.set("x-cos-bucket-az-type", "MAZ")
	}
	if r.state.OFS {
		r.set("x-cos-bucket-arch", "OFS")
	}
	return r.send(http.StatusOK, "", nil)
}

// listBuckets answers GET Service.
func (r *request) listBuckets() error {
	if r.Method != http.MethodGet {
		return fail(http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
	x := newDocument("ListAllMyBucketsResult")
	r.bucket = r.srv.defaultBucket // whose account it is
	r.person(x, "Owner")
	x.open("Buckets")
	for _, b := range r.srv.store.Buckets() {
		x.open("Bucket")
		x.text("Name", b.Name)
		x.text("Location", r.srv.opt.Region)
		x.text("CreationDate", b.Created.UTC().Format(time.RFC3339))
		x.close("Bucket")
	}
	x.close("Buckets")
	return r.sendXML(http.StatusOK, x)
}

// createBody is what a client may send to create a bucket.
type createBody struct {
	AZ   string `xml:"BucketAZConfig"`
	Arch string `xml:"BucketArchConfig"`
}

func (r *request) putBucket() error {
	var body createBody
	if r.ContentLength != 0 {
		if err := r.readXML(&body, false); err != nil {
			return err
		}
	}
	acl, err := headerACL(r.Header)
	if err != nil {
		return err
	}
	b := Bucket{Name: r.bucket, MAZ: body.AZ == "MAZ", OFS: body.Arch == "OFS", ACL: acl.Canned}
	if err := r.srv.createBucket(b); err != nil {
		return err
	}
	return r.send(http.StatusOK, "", nil)
}

func (r *request) deleteBucket() error {
	if err := r.srv.store.DeleteBucket(r.bucket); err != nil {
		return err
	}
	return r.send(http.StatusNoContent, "", nil)
}

func (r *request) getLocation() error {
	x := newDocument("LocationConstraint")
	x.b = appendText(x.b, r.srv.opt.Region)
	return r.sendXML(http.StatusOK, x)
}

func (r *request) getVersioning() error {
	x := newDocument("VersioningConfiguration")
	if r.state.Versioning != "" {
		x.text("Status", r.state.Versioning)
	}
	return r.sendXML(http.StatusOK, x)
}

func (r *request) putVersioning() error {
	var body struct{ Status string }
	if err := r.readXML(&body, false); err != nil {
		return err
	}
	if body.Status != "Enabled" && body.Status != "Suspended" {
		return fail(http.StatusBadRequest, "MalformedXML")
	}
	if r.state.OFS {
		return failf(http.StatusMethodNotAllowed, "MethodNotAllowed", "A metadata-accelerated bucket has no versions.")
	}
	if err := r.srv.store.SetVersioning(r.bucket, body.Status); err != nil {
		return err
	}
	return r.send(http.StatusOK, "", nil)
}

// archive and restore

const day = 24 * time.Hour

// restored reports whether an object can be read: it never was archived, or it has been restored.
func (r *request) restored(o *store.Object) bool {
	if !storageClasses[o.StorageClass] {
		return true
	}
	now := r.srv.clock()
	return !o.RestoreReady.IsZero() && !now.Before(o.RestoreReady) && now.Before(o.RestoreUntil)
}

// restoreState is the value of x-cos-restore, "" if there is nothing to tell.
func (r *request) restoreState(o *store.Object) string {
	now := r.srv.clock()
	switch {
	case o.RestoreReady.IsZero() || !now.Before(o.RestoreUntil):
		return ""
	case now.Before(o.RestoreReady):
		return `ongoing-request="true"`
	}
	return `ongoing-request="false", expiry-date="` + o.RestoreUntil.UTC().Format(http.TimeFormat) + `"`
}

func (r *request) restore() error {
	var body struct {
		Days int
		Tier string `xml:"CASJobParameters>Tier"`
	}
	if err := r.readXML(&body, false); err != nil {
		return err
	}
	if body.Days < 1 || body.Days > 365 {
		return badArgument("Days is not from 1 to 365.")
	}
	takes := r.srv.opt.Switches.RestoreTime
	if takes == 0 {
		takes = time.Minute
	}
	now := r.srv.clock()
	status := http.StatusAccepted
	err := r.srv.store.Update(r.bucket, r.key, r.version(), func(o *store.Object) error {
		switch {
		case !storageClasses[o.StorageClass]:
			return failf(http.StatusMethodNotAllowed, "RestoreNonArchiveObject", "The object is not archived.")
		case now.Before(o.RestoreReady):
			return failf(http.StatusConflict, "RestoreAlreadyInProgress", "The object is being restored.")
		case r.restored(o):
			status = http.StatusOK
		default:
			o.RestoreReady = now.Add(takes)
		}
		o.RestoreUntil = now.Add(takes + time.Duration(body.Days)*day)
		return nil
	})
	if err != nil {
		return err
	}
	return r.send(status, "", nil)
}
