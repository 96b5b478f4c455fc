package cosserver

import (
	"net/http"
	"strconv"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
	"cosfuse/cos/internal/sign"
)

const maxList = 1000 // entries of a page

// number reads a query parameter from least to most; text that is no such number is refused.
func (r *request) number(name string, least, most, missing int) (int, error) {
	text := r.query.Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badArgument("%s is %q, not from %d to %d.", name, text, least, most)
	}
	return n, nil
}

// encoding returns how keys are to be written.
func (r *request) encoding() (func(string) string, error) {
	switch t := r.query.Get("encoding-type"); t {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return sign.EscapeKey, nil
	default:
		return nil, badArgument("encoding-type is %q, not url.", t)
	}
}

func (r *request) encodingElement(x *document, name string) {
	if t := r.query.Get("encoding-type"); t != "" {
		x.text(name, t)
	}
}

// account is the number of the account that the bucket's name ends in.
func (r *request) account() string {
	return r.bucket[strings.LastIndexByte(r.bucket, '-')+1:]
}

// person writes an owner or initiator: there is one account.
func (r *request) person(x *document, element string) {
	x.open(element)
	x.text("ID", r.account())
	x.text("DisplayName", r.account())
	x.close(element)
}

func className(class string) string {
	if class == "" {
		return "STANDARD"
	}
	return class
}

// listQuery reads what all listings of a bucket have in common.
func (r *request) listQuery(marker, idMarker, limit string) (store.ListQuery, error) {
	q := store.ListQuery{
		Prefix:    r.query.Get("prefix"),
		Delimiter: r.query.Get("delimiter"),
		Marker:    r.query.Get(marker),
		IDMarker:  r.query.Get(idMarker),
	}
	if len([]rune(q.Delimiter)) > 1 {
		return q, failf(http.StatusBadRequest, "InvalidDelimiter", "A delimiter is one character.")
	}
	if q.Marker == "" {
		q.IDMarker = ""
	}
	n, err := r.number(limit, 0, 1<<30, maxList)
	q.Max = min(n, maxList)
	return q, err
}

// listObjects answers GET Bucket. A page of no entries is never truncated, else it would have no
// marker to continue at.
func (r *request) listObjects() error {
	if r.query.Get("list-type") == "2" {
		return r.listObjectsV2()
	}
	q, err := r.listQuery("marker", "", "max-keys")
	if err != nil {
		return err
	}
	encode, err := r.encoding()
	if err != nil {
		return err
	}
	page, err := r.page(q)
	if err != nil {
		return err
	}
	x := r.bucketListing("ListBucketResult", q, encode, page.Truncated, func(x *document) {
		x.text("Marker", encode(q.Marker))
	})
	if page.Truncated {
		x.text("NextMarker", encode(page.Next))
	}
	r.writePage(x, page, encode)
	r.set("x-cos-bucket-region", r.srv.opt.Region)
	return r.sendXML(http.StatusOK, x)
}

// bucketListing begins the answer to a listing of objects, in the documented order: what all kinds of it
// tell alike, and where it starts as from says.
func (r *request) bucketListing(root string, q store.ListQuery, encode func(string) string, truncated bool, from func(*document)) *document {
	x := newDocument(root)
	x.text("Name", r.bucket)
	r.encodingElement(x, "EncodingType")
	x.text("Prefix", encode(q.Prefix))
	from(x)
	x.text("MaxKeys", strconv.Itoa(q.Max))
	if q.Delimiter != "" {
		x.text("Delimiter", encode(q.Delimiter))
	}
	x.text("IsTruncated", strconv.FormatBool(truncated))
	return x
}

func (r *request) page(q store.ListQuery) (store.Page[*store.Object], error) {
	if q.Max == 0 {
		return store.Page[*store.Object]{}, nil
	}
	return r.srv.store.List(r.bucket, q)
}

func (r *request) writePage(x *document, page store.Page[*store.Object], encode func(string) string) {
	writePrefixes(x, page.CommonPrefixes, encode)
	for _, o := range page.Entries {
		x.open("Contents")
		x.text("Key", encode(o.Key))
		r.writeObject(x, o)
		x.close("Contents")
	}
}

func writePrefixes(x *document, prefixes []string, encode func(string) string) {
	for _, p := range prefixes {
		x.open("CommonPrefixes")
		x.text("Prefix", encode(p))
		x.close("CommonPrefixes")
	}
}

func (r *request) writeObject(x *document, o *store.Object) {
	x.text("LastModified", listTime(seconds(o.Modified)))
	x.text("ETag", quote(o.ETag))
	x.text("Size", strconv.FormatInt(o.Size, 10))
	r.person(x, "Owner")
	x.text("StorageClass", className(o.StorageClass))
	if strings.HasSuffix(o.StorageClass, "INTELLIGENT_TIERING") {
		x.text("StorageTier", "FREQUENT")
	}
}

// listObjectsV2 answers list-type=2, which programs made for other services ask for. The
// continuation token is the marker, escaped.
func (r *request) listObjectsV2() error {
	q, err := r.listQuery("start-after", "", "max-keys")
	if err != nil {
		return err
	}
	encode, err := r.encoding()
	if err != nil {
		return err
	}
	token := r.query.Get("continuation-token")
	if token != "" {
		q.Marker = token
	}
	page, err := r.page(q)
	if err != nil {
		return err
	}
	x := r.bucketListing("ListBucketResult", q, encode, page.Truncated, func(*document) {})
	x.text("KeyCount", strconv.Itoa(len(page.Entries)+len(page.CommonPrefixes)))
	if token != "" {
		x.text("ContinuationToken", token)
	}
	if page.Truncated {
		x.text("NextContinuationToken", page.Next)
	}
	r.writePage(x, page, encode)
	return r.sendXML(http.StatusOK, x)
}

func (r *request) listUploads() error {
	if r.query.Get("max-uploads") != "" {
		if _, err := r.number("max-uploads", 0, maxList, maxList); err != nil {
			return err
		}
	}
	q, err := r.listQuery("key-marker", "upload-id-marker", "max-uploads")
	if err != nil {
		return err
	}
	if q.Max == 0 {
		q.Max = maxList
	}
	encode, err := r.encoding()
	if err != nil {
		return err
	}
	page, err := r.srv.store.ListUploads(r.bucket, q)
	if err != nil {
		return err
	}
	x := newDocument("ListMultipartUploadsResult")
	x.text("Bucket", r.bucket)
	r.encodingElement(x, "EncodingType")
	x.text("KeyMarker", encode(q.Marker))
	x.text("UploadIdMarker", encode(q.IDMarker))
	if page.Truncated {
		x.text("NextKeyMarker", encode(page.Next))
		x.text("NextUploadIdMarker", encode(page.NextID))
	}
	x.text("MaxUploads", strconv.Itoa(q.Max))
	x.text("IsTruncated", strconv.FormatBool(page.Truncated))
	x.text("Prefix", encode(q.Prefix))
	x.text("Delimiter", encode(q.Delimiter))
	for _, u := range page.Entries {
		x.open("Upload")
		x.text("Key", encode(u.Key))
		x.text("UploadId", u.ID)
		x.text("StorageClass", className(u.StorageClass))
		r.person(x, "Initiator")
		r.person(x, "Owner")
		x.text("Initiated", listTime(u.Initiated))
		x.close("Upload")
	}
	writePrefixes(x, page.CommonPrefixes, encode)
	return r.sendXML(http.StatusOK, x)
}

func (r *request) listVersions() error {
	q, err := r.listQuery("key-marker", "version-id-marker", "max-keys")
	if err != nil {
		return err
	}
	encode, err := r.encoding()
	if err != nil {
		return err
	}
	var page store.Page[store.Version]
	if q.Max > 0 {
		if page, err = r.srv.store.ListVersions(r.bucket, q); err != nil {
			return err
		}
	}
	x := r.bucketListing("ListVersionsResult", q, encode, page.Truncated, func(x *document) {
		x.text("KeyMarker", encode(q.Marker))
		x.text("VersionIdMarker", q.IDMarker)
	})
	if page.Truncated {
		x.text("NextKeyMarker", encode(page.Next))
		x.text("NextVersionIdMarker", page.NextID)
	}
	writePrefixes(x, page.CommonPrefixes, encode)
	for _, v := range page.Entries {
		r.writeVersion(x, v, encode)
	}
	return r.sendXML(http.StatusOK, x)
}

func (r *request) writeVersion(x *document, v store.Version, encode func(string) string) {
	element := "Version"
	if v.DeleteMarker {
		element = "DeleteMarker"
	}
	x.open(element)
	x.text("Key", encode(v.Key))
	x.text("VersionId", v.VersionID)
	x.text("IsLatest", strconv.FormatBool(v.Latest))
	if v.DeleteMarker {
		x.text("LastModified", listTime(seconds(v.Modified)))
		r.person(x, "Owner")
	} else {
		r.writeObject(x, v.Object)
	}
	x.close(element)
}
