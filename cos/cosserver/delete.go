package cosserver

import (
	"net/http"

	"cosfuse/cos/cosserver/internal/store"
)

const maxDelete = 1000 // keys of one DeleteObjects

func (r *request) deleteObject() error {
	d, err := r.srv.store.Delete(r.bucket, r.key, r.version(), true)
	if err != nil {
		return err
	}
	if d.Marker {
		r.set("x-cos-delete-marker", "true")
	}
	if d.VersionID != "" {
		r.set(hdrVersion, d.VersionID)
	}
	return r.send(http.StatusNoContent, "", nil)
}

// deleteBody is what a client sends to delete several objects.
type deleteBody struct {
	Quiet   bool
	Objects []deleteItem `xml:"Object"`
}

type deleteItem struct {
	Key       string
	VersionID string `xml:"VersionId"`
}

func (r *request) deleteObjects() error {
	var body deleteBody
	if err := r.readXML(&body, true); err != nil {
		return err
	}
	if len(body.Objects) == 0 || len(body.Objects) > maxDelete {
		return fail(http.StatusBadRequest, "MalformedXML")
	}
	x := newDocument("DeleteResult")
	for _, item := range body.Objects {
		d, err := r.deleteItem(item)
		if err != nil {
			writeDeleteError(x, item, r.srv.toAPI(err))
			continue
		}
		if !body.Quiet {
			writeDeleted(x, item, d)
		}
	}
	if err := r.srv.store.Flush(); err != nil { // one sync for all
		return err
	}
	return r.sendXML(http.StatusOK, x)
}

func (r *request) deleteItem(item deleteItem) (store.Deleted, error) {
	if item.Key == "" {
		return store.Deleted{}, badArgument("The key is empty.")
	}
	if err := checkKey(item.Key); err != nil {
		return store.Deleted{}, err
	}
	return r.srv.store.Delete(r.bucket, item.Key, item.VersionID, false)
}

func writeDeleteError(x *document, item deleteItem, e *apiError) {
	x.open("Error")
	x.text("Key", item.Key)
	if item.VersionID != "" {
		x.text("VersionId", item.VersionID)
	}
	x.text("Code", e.code)
	x.text("Message", e.message)
	x.close("Error")
}

func writeDeleted(x *document, item deleteItem, d store.Deleted) {
	x.open("Deleted")
	x.text("Key", item.Key)
	if d.Marker {
		x.text("DeleteMarker", "true")
		x.text("DeleteMarkerVersionId", d.VersionID)
	}
	if item.VersionID != "" {
		x.text("VersionId", item.VersionID)
	}
	x.close("Deleted")
}
