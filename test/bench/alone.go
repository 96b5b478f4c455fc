package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
)

const (
	// connections are what cosfuse reads with at most, and fetchBytes what it asks for at once.
	connections = 24
	fetchBytes  = 4 * mib
	// heads are asked for at the same time when attributes are wanted, as cosfuse does.
	heads = 64
	// threads send parts of one file, as cosfuse does by default.
	threads = 8
)

// aloneConfig names a step for a process that carries it out with the client alone.
type aloneConfig struct {
	Address  address
	Scale    int
	Workload string
	Step     int
	Area     string
}

// report is what that process says.
type report struct{ Took time.Duration }

func (c *aloneConfig) work(ctx context.Context, stdout io.Writer) (err error) {
	s := newSizes(c.Scale)
	for _, w := range workloads(s) {
		if w.name != c.Workload {
			continue
		}
		cl, err := c.Address.newClient()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cl.Close()) }()
		began := time.Now()
		if err := w.steps[c.Step].alone(ctx, &client{cl, s, c.Area}); err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(report{time.Since(began)})
	}
	return fmt.Errorf("no workload is called %q", c.Workload)
}

// client does what a workload does without a mount.
type client struct {
	*cos.Client
	sizes
	area string
}

// parallel calls do for 0 to n-1, width at the same time.
func parallel(ctx context.Context, n, width int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(width)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

func (c *client) keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	o := cos.ListOptions{Prefix: prefix}
	for {
		page, err := c.List(ctx, &o)
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			keys = append(keys, page.Entries[i].Key)
		}
		if !page.Truncated {
			return keys, nil
		}
		o.Marker = page.NextMarker
	}
}

func list(ctx context.Context, c *client) error {
	_, err := c.keys(ctx, "list/")
	return err
}

func listLong(ctx context.Context, c *client) error {
	keys, err := c.keys(ctx, "list/")
	if err != nil {
		return err
	}
	return parallel(ctx, len(keys), heads, func(ctx context.Context, i int) error {
		_, err := c.Head(ctx, keys[i], nil)
		return err
	})
}

// fetch reads a range and drops it.
func (c *client) fetch(ctx context.Context, key string, off, size int64) error {
	r, err := c.Get(ctx, key, &cos.GetOptions{Off: off, Size: size})
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, readSize))
	return errors.Join(err, r.Body.Close())
}

func getTree(ctx context.Context, c *client) error {
	keys, err := c.keys(ctx, "tree/")
	if err != nil {
		return err
	}
	return parallel(ctx, len(keys), connections, func(ctx context.Context, i int) error {
		if keys[i][len(keys[i])-1] == '/' {
			return nil
		}
		return c.fetch(ctx, keys[i], 0, 0)
	})
}

func getLarge(ctx context.Context, c *client) error {
	return parallel(ctx, int((c.large+fetchBytes-1)/fetchBytes), connections, func(ctx context.Context, i int) error {
		off := int64(i) * fetchBytes
		return c.fetch(ctx, largeKey, off, min(fetchBytes, c.large-off))
	})
}

func getRandom(n int) func(context.Context, *client) error {
	return func(ctx context.Context, c *client) error {
		return c.spread(ctx, n, func(ctx context.Context, offsets []int64) error {
			for _, off := range offsets {
				if err := c.fetch(ctx, largeKey, off, randomRead); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// putLarge uploads from a file, as a program that has one would.
func putLarge(ctx context.Context, c *client) error {
	f, err := os.CreateTemp("", "cosfuse-bench-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, io.NewSectionReader(noise{4, c.large}, 0, c.large), make([]byte, writeSize)); err != nil {
		return err
	}
	_, err = c.Upload(ctx, c.area+"large", f, c.large, &cos.UploadOptions{NoResume: true, Threads: threads})
	return err
}

// putSmall sends one file after the other, as a program that writes them on a mount does.
func putSmall(ctx context.Context, c *client) error {
	for i := range c.small {
		if _, err := c.Put(ctx, c.area+smallName(i), noise{uint64(i), c.smallFile}, c.smallFile, nil); err != nil {
			return err
		}
	}
	return nil
}
