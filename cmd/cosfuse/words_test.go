package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"cosfuse/writeback"
)

// TestWriteFlags checks what the flags about changes make of the Store's options.
func TestWriteFlags(t *testing.T) {
	defaults := writeback.Options{MultipartThreshold: 20 << 20, PartThreads: 8, RelayLimit: 1 << 30}
	tests := []struct {
		args []string
		edit func(*writeback.Options)
	}{
		{nil, func(*writeback.Options) {}},
		{[]string{"--append=auto", "--excl=close", "--copy-acl=yes"}, func(*writeback.Options) {}},
		{[]string{"--append=always"}, func(o *writeback.Options) { o.Appends = writeback.AppendAlways }},
		{[]string{"--append=Never"}, func(o *writeback.Options) { o.Appends = writeback.AppendNever }},
		{[]string{"--excl=open"}, func(o *writeback.Options) { o.ClaimAtOpen = true }},
		{[]string{"--copy-acl=no"}, func(o *writeback.Options) { o.IgnoreACL = true }},
		{[]string{"--relay-limit=2MiB"}, func(o *writeback.Options) { o.RelayLimit = 2 << 20 }},
		{[]string{"--relay-limit=0"}, func(o *writeback.Options) { o.RelayLimit = -1 }},
		{[]string{"--commit=background", "--staging=1GiB", "--threads=3", "--multipart-threshold=1MiB"}, func(o *writeback.Options) {
			o.Background, o.StagingBytes, o.PartThreads, o.MultipartThreshold = true, 1<<30, 3, 1<<20
		}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			args := append(tt.args, "--region=ap-guangzhou", "--anonymous", "photos-1250000000", "/mnt")
			o, _, err := loadOptions(t, args, map[string]string{"HOME": t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			want := defaults
			tt.edit(&want)
			if diff := cmp.Diff(want, o.storeOptions(), cmpopts.IgnoreUnexported(writeback.Options{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWordsRefuse names the words that a flag takes when it is given another.
func TestWordsRefuse(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"--append=sometimes", "want auto, always or never"},
		{"--excl=later", "want close or open"},
		{"--copy-acl=", "want yes or no"},
	} {
		f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
		(&mountOptions{}).addFlags(f)
		if err := f.Parse([]string{tt.arg}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.arg, err, tt.want)
		}
	}
}
