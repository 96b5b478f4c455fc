package cos

import (
	"math/rand/v2"
	"testing"
)

func TestCRC64(t *testing.T) {
	for _, tt := range []struct {
		text string
		want uint64
	}{
		{"", 0},
		{"a", 3675645893302102789},
		{"123456789", 11051210869376104954},
		{"hello", 11177612005948864433},
		{"[Object Content]", 16749565679157681890},
		{"[Object Part]", 4510578591875220731},
	} {
		if got := CRC64([]byte(tt.text)); got != tt.want {
			t.Errorf("CRC64(%q) = %d, want %d", tt.text, got, tt.want)
		}
	}
}

func TestCRC64Combine(t *testing.T) {
	if got := CRC64Combine(6748440630437108969, 10278880121275185425, 4); got != 11051210869376104954 {
		t.Errorf("combined = %d", got)
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, 5000)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	for range 200 {
		n := rng.IntN(len(p) + 1)
		a, b := p[:n], p[n:]
		if got, want := CRC64Combine(CRC64(a), CRC64(b), int64(len(b))), CRC64(p); got != want {
			t.Fatalf("seed %d: combined at %d = %d, want %d", seed, n, got, want)
		}
		if got := CRC64Update(CRC64(a), b); got != CRC64(p) {
			t.Fatalf("seed %d: updated at %d = %d", seed, n, got)
		}
	}
}
