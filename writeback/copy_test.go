package writeback

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"cosfuse/cos"
)

// TestIgnoreACL asks nothing about what is replaced, copied or renamed.
func TestIgnoreACL(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprint(ignore), func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.IgnoreACL = ignore })
			for _, key := range []string{"put", "attributes", "rename"} {
				_, err := r.client.Put(t.Context(), key, bytes.NewReader([]byte("text")), 4, &cos.PutOptions{Headers: cos.Headers{ACL: "public-read"}})
				r.must(err)
			}
			r.srv.ResetStats()
			h := r.open(r.store, "put", false)
			r.write(h, []byte("T"), 0)
			r.must(h.Close())
			h = r.open(r.store, "attributes", false)
			r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
			r.must(h.Fsync(t.Context()))
			r.must(h.Close())
			h = r.open(r.store, "rename", false)
			r.must(r.store.Rename(h.f, "renamed", false))
			r.must(h.Close())
			asked := r.requests()
			if acls := asked["GetObjectACL"]; acls != map[bool]int64{false: 3}[ignore] {
				t.Errorf("asked for %d ACLs: %v", acls, asked)
			}
			if tags := asked["GetObjectTagging"]; tags != map[bool]int64{false: 1}[ignore] {
				t.Errorf("asked for %d objects' tags: %v", tags, asked)
			}
			for _, key := range []string{"put", "attributes", "renamed"} {
				acl, err := r.client.ObjectACL(t.Context(), key)
				r.must(err)
				if (acl.Canned == "public-read") == ignore {
					t.Errorf("%s: ACL %q", key, acl.Canned)
				}
			}
		})
	}
}

// TestRelayLimit renames an object that the service does not copy: it goes through this host, if it may.
func TestRelayLimit(t *testing.T) {
	const size = 1000
	for limit, want := range map[int64]error{size: nil, size - 1: ErrRelayLimit, -1: ErrRelayLimit, 0: nil} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.RelayLimit = limit })
			data := random(size)
			r.appendObject("log", 0, data)
			h := r.open(r.store, "log", false)
			if err := r.store.Rename(h.f, "log.1", false); !errors.Is(err, want) {
				t.Fatalf("rename: %v, want %v", err, want)
			}
			r.must(h.Close())
			if want != nil {
				r.wantObject("log", data)
				return
			}
			r.wantObject("log.1", data)
		})
	}
}
