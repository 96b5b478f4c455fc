package cache

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// polynomial is a checksum that combines: the bytes are coefficients of a power series in base.
const base = 0x100000001b3

func polynomial() *Checksum {
	return &Checksum{
		Of: func(p []byte) uint64 {
			sum := uint64(0)
			for _, c := range p {
				sum = sum*base + uint64(c)
			}
			return sum
		},
		Combine: func(first, second uint64, size int64) uint64 {
			for power := uint64(base); size > 0; size >>= 1 {
				if size&1 != 0 {
					first *= power
				}
				power *= power
			}
			return first + second
		},
	}
}

// readAll reads the object in pieces and returns the first error.
func readAll(r *Reader, total, piece int64) error {
	p := make([]byte, piece)
	for off := int64(0); off < total; off += piece {
		if _, err := r.ReadAt(context.Background(), p, off); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

func TestWholeReadIsVerified(t *testing.T) {
	sum := polynomial()
	const size = 5*mib + 99
	for _, tc := range []struct {
		name  string
		wrong bool // the bytes differ from the checksum
		known bool // the service told one
		piece int64
		want  error
	}{
		{"right", false, true, mib, nil},
		{"right in small reads", false, true, 4 * kib, nil},
		{"wrong", true, true, mib, ErrChecksum},
		{"wrong in small reads", true, true, 4 * kib, ErrChecksum},
		{"wrong in one read", true, true, 8 * mib, ErrChecksum},
		{"unknown", true, false, mib, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource(size)
				want := sum.Of(s.data)
				b := newTestBlocks(t, BlocksOptions{Checksum: sum, Disk: &DiskOptions{Dir: t.TempDir()}})
				r := b.OpenVerified(s.id(), s.fetch, func() (uint64, bool) { return want, tc.known })
				if tc.wrong {
					s.data[3*mib] ^= 1
				}
				if err := readAll(r, size, tc.piece); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				flushDisk(b)
				if u := b.DiskUsage(); tc.want != nil && u.Blocks != 0 {
					t.Errorf("%d blocks of wrong content are on disk", u.Blocks)
				}
				if tc.want != nil {
					s.data[3*mib] ^= 1
					if err := readAll(r, size, tc.piece); err != nil {
						t.Errorf("the next pass, over the right content: %v", err)
					}
					if _, read := s.counts(); read != 2*size {
						t.Errorf("%d bytes fetched, want all of them twice", read)
					}
				}
				r.Close()
				b.Close()
			})
		})
	}
}

// TestVerificationSeesEverySource has blocks come from memory, disk and fetches, out of order.
func TestVerificationSeesEverySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 * mib
		sum := polynomial()
		dir := t.TempDir()
		s := newSource(size)
		fillDisk(t, dir, s)
		b := newTestBlocks(t, BlocksOptions{Checksum: sum, Disk: &DiskOptions{Dir: dir}})
		plain := b.Open(s.id(), s.fetch)
		mustRead(t, plain, s, mib, mib)
		asked := 0
		r := b.OpenVerified(s.id(), s.fetch, func() (uint64, bool) { asked++; return 1, true })
		s.latency = time.Millisecond
		for off := int64(0); off < size-mib; off += mib {
			var wg sync.WaitGroup
			for _, piece := range []int64{768, 256, 0, 512} {
				wg.Go(func() { mustRead(t, r, s, off+piece*kib, 256*kib) })
			}
			wg.Wait()
		}
		if asked != 0 {
			t.Error("the checksum was asked for before all was read")
		}
		if err := readAll(r, size, size); !errors.Is(err, ErrChecksum) || asked != 1 {
			t.Errorf("got %v after asking %d times, want the difference", err, asked)
		}
		plain.Close()
		r.Close()
		b.Close()
	})
}

func TestSkippingReaderIsNotVerified(t *testing.T) {
	s := newSource(20 * mib)
	b := newTestBlocks(t, BlocksOptions{Checksum: polynomial()})
	r := b.OpenVerified(s.id(), s.fetch, func() (uint64, bool) {
		t.Error("the checksum was asked for")
		return 0, true
	})
	defer r.Close()
	for off := 10 * mib; off < 20*mib; off += mib {
		mustRead(t, r, s, off, mib)
	}
	mustRead(t, r, s, 0, 10*mib)
	plain := newTestBlocks(t, BlocksOptions{}).OpenVerified(s.id(), s.fetch, nil)
	defer plain.Close()
	mustRead(t, plain, s, 0, 20*mib)
}
