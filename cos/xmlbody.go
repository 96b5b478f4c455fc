package cos

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// readXML reads a bounded document into v, whose root must be called root. A document that is empty,
// cut short or too large is ErrBadResponse; an error document is an *inBodyError.
func readXML(a *answer, root string, v any) error {
	b, err := readBounded(a)
	if err != nil {
		return err
	}
	name, err := rootName(b)
	if err != nil {
		return err
	}
	if name == "Error" {
		doc, err := parseErrorDoc(b)
		if err != nil {
			return err
		}
		return &inBodyError{doc}
	}
	if name != root {
		return fmt.Errorf("%w: document %q where %q was expected", ErrBadResponse, name, root)
	}
	if err := xml.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrBadResponse, err)
	}
	return nil
}

func parseErrorDoc(b []byte) (errorDoc, error) {
	var doc errorDoc
	if err := xml.Unmarshal(b, &doc); err != nil {
		return doc, fmt.Errorf("%w: error document: %w", ErrBadResponse, err)
	}
	return doc, nil
}

// readBounded reads the whole answer. One that ends before its announced length is ErrBadResponse.
func readBounded(a *answer) ([]byte, error) {
	if a.ContentLength > maxXMLBody {
		return nil, fmt.Errorf("%w: a document of %d bytes", ErrBadResponse, a.ContentLength)
	}
	var buf bytes.Buffer
	if a.ContentLength > 0 {
		buf.Grow(int(a.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(a.Body, maxXMLBody+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadResponse, err)
	}
	if buf.Len() > maxXMLBody {
		return nil, fmt.Errorf("%w: a document over %d bytes", ErrBadResponse, maxXMLBody)
	}
	return buf.Bytes(), nil
}

func rootName(b []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("%w: no document in %d bytes: %w", ErrBadResponse, len(b), err)
		}
		if s, ok := t.(xml.StartElement); ok {
			return s.Name.Local, nil
		}
	}
}

// discard reads an answer that should be empty to its end, so that the connection can serve again.
func discard(a *answer) error {
	if _, err := io.Copy(io.Discard, io.LimitReader(a.Body, maxErrorBody)); err != nil {
		return fmt.Errorf("%w: %w", ErrBadResponse, err)
	}
	return nil
}

// escapeXML returns s as character data.
func escapeXML(s string) string {
	var b strings.Builder
	// A strings.Builder does not fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
