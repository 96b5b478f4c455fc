package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestUmountWaits checks umount of what is unmounted already but not committed yet.
func TestUmountWaits(t *testing.T) {
	tests := []struct {
		name string
		end  func(*cacheLock)
		code int
		want []string
	}{
		{"committed", func(l *cacheLock) { l.tell(stateEnded, nil) }, exitOK, []string{"waiting for process 4711"}},
		{"not committed", func(l *cacheLock) { l.tell(stateFailed, errors.New("a.txt: access denied\nb.txt: too large")) },
			exitUncommitted, []string{"a.txt: access denied; b.txt: too large", "/log/file"}},
		{"died", func(*cacheLock) {}, exitUncommitted, []string{"4711", "died", "/log/file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			said := newSignalWriter("waiting for process")
			tc.stderr = said
			mnt := tc.mkdir(t, "mnt")
			lock, err := lockCache(tc.mkdir(t, "cache"), record{PID: 4711, Mountpoint: mnt, Started: time.Now(), LogFile: "/log/file"})
			if err != nil {
				t.Fatal(err)
			}
			lock.tell(stateDraining, nil)
			if err := lock.publish(tc.runtimeDir(0)); err != nil {
				t.Fatal(err)
			}
			done := make(chan int)
			go func() { done <- tc.run(t.Context(), []string{"umount", mnt}) }()
			select {
			case <-said.seen:
			case code := <-done:
				t.Fatalf("did not wait, exit code %d: %s", code, said.text())
			}
			tt.end(lock)
			lock.close()
			if code := <-done; code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, w := range tt.want {
				if !strings.Contains(said.text(), w) {
					t.Errorf("message lacks %q: %s", w, said.text())
				}
			}
		})
	}
}

func TestUmountInterrupted(t *testing.T) {
	tc := newTestCLI(t)
	said := newSignalWriter("waiting for process")
	tc.stderr = said
	mnt := tc.mkdir(t, "mnt")
	lock, err := lockCache(tc.mkdir(t, "cache"), record{PID: 4711, Mountpoint: mnt, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.close()
	if err := lock.publish(tc.runtimeDir(0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() { done <- tc.run(ctx, []string{"umount", mnt}) }()
	<-said.seen
	cancel()
	if code := <-done; code != exitOther || !strings.Contains(said.text(), "goes on committing") {
		t.Errorf("exit code %d, said %s", code, said.text())
	}
}

// signalWriter keeps what is written and closes seen when a phrase has come by.
type signalWriter struct {
	phrase string
	seen   chan struct{}

	mu   sync.Mutex
	buf  bytes.Buffer
	once sync.Once
}

func newSignalWriter(phrase string) *signalWriter {
	return &signalWriter{phrase: phrase, seen: make(chan struct{})}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if strings.Contains(w.buf.String(), w.phrase) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func (w *signalWriter) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
