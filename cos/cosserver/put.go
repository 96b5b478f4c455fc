package cosserver

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"cosfuse/cos/cosserver/internal/store"
)

func (r *request) putObject() error {
	a, err := r.attrs()
	if err != nil {
		return err
	}
	cond := r.overwriteRule()
	if err := r.precheck(cond); err != nil {
		return err
	}
	st, err := r.stage(true)
	if err != nil {
		return err
	}
	o, err := r.srv.store.Put(r.bucket, r.key, st, a, cond)
	if err != nil {
		return err
	}
	r.setStored(o)
	return r.send(http.StatusOK, "", nil)
}

// precheck refuses what cannot succeed before the body is sent. The store checks again.
func (r *request) precheck(cond store.Condition) error {
	o, err := r.srv.store.Head(r.bucket, r.key, "")
	if err != nil {
		o = nil
	}
	return cond(o)
}

// setStored puts what a client needs to know of an object it made into the header.
func (r *request) setStored(o *store.Object) {
	r.set(hdrETag, quote(o.ETag))
	r.set(hdrCRC, strconv.FormatUint(o.CRC64, 10))
	r.setVersion(o.VersionID)
	r.setSSE(o.SSE)
	if o.StorageClass != "" {
		r.set("x-cos-storage-class", o.StorageClass)
	}
}

// setVersion tells the version in a bucket with versioning; a suspended one has none to tell.
func (r *request) setVersion(id string) {
	if r.state.Versioning == "Enabled" && id != "" {
		r.set(hdrVersion, id)
	}
}

func (r *request) appendObject() error {
	if r.state.MAZ {
		return failf(http.StatusBadRequest, "OAZOperationNotSupportOnMAZBucket", "A multi-AZ bucket has no append.")
	}
	if r.state.Versioning != "" {
		return failf(http.StatusMethodNotAllowed, "MethodNotAllowed", "A bucket with versions has no append.")
	}
	position, err := strconv.ParseInt(r.query.Get("position"), 10, 64)
	if err != nil || position < 0 {
		return badArgument("position is missing or not a number.")
	}
	r.rec.Position = position
	a, err := r.appendAttrs()
	if err != nil {
		return err
	}
	st, err := r.stage(false)
	if err != nil {
		return err
	}
	sum := hex.EncodeToString(st.MD5[:])
	o, err := r.srv.store.Append(r.bucket, r.key, position, st, a, maxBody)
	if err != nil {
		return err
	}
	r.set(hdrETag, quote(o.ETag))
	r.set(hdrNextPosition, strconv.FormatInt(o.Size, 10))
	r.set("x-cos-content-sha1", sum) // an MD5 in spite of the name: clients check it as such
	if !r.srv.opt.Switches.HideAppendCRC {
		r.set(hdrCRC, strconv.FormatUint(o.CRC64, 10))
	}
	return r.send(http.StatusOK, "", nil)
}

func (r *request) appendAttrs() (store.Attrs, error) {
	a, err := r.attrs()
	if err != nil {
		return a, err
	}
	if a.StorageClass == "INTELLIGENT_TIERING" {
		return a, failf(http.StatusBadRequest, "NotSupportedStorageClass", "INTELLIGENT_TIERING cannot be appended to.")
	}
	return a, nil
}
