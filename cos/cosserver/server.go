package cosserver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"cosfuse/cos/cosserver/internal/store"
)

// Server serves the buckets of a directory.
type Server struct {
	opt    Options
	log    *slog.Logger
	clock  func() time.Time
	store  *store.Store
	stats  *recorder
	faults *faults

	defaultBucket string

	mu     sync.Mutex // guards the fields below; a leaf
	shape  Shape
	active int           // requests being served
	closed bool          // no more are let in
	idle   chan struct{} // closed when closed and active is 0
	stop   chan struct{} // closed with closed: whatever waits stops waiting
}

var bucketName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?-[0-9]+$`)

// Open opens or creates the store in o.Dir and makes its buckets. It fails if another process serves
// the directory.
func Open(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("no directory to keep objects in")
	}
	if len(o.Buckets) == 0 {
		o.Buckets = []Bucket{{Name: DefaultBucket}}
	}
	o.Region = cmp.Or(o.Region, DefaultRegion)
	o.LogSize = cmp.Or(o.LogSize, 16384)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	st, err := store.Open(o.Dir, store.Options{
		Logger: o.Logger, Clock: o.Clock, NoSync: o.NoSync, Lag: o.Switches.ListingLag,
		KeepCompleted: o.Switches.RepeatComplete,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		opt:           o,
		log:           o.Logger,
		clock:         o.Clock,
		store:         st,
		stats:         newRecorder(o.LogSize),
		faults:        newFaults(),
		defaultBucket: o.Buckets[0].Name,
		idle:          make(chan struct{}),
		stop:          make(chan struct{}),
	}
	for _, b := range o.Buckets {
		if err := s.createBucket(b); err != nil && !errors.Is(err, store.ErrBucketExists) {
			return nil, errors.Join(fmt.Errorf("create bucket %q: %w", b.Name, err), st.Close())
		}
	}
	return s, nil
}

func (s *Server) createBucket(b Bucket) error {
	if !bucketName.MatchString(b.Name) {
		return failf(http.StatusBadRequest, "InvalidBucketName", "%q is not a name like photos-1250000000.", b.Name)
	}
	return s.store.CreateBucket(store.Bucket{
		Name: b.Name, Versioning: b.Versioning, MAZ: b.MAZ, OFS: b.OFS, ACL: store.ACL{Canned: b.ACL},
	})
}

// Bucket is the name of the bucket that requests whose host names none are for.
func (s *Server) Bucket() string { return s.defaultBucket }

// Region is the region the server says it is in.
func (s *Server) Region() string { return s.opt.Region }

// Host is the virtual host of a bucket: BUCKET.cos.REGION.myqcloud.com.
func (s *Server) Host(bucket string) string {
	return bucket + ".cos." + s.opt.Region + ".myqcloud.com"
}

// Handler serves the COS API. It routes by the host and the escaped path, so it must not sit behind
// anything that cleans paths.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close lets no more requests in, ends those that a fault or a bandwidth holds up, waits for the
// rest and closes the store. Listeners are closed by their owner, before.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.idle
		return nil
	}
	s.closed = true
	close(s.stop)
	if s.active == 0 {
		close(s.idle)
	}
	s.mu.Unlock()
	<-s.idle
	s.faults.set(nil)
	return s.store.Close()
}

// enter lets a request in unless the server is closed; leave ends it.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.active++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.closed && s.active == 0 {
		close(s.idle)
	}
}

// FreezeListings makes listings show the present state until ThawListings, whatever changes.
func (s *Server) FreezeListings() { s.store.FreezeListings() }

// ThawListings ends what FreezeListings began.
func (s *Server) ThawListings() { s.store.ThawListings() }

// SetListingLag makes listings show the state of d ago from now on.
func (s *Server) SetListingLag(d time.Duration) { s.store.SetLag(d) }
