package fs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(context.WithValue(t.Context(), key{}, "caller"))
		p, done := patient(ctx)
		defer done()
		if p.Value(key{}) != "caller" {
			t.Error("the caller is forgotten")
		}
		start := time.Now()
		interrupt()
		synctest.Wait()
		if p.Err() != nil {
			t.Error("ended with the first signal")
		}
		<-p.Done()
		if got := time.Since(start); got != interruptGrace {
			t.Errorf("ended after %v, want %v", got, interruptGrace)
		}
	})
}
