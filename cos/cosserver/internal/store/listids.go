package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// ListUploads returns a page of a bucket's uploads, by key and then by upload ID.
func (s *Store) ListUploads(bucket string, q ListQuery) (Page[*Upload], error) {
	return listIDs(s.db, spaceUpload, bucket, q, func(key string, id, v []byte) (*Upload, string, error) {
		u, err := unmarshalUpload(key, string(id), v)
		return u, string(id), err
	})
}

// Version is an entry of ListVersions.
type Version struct {
	*Object
	Latest bool
}

// ListVersions returns a page of a bucket's versions, by key and then newest first. A bucket that
// never had versioning shows its objects as versions "null".
func (s *Store) ListVersions(bucket string, q ListQuery) (Page[Version], error) {
	state, err := s.Bucket(bucket)
	if err != nil {
		return Page[Version]{}, err
	}
	if state.Versioning == "" {
		return s.listOnlyVersions(bucket, q)
	}
	if q.IDMarker != "" {
		// IDs do not sort, sequence numbers do: continue behind the one the marker has.
		o, err := s.version(bucket, q.Marker, q.IDMarker)
		if err != nil {
			return Page[Version]{}, err
		}
		q.IDMarker = string(binary.BigEndian.AppendUint64(nil, ^o.seq))
	}
	latest := ""
	first := true
	if q.IDMarker != "" {
		latest, first = q.Marker, false
	}
	r, done := s.past.view()
	defer done()
	return listIDs(r, spaceVersion, bucket, q, func(key string, _, v []byte) (Version, string, error) {
		o, err := unmarshalObject(key, v)
		if err != nil {
			return Version{}, "", err
		}
		is := first || key != latest
		first, latest = false, key
		return Version{Object: o, Latest: is}, o.VersionID, nil
	})
}

func (s *Store) listOnlyVersions(bucket string, q ListQuery) (Page[Version], error) {
	objects, err := s.List(bucket, q)
	if err != nil {
		return Page[Version]{}, err
	}
	page := Page[Version]{
		CommonPrefixes: objects.CommonPrefixes,
		Truncated:      objects.Truncated,
		Next:           objects.Next,
	}
	for _, o := range objects.Entries {
		o.VersionID = nullVersion
		page.Entries = append(page.Entries, Version{Object: o, Latest: true})
	}
	return page, nil
}

// listIDs pages through a space whose keys are an escaped object key and an ID. decode turns a pair
// into an entry and the ID to continue behind.
func listIDs[T any](r pebble.Reader, space byte, bucket string, q ListQuery,
	decode func(key string, id, v []byte) (T, string, error)) (page Page[T], err error) {
	all := bucketPrefix(space, bucket)
	lower := appendEscaped(bytes.Clone(all), q.Prefix)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(lower)})
	if err != nil {
		return page, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	ok := it.SeekGE(startID(all, space, bucket, q))
	for ok {
		key, id, valid := unescape(it.Key()[len(all):])
		if !valid {
			return page, fmt.Errorf("index key %q: %w", it.Key(), errCorrupt)
		}
		group := q.group(key)
		hidden := group != "" && group <= q.Marker
		if !hidden && page.len() >= q.Max {
			page.Truncated = true
			break
		}
		if group == "" {
			v, err := it.ValueAndErr()
			if err != nil {
				return page, err
			}
			entry, nextID, err := decode(key, id, v)
			if err != nil {
				return page, err
			}
			page.Entries = append(page.Entries, entry)
			page.Next, page.NextID = key, nextID
			ok = it.Next()
			continue
		}
		if !hidden {
			page.CommonPrefixes = append(page.CommonPrefixes, group)
			page.Next, page.NextID = group, ""
		}
		ok = it.SeekGE(after(appendEscaped(bytes.Clone(all), group)))
	}
	return page, it.Error()
}

func startID(all []byte, space byte, bucket string, q ListQuery) []byte {
	switch {
	case q.Marker < q.Prefix || q.Marker == "":
		return appendEscaped(bytes.Clone(all), q.Prefix)
	case q.isGroup(q.Marker):
		return after(appendEscaped(bytes.Clone(all), q.Marker))
	case q.IDMarker != "":
		return append(keyPrefix(space, bucket, q.Marker), q.IDMarker+"\x00"...)
	}
	return after(keyPrefix(space, bucket, q.Marker))
}
