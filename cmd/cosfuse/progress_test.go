package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestLines checks how often something is said where nobody watches.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, "committing")
		began := time.Now()
		tick := time.NewTicker(progressPoll)
		defer tick.Stop()
		for time.Since(began) < progressSilence+2*progressEvery {
			<-tick.C
			p.show(totals{Files: 2, BytesLeft: 1536})
			if out.Len() > 0 && time.Since(began) < progressSilence {
				t.Errorf("spoke after %v", time.Since(began))
			}
		}
		p.end()
		if want := strings.Repeat("cosfuse: committing: 2 files, 1.5 KiB\n", 3); out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	})
}

// terminalPair is a terminal and what is shown on it.
func terminalPair(t *testing.T) (tty, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return tty, screen
}

// TestBar checks that a terminal gets a bar that says how much is left.
func TestBar(t *testing.T) {
	tty, screen := terminalPair(t)
	seen := newSignalWriter("2 files, 3 MiB left")
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(seen, screen) // ends with EIO when the terminal is closed
	}()
	p := newProgress(tty, "committing")
	p.show(totals{Files: 3, BytesLeft: 4 << 20})
	p.show(totals{Files: 2, BytesLeft: 3 << 20})
	select {
	case <-seen.seen:
	case <-time.After(10 * time.Second):
		t.Errorf("the terminal shows %q", seen.text())
	}
	p.end()
	tty.Close()
	<-read
	if !strings.Contains(seen.text(), "committing") || !strings.Contains(seen.text(), "25 %") {
		t.Errorf("the terminal showed %q", seen.text())
	}
}
