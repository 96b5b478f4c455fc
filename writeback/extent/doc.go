// Package extent maps byte ranges of a file to where their bytes are.
//
// A Map holds non-overlapping half-open ranges [Off, End) in order; what lies between them is a hole
// and reads as zeros. A range is staged locally, part of the base object, part of some other
// object version that is to be copied by the service, or already in an unfinished upload. The package does no I/O.
//
// A Map is not safe for concurrent use.
package extent
