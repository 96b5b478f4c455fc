package fs

// announce makes the kernel drop what it has of the end of an open file that others have appended to, before
// an answer tells it the new size: else it would take the zeros that fill up its last page for the bytes that
// are there by now. Requests that ask for a size hold no page of the file, so that waiting here is safe, as
// it is not everywhere: see Changes.
func (m *Mount) announce(n *node) {
	f := n.openFile()
	if f == nil {
		return
	}
	st := f.Stat()
	n.mu.Lock()
	had := n.pages
	n.mu.Unlock()
	if st.DirtyData || had.Absent() || had.Same(st.Base) || had.Size >= st.Base.Size {
		return
	}
	m.invalidateFrom(n, had.Size)
	n.mu.Lock() // afterwards, so that nobody else answers before it is done
	defer n.mu.Unlock()
	if n.pages == had {
		n.pages = st.Base
	}
}
