package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cosfuse/cos"
	"cosfuse/writeback"
)

func TestObjectOptions(t *testing.T) {
	mount := func(args ...string) []string {
		return append(args, "--region=ap-guangzhou", "--anonymous", "--cache-dir=/c", "b-1", "/m")
	}
	o, _, err := loadOptions(t, mount("--storage-class=*.log=COLD,deep/*=ARCHIVE", "--storage-class=standard_ia", "--acl=private",
		"--sse=cos/kms:key-1", "--content-type=text/x", "--cache-control=max-age=60", "--traffic-limit=1MiB"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := writeback.NewObjects{
		ContentType: "text/x", CacheControl: "max-age=60", ACL: "private", SSE: cos.SSE{Algorithm: "cos/kms", KMSKeyID: "key-1"},
		Classes: []writeback.ClassRule{{Pattern: "*.log", Class: "COLD"}, {Pattern: "deep/*", Class: "ARCHIVE"}, {Class: "STANDARD_IA"}},
	}
	if diff := cmp.Diff(want, o.objects.made); diff != "" {
		t.Errorf("new objects (-want +got):\n%s", diff)
	}
	if c, err := o.clientOptions(t.Context(), nil); err != nil || c.TrafficLimit != 8<<20 {
		t.Errorf("the client's limit is %d bit/s, %v", c.TrafficLimit, err)
	}
	if got := o.objects.classes.String(); got != "*.log=COLD,deep/*=ARCHIVE,STANDARD_IA" {
		t.Errorf("the classes print as %q", got)
	}
	for _, bad := range []string{"--acl=public", "--traffic-limit=1KiB", "--cache-control=tab\there"} {
		if _, _, err := loadOptions(t, mount(bad), nil); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	for _, bad := range []string{"gold", "=COLD", "[=COLD", "COLD,"} {
		if err := new(classRules).Set(bad); err == nil {
			t.Errorf("--storage-class=%s is taken", bad)
		}
	}
	for _, bad := range []string{"aes", "AES256:key", "cos/kms:"} {
		if err := new(encryption).Set(bad); err == nil {
			t.Errorf("--sse=%s is taken", bad)
		}
	}
}
