package fs

import (
	"encoding/json"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// Attrs keeps on disk what was learnt of object versions: what HEAD and GET told, and what this mount made
// itself. A later mount then needs listings alone to know the attributes. The caller makes it, gives it to
// Options, gives Made to the Store's options, and closes the notes after both. A nil Attrs keeps nothing.
//
// What is kept of a key is good for one version of it: ETag, size and Last-Modified as a listing shows
// them. Last-Modified has whole seconds, so an answer counts only if it came at least settleTime, by the
// service's clock, after the second in which the version was made: what somebody changed of it since has
// another time then.
type Attrs struct{ notes *cache.Notes }

// settleTime is how long after its Last-Modified a version may no longer be mistaken for the next one.
const settleTime = 2 * time.Second

// noteFormat is the version of the notes' form. Others are as good as absent.
const noteFormat = 1

// NewAttrs keeps attributes in n. It is nil if n is.
func NewAttrs(n *cache.Notes) *Attrs {
	if n == nil {
		return nil
	}
	return &Attrs{notes: n}
}

// note is what is kept of one key: headers as the service tells them, so that a mount with other defaults
// reads them its own way.
type note struct {
	Format int `json:"f"`
	// Bare says that no object is at the key of a directory. It says nothing of now.
	Bare bool `json:"bare,omitempty"`

	ETag       string `json:"e,omitempty"`
	Size       int64  `json:"s,omitempty"`
	From       int64  `json:"t,omitempty"` // earliest and latest Last-Modified, as Unix seconds
	To         int64  `json:"u,omitempty"`
	CRC64      uint64 `json:"c,omitempty"`
	HasCRC64   bool   `json:"h,omitempty"`
	Appendable bool   `json:"a,omitempty"`
	VersionID  string `json:"v,omitempty"`

	ContentType        string            `json:"ct,omitempty"`
	CacheControl       string            `json:"cc,omitempty"`
	ContentDisposition string            `json:"cd,omitempty"`
	ContentEncoding    string            `json:"ce,omitempty"`
	ContentLanguage    string            `json:"cl,omitempty"`
	Expires            string            `json:"ex,omitempty"`
	StorageClass       string            `json:"sc,omitempty"`
	SSE                string            `json:"se,omitempty"`
	SSEKey             string            `json:"sk,omitempty"`
	SSEContext         string            `json:"sx,omitempty"`
	Meta               map[string]string `json:"m,omitempty"`
}

// newNote describes version v of an object with headers h. Access and tags are left out: HEAD does not tell
// them, and others may change them without making a new version.
func newNote(v writeback.Version, h *cos.Headers, from, to time.Time) note {
	return note{
		Format: noteFormat, ETag: v.ETag, Size: v.Size, From: from.Unix(), To: to.Unix(),
		CRC64: v.CRC64, HasCRC64: v.HasCRC64, Appendable: v.Appendable, VersionID: v.VersionID,
		ContentType: h.ContentType, CacheControl: h.CacheControl, ContentDisposition: h.ContentDisposition,
		ContentEncoding: h.ContentEncoding, ContentLanguage: h.ContentLanguage, Expires: h.Expires,
		StorageClass: h.StorageClass, SSE: h.SSE.Algorithm, SSEKey: h.SSE.KMSKeyID, SSEContext: h.SSE.KMSContext,
		Meta: h.Meta,
	}
}

// headers is what newNote was given.
func (n *note) headers() cos.Headers {
	return cos.Headers{
		ContentType: n.ContentType, CacheControl: n.CacheControl, ContentDisposition: n.ContentDisposition,
		ContentEncoding: n.ContentEncoding, ContentLanguage: n.ContentLanguage, Expires: n.Expires,
		StorageClass: n.StorageClass, Meta: n.Meta,
		SSE: cos.SSE{Algorithm: n.SSE, KMSKeyID: n.SSEKey, KMSContext: n.SSEContext},
	}
}

// put keeps n about key.
func (a *Attrs) put(key string, n note) {
	text, err := json.Marshal(n)
	if err != nil {
		panic("strings and numbers did not encode: " + err.Error())
	}
	a.notes.Put(key, text)
}

// Made takes in that this mount made version v of key at a time, with the attributes attr. It does not block.
// Writes of another client to the same key in the very seconds around it cannot be told from it.
func (a *Attrs) Made(key string, at time.Time, v writeback.Version, attr writeback.Attr) {
	if a == nil || v.Absent() || !attr.Known || secret(&attr.Headers) {
		return
	}
	h, err := writeback.EncodeAttr(key, attr)
	if err != nil {
		return // it is larger than an object can carry, so no object carries it
	}
	from, to := at.Add(-clockSlack), at.Add(clockSlack)
	if !v.LastModified.IsZero() {
		from, to = v.LastModified, v.LastModified
	}
	a.put(key, newNote(v, &h, from, to))
}

// told takes in an answer of the service about key, and reports whether it may be kept.
func (a *Attrs) told(key string, i *cos.ObjectInfo) bool {
	if a == nil || !settled(i) || secret(&i.Headers) {
		return false
	}
	v := writeback.VersionOf(i, time.Time{})
	a.put(key, newNote(v, &i.Headers, i.LastModified, i.LastModified))
	return true
}

// bare takes in that directory key has no marker, or had none.
func (a *Attrs) bare(key string) {
	if a != nil {
		a.put(key, note{Format: noteFormat, Bare: true})
	}
}

// drop forgets key: it is being changed here.
func (a *Attrs) drop(key string) {
	if a != nil {
		a.notes.Drop(key)
	}
}

// clear forgets everything. It blocks while files are deleted.
func (a *Attrs) clear() {
	if a != nil {
		a.notes.Clear()
	}
}

// has reports whether something is likely to be kept of key. It does not block.
func (a *Attrs) has(key string) bool { return a != nil && a.notes.Has(key) }

// of returns what is kept of the version of key that a listing shows. It blocks while the disk reads.
func (a *Attrs) of(key string, e *cache.Entry, d writeback.AttrDefaults) (fact, bool) {
	if !a.has(key) {
		return fact{}, false
	}
	text, ok := a.notes.Get(key)
	if !ok {
		return fact{}, false
	}
	var n note
	if json.Unmarshal(text, &n) != nil || n.Format != noteFormat || n.Bare {
		return fact{}, false
	}
	if at := e.LastModified.Unix(); n.ETag != e.ETag || n.Size != e.Size || at < n.From || at > n.To {
		return fact{}, false
	}
	i := cos.ObjectInfo{
		Key: key, Size: n.Size, ETag: n.ETag, LastModified: e.LastModified, CRC64: n.CRC64, HasCRC64: n.HasCRC64,
		Appendable: n.Appendable, VersionID: n.VersionID, Headers: n.headers(),
	}
	return fact{
		found: true, ver: writeback.VersionOf(&i, time.Time{}), attr: writeback.DecodeAttr(&i, d), settled: true, kept: true,
	}, true
}

// settled reports whether an answer is about a version that cannot be mistaken for the next one.
func settled(i *cos.ObjectInfo) bool {
	return !i.ServerTime.IsZero() && !i.LastModified.IsZero() && i.ServerTime.Sub(i.LastModified) >= settleTime
}

// secret reports whether h has what does not belong on disk.
func secret(h *cos.Headers) bool { return h.SSE.CustomerKey != "" || h.SSE.CustomerAlgorithm != "" }
