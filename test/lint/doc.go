// Package lint holds this repository to its own rules, as ordinary Go tests.
//
// A rule is a function from one parsed source file to complaints; the tree is loaded once and every
// rule sees every file, nested modules included. What a rule is for stands in its comment. Each has
// a table of sources that must and must not offend it, so that a rule which went blind fails too.
//
// The rules need the standard library only. The one external command is go vet, on the main module.
package lint
