package journal

import "time"

// FormatVersion is written when a journal is made; another major version is refused.
const FormatVersion = 1

// Identity says which bucket a journal belongs to: its records mean nothing in another one.
type Identity struct {
	Version int    `json:"version"`
	Bucket  string `json:"bucket"`
	Prefix  string `json:"prefix"`
}

// Version names the content of an object; an empty ETag means that there is none.
type Version struct {
	ETag         string    `json:"etag,omitempty"`
	Size         int64     `json:"size,omitempty"`
	LastModified time.Time `json:"last_modified,omitzero"`
	CRC64        uint64    `json:"crc64,omitempty"`
	HasCRC64     bool      `json:"has_crc64,omitempty"`
	Appendable   bool      `json:"appendable,omitempty"`
	VersionID    string    `json:"version_id,omitempty"`
}

// Extent is one range of a file: Kind is extent.Kind's number.
type Extent struct {
	Off    int64  `json:"o"`
	End    int64  `json:"e"`
	Kind   uint8  `json:"k"`
	Dirty  bool   `json:"d,omitempty"`
	Src    uint32 `json:"s,omitempty"`
	SrcOff int64  `json:"p"`
}

// Source is a version of another object that extents of kind remote refer to by ID.
type Source struct {
	ID      uint32  `json:"id"`
	Key     string  `json:"key"`
	Version Version `json:"version"`
}

// Inode is a file, directory or symlink that is not in COS as it is here. Attr is the attributes as
// package writeback encodes them.
type Inode struct {
	Ino     uint64   `json:"ino"`
	Key     string   `json:"key"`
	Base    Version  `json:"base"`
	Size    int64    `json:"size"`
	Extents []Extent `json:"extents,omitempty"`
	Sources []Source `json:"sources,omitempty"`
	Attr    []byte   `json:"attr,omitempty"`

	NeverCommitted bool `json:"never_committed,omitempty"`
	Fresh          bool `json:"fresh,omitempty"`
	Shadows        bool `json:"shadows,omitempty"`
	Excl           bool `json:"excl,omitempty"`
	Trunc          bool `json:"trunc,omitempty"`
	DirtyData      bool `json:"dirty_data,omitempty"`
	DirtyAttr      bool `json:"dirty_attr,omitempty"`
	AppendOnly     bool `json:"append_only,omitempty"`
	MtimeSet       bool `json:"mtime_set,omitempty"`
	ACLKnown       bool `json:"acl_known,omitempty"`

	// Behind is the key of the object Base, which the rename of a directory could not move to Key; "" = Key.
	Behind string `json:"behind,omitempty"`

	Attempt  *Attempt  `json:"attempt,omitempty"`  // a commit that was sent and may have been applied
	Conflict bool      `json:"conflict,omitempty"` // another writer was first: kept for the user to decide
	Since    time.Time `json:"since"`              // when it became dirty

	ShadowsAt time.Time `json:"shadows_at,omitzero"` // when it came to shadow an object: that is not newer

	Err string `json:"err,omitempty"` // of the last commit
}

// Attempt is a commit whose outcome nobody knows yet.
type Attempt struct {
	At       time.Time `json:"at"`
	Size     int64     `json:"size"`            // of the object it makes
	CRC64    uint64    `json:"crc64,omitempty"` // of it, or of what was appended
	HasCRC64 bool      `json:"has_crc64,omitempty"`
	Append   bool      `json:"append,omitempty"` // bytes From to Size were appended
	From     int64     `json:"from,omitempty"`
	Stage    uint32    `json:"stage,omitempty"`  // staging files up to this one were part of it
	Source   uint32    `json:"source,omitempty"` // and sources up to this one
}

// Delta is bytes of a staging file that were not synced there: replay writes them, in order.
type Delta struct {
	Ino  uint64
	Seq  uint64
	Src  uint32 // staging file
	Off  int64  // in the staging file
	Data []byte
}

// Upload is a multipart upload of ours that nobody may forget.
type Upload struct {
	Key      string    `json:"key"`
	UploadID string    `json:"upload_id"`
	Ino      uint64    `json:"ino"`
	Since    time.Time `json:"since"`

	// Keep says that some bytes of inode Ino are in this upload and nowhere else: it is completed, and never
	// aborted but by the user. Parts are those that were sent.
	Keep  bool   `json:"keep,omitempty"`
	Parts []Part `json:"parts,omitempty"`
}

// Part is a part that was sent.
type Part struct {
	Number   int    `json:"n"`
	ETag     string `json:"etag"`
	Size     int64  `json:"size"`
	CRC64    uint64 `json:"crc64,omitempty"`
	HasCRC64 bool   `json:"has_crc64,omitempty"`
}

// Removal is a deletion that was acknowledged and waits: it means Version, and no other content of Key.
type Removal struct {
	Key     string    `json:"key"`
	Version Version   `json:"version"`
	Since   time.Time `json:"since"`
}

// TreeRename is a directory rename under way: every key below Src belongs below Dst. If Src does not end in
// "/" it is a file's, and Version is what moves.
type TreeRename struct {
	ID      uint64    `json:"id"`
	Src     string    `json:"src"`
	Dst     string    `json:"dst"`
	Since   time.Time `json:"since"`
	Version Version   `json:"version,omitzero"`

	Replaced uint64 `json:"replaced,omitzero"` // inode that loses the name Dst to it
}

// Intent is a multipart upload that was asked for and whose ID was never learned: it began between Since and Until.
type Intent struct {
	ID    uint64    `json:"id"`
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: the process died then
}

// State is all that a journal holds.
type State struct {
	Inodes   []Inode
	Deltas   []Delta // by inode, then in the order they were written
	Uploads  []Upload
	Removals []Removal
	Renames  []TreeRename
	Intents  []Intent
}

// Empty reports whether there is nothing to recover.
func (s *State) Empty() bool {
	return len(s.Inodes)+len(s.Deltas)+len(s.Uploads)+len(s.Removals)+len(s.Renames)+len(s.Intents) == 0
}
