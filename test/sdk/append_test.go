package sdk

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// TestAppend grows an object. The SDK compares the MD5 the server answers with that of what it sent.
func TestAppend(t *testing.T) {
	c := newClient(t)
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			var want []byte
			pos := 0
			for i := range 4 {
				piece := randomBytes(700*i + 1) // the SDK cannot send none: it would leave Content-Length out
				next, _, err := c.Object.Append(t.Context(), key, pos, bytes.NewReader(piece), nil)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, piece...)
				if pos = next; pos != len(want) {
					t.Fatalf("next position: got %d, want %d", pos, len(want))
				}
			}
			wantBytes(t, key, get(t, c, key), want)
			head, err := c.Object.Head(t.Context(), key, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantHeader(t, head.Header, "x-cos-object-type", "appendable")
			wantHeader(t, head.Header, "x-cos-hash-crc64ecma", crcOf(want))
		})
	}
}

func TestAppendConflicts(t *testing.T) {
	c := newClient(t)
	put(t, c, "normal", []byte("12345"))
	if _, _, err := c.Object.Append(t.Context(), "log", 0, strings.NewReader("12345"), nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, key string
		pos       int
		code      string
	}{
		{"behind the end", "log", 6, "AppendPositionErr"},
		{"before the end", "log", 0, "AppendPositionErr"},
		{"normal object", "normal", 5, "ObjectNotAppendable"},
		{"behind nothing", "none", 5, "AppendPositionErr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := c.Object.Append(t.Context(), tt.key, tt.pos, strings.NewReader("x"), nil)
			wantError(t, err, 409, tt.code)
		})
	}
	wantBytes(t, "log", get(t, c, "log"), []byte("12345"))
	wantBytes(t, "normal", get(t, c, "normal"), []byte("12345"))

	put(t, c, "log", []byte("overwritten")) // is a normal object from now on
	_, _, err := c.Object.Append(t.Context(), "log", 11, strings.NewReader("x"), nil)
	wantError(t, err, 409, "ObjectNotAppendable")
}

// TestAppendKeepsHeaders sets headers with the append that creates.
func TestAppendKeepsHeaders(t *testing.T) {
	c := newClient(t)
	meta := &http.Header{}
	meta.Set("x-cos-meta-mode", "33188")
	opt := &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{ContentType: "text/x-log", XCosMetaXXX: meta}}
	if _, _, err := c.Object.Append(t.Context(), "log", 0, strings.NewReader("1"), opt); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Object.Append(t.Context(), "log", 1, strings.NewReader("2"), nil); err != nil {
		t.Fatal(err)
	}
	head, err := c.Object.Head(t.Context(), "log", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, head.Header, "Content-Type", "text/x-log")
	wantHeader(t, head.Header, "x-cos-meta-mode", "33188")
	wantHeader(t, head.Header, "Content-Length", "2")
}

// TestAppendRace appends at one position from several goroutines: exactly one may win.
func TestAppendRace(t *testing.T) {
	c := newClient(t)
	const writers = 8
	for round := range 5 {
		key := fmt.Sprintf("log%d", round)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				_, _, errs[i] = c.Object.Append(t.Context(), key, 0, bytes.NewReader(randomBytes(1000+i)), nil)
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err != nil:
				wantError(t, err, 409, "AppendPositionErr")
			case winner >= 0:
				t.Errorf("round %d: writers %d and %d both won", round, winner, i)
			default:
				winner = i
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: no writer won", round)
		}
		wantBytes(t, key, get(t, c, key), randomBytes(1000+winner))
	}
}
