package cosserver

import (
	"net/http"
	"net/url"
	"unicode/utf8"
)

// operation is one call of the API: its name in statistics and rules, what it needs from someone
// without credentials, and its handler.
type operation struct {
	name   string
	access access
	do     func(*request) error
}

// access is what an operation does to what.
type access int

const (
	ownerOnly   access = iota // configuration
	readObject                // needs public-read on object or bucket
	readBucket                // needs public-read on the bucket
	writeBucket               // needs public-read-write on the bucket
)

// classify finds the operation of a request. Sub-resources are recognised by the presence of their
// parameter, wherever it stands and whether or not it has a value.
func classify(method, bucket, key string, q url.Values, h http.Header) operation {
	if bucket == "" {
		return operation{"ListBuckets", ownerOnly, (*request).listBuckets}
	}
	rows := objectOperations
	if key == "" {
		rows = bucketOperations
	}
	for _, row := range rows {
		if row.method == method && row.matches(q, h) {
			return row.operation
		}
	}
	return operation{name: "Unknown"}
}

// row is an operation and what tells it from others of the same method.
type row struct {
	method string
	param  string // query parameter that must be there
	header string // header that must not be empty
	operation
}

func (o *row) matches(q url.Values, h http.Header) bool {
	return (o.param == "" || q.Has(o.param)) && (o.header == "" || h.Get(o.header) != "")
}

// The first row that fits counts, so the general ones come last.
var bucketOperations = []row{
	{http.MethodGet, "uploads", "", operation{"ListUploads", readBucket, (*request).listUploads}},
	{http.MethodGet, "versions", "", operation{"ListVersions", readBucket, (*request).listVersions}},
	{http.MethodGet, "location", "", operation{"GetBucketLocation", readBucket, (*request).getLocation}},
	{http.MethodGet, "versioning", "", operation{"GetBucketVersioning", ownerOnly, (*request).getVersioning}},
	{http.MethodGet, "acl", "", operation{"GetBucketACL", ownerOnly, (*request).getBucketACL}},
	{http.MethodGet, "", "", operation{"ListObjects", readBucket, (*request).listObjects}},
	{http.MethodHead, "", "", operation{"HeadBucket", readBucket, (*request).headBucket}},
	{http.MethodPut, "versioning", "", operation{"PutBucketVersioning", ownerOnly, (*request).putVersioning}},
	{http.MethodPut, "acl", "", operation{"PutBucketACL", ownerOnly, (*request).putBucketACL}},
	{http.MethodPut, "", "", operation{"PutBucket", ownerOnly, (*request).putBucket}},
	{http.MethodPost, "delete", "", operation{"DeleteObjects", writeBucket, (*request).deleteObjects}},
	{http.MethodDelete, "", "", operation{"DeleteBucket", ownerOnly, (*request).deleteBucket}},
}

var objectOperations = []row{
	{http.MethodGet, "uploadId", "", operation{"ListParts", writeBucket, (*request).listParts}},
	{http.MethodGet, "acl", "", operation{"GetObjectACL", ownerOnly, (*request).getObjectACL}},
	{http.MethodGet, "tagging", "", operation{"GetObjectTagging", ownerOnly, (*request).getTagging}},
	{http.MethodGet, "", "", operation{"GetObject", readObject, (*request).getObject}},
	{http.MethodHead, "", "", operation{"HeadObject", readObject, (*request).headObject}},
	{http.MethodPut, "uploadId", "X-Cos-Copy-Source", operation{"UploadPartCopy", writeBucket, (*request).uploadPartCopy}},
	{http.MethodPut, "uploadId", "", operation{"UploadPart", writeBucket, (*request).uploadPart}},
	{http.MethodPut, "acl", "", operation{"PutObjectACL", ownerOnly, (*request).putObjectACL}},
	{http.MethodPut, "tagging", "", operation{"PutObjectTagging", ownerOnly, (*request).putTagging}},
	{http.MethodPut, "rename", "", operation{"RenameObject", writeBucket, (*request).rename}},
	{http.MethodPut, "", "X-Cos-Copy-Source", operation{"CopyObject", writeBucket, (*request).copyObject}},
	{http.MethodPut, "", "", operation{"PutObject", writeBucket, (*request).putObject}},
	{http.MethodPost, "append", "", operation{"AppendObject", writeBucket, (*request).appendObject}},
	{http.MethodPost, "uploads", "", operation{"InitiateMultipart", writeBucket, (*request).initiate}},
	{http.MethodPost, "uploadId", "", operation{"CompleteMultipart", writeBucket, (*request).complete}},
	{http.MethodPost, "restore", "", operation{"RestoreObject", ownerOnly, (*request).restore}},
	{http.MethodDelete, "uploadId", "", operation{"AbortMultipart", writeBucket, (*request).abort}},
	{http.MethodDelete, "tagging", "", operation{"DeleteObjectTagging", ownerOnly, (*request).deleteTagging}},
	{http.MethodDelete, "", "", operation{"DeleteObject", writeBucket, (*request).deleteObject}},
}

const maxKey = 850 // bytes

// checkKey refuses keys the service does not take. The empty key is a bucket's.
func checkKey(key string) error {
	if len(key) > maxKey {
		return fail(http.StatusBadRequest, "KeyTooLong")
	}
	if !utf8.ValidString(key) {
		return failf(http.StatusBadRequest, "InvalidURI", "The key is not UTF-8.")
	}
	for i := range len(key) {
		if key[i] >= 24 && key[i] <= 27 {
			return failf(http.StatusBadRequest, "InvalidObjectName", "The key holds control byte %d.", key[i])
		}
	}
	return nil
}
