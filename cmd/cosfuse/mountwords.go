package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"cosfuse/fs"
)

// mountWord is one option of an "-o" list, as mount(8), /etc/fstab and COSFS spell them.
type mountWord struct {
	name  string
	value need
	// apply does what the word says. nil: it means nothing here, and does says why.
	apply func(w *wordSettings, value string) error
	// does is for users: what the word does here, or why it does nothing.
	does  string
	cosfs bool // COSFS has it
}

// need says whether a word has a value.
type need int

const (
	noValue need = iota
	needsValue
	mayValue
)

// wordSettings is what a list of words comes to.
type wordSettings struct {
	o     *mountOptions
	set   map[string]string // flags; of words that contradict each other, the last counts
	notes []note
}

// note is a word that changes nothing, for the log.
type note struct{ word, why string }

// applyWords carries out the -o lists. What a flag says wins over them.
func (o *mountOptions) applyWords(f *pflag.FlagSet) error {
	w := &wordSettings{o: o, set: map[string]string{}}
	var given []string
	for _, list := range o.lists {
		given = append(given, splitWords(list)...)
	}
	o.sloppy = slices.Contains(given, "sloppy")
	for _, text := range given {
		if err := w.apply(f, text); err != nil {
			return err
		}
	}
	if slices.Contains(given, "cosfs") {
		w.asCOSFS()
	}
	for _, name := range slices.Sorted(maps.Keys(w.set)) {
		if f.Changed(name) {
			continue
		}
		if err := f.Set(name, w.set[name]); err != nil {
			return usageError(fmt.Sprintf("%q lists the options", "cosfuse mount --help"), "-o: %w", err)
		}
	}
	o.notes = w.notes
	return nil
}

// splitWords cuts a list at its commas, but for those behind a backslash.
func splitWords(list string) []string {
	var words []string
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			words = append(words, b.String())
		}
		b.Reset()
	}
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && i+1 < len(list) && (list[i+1] == ',' || list[i+1] == '\\'):
			i++
			b.WriteByte(list[i])
		case list[i] == ',':
			end()
		default:
			b.WriteByte(list[i])
		}
	}
	end()
	return words
}

// escapeWord is what splitWords reads as one word.
func escapeWord(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s)
}

// apply carries out one word: of the table, a flag of the kernel's, or an option of ours by its long name.
func (w *wordSettings) apply(f *pflag.FlagSet, text string) error {
	name, value, has := strings.Cut(text, "=")
	if secretWord(name) && !knownWord(name) {
		return secretOnCommandLine("-o " + name)
	}
	if known, ok := findWord(name); ok {
		return w.applyKnown(known, value, has)
	}
	switch flag := f.Lookup(strings.ReplaceAll(name, "_", "-")); {
	case fs.IsMountFlag(name) && !has:
		w.o.mountFlags = append(w.o.mountFlags, name)
		return nil
	case flag != nil && flag.Name != "options" && flag.Name != "help":
		if !has {
			if value = flag.NoOptDefVal; value == "" {
				return usageError("write it as "+name+"=VALUE", "-o %s needs a value", name)
			}
		}
		w.set[flag.Name] = value
		return nil
	case w.o.sloppy:
		w.notes = append(w.notes, note{name, "nothing here knows it"})
		return nil
	}
	mend := fmt.Sprintf("%q lists the options, which -o takes without the dashes", "cosfuse mount --help")
	if s, ok := nearest(name, wordNames(f)); ok {
		mend = fmt.Sprintf("did you mean -o %s?", s)
	}
	return usageError(mend, "unknown option -o %s", name)
}

func (w *wordSettings) applyKnown(known *mountWord, value string, has bool) error {
	switch {
	case known.value == needsValue && (!has || value == ""):
		return usageError("write it as "+known.name+"=VALUE", "-o %s needs a value", known.name)
	case known.value == noValue && has:
		return usageError("write it as "+known.name, "-o %s takes no value", known.name)
	case known.apply == nil:
		w.notes = append(w.notes, note{known.name, known.does})
		return nil
	}
	if err := known.apply(w, value); err != nil {
		return usageError("see \"cosfuse mount --help\"", "-o %s=%s: %w", known.name, value, err)
	}
	return nil
}

// asCOSFS completes the settings as COSFS would, where it is more open than we are.
func (w *wordSettings) asCOSFS() {
	fill := func(name, value string) {
		if _, ok := w.set[name]; !ok {
			w.set[name] = value
		}
	}
	fill("file-mode", "0777")
	fill("dir-mode", "0777")
	root := "0700"
	if w.set["allow-other"] == "true" {
		root = "0777"
	}
	fill("root-mode", root)
}

// findWord looks name up in the table. Words that begin with "x-" or "X-" are for other programs.
func findWord(name string) (*mountWord, bool) {
	if strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") {
		name = "x-*"
	}
	i := slices.IndexFunc(wordTable, func(w mountWord) bool { return w.name == name })
	if i < 0 {
		return nil, false
	}
	return &wordTable[i], true
}

func knownWord(name string) bool {
	_, ok := findWord(name)
	return ok
}

// wordNames are all that -o takes.
func wordNames(f *pflag.FlagSet) []string {
	var names []string
	for _, w := range wordTable {
		names = append(names, w.name)
	}
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return slices.DeleteFunc(names, func(n string) bool { return n == "x-*" || n == "options" || n == "help" })
}

// logNotes tells once of each word that changes nothing.
func (o *mountOptions) logNotes(log *slog.Logger) {
	told := map[string]bool{}
	for _, n := range o.notes {
		if !told[n.word] {
			log.Info("option has no effect here", "option", n.word, "why", n.why)
			told[n.word] = true
		}
	}
}
