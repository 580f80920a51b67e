package flows

import (
	"fmt"
	"slices"
	"strings"
)

// HeaderWriter takes what a dialect wants to send. Names go out in exactly the
// case they are given, values are encoded, capped and never contain CR, LF or NUL.
type HeaderWriter interface {
	// Set writes one header from zero or more values under the rules of o. No
	// value: o.Missing decides. An error means the request is refused (too long).
	Set(name string, values []string, o HeaderOptions) error
}

// Dialect is a guest `identity.headers.*`: the headers one kind of old system expects.
type Dialect interface {
	// Owned are the names it may ever send, in wire case; "Prefix*" owns a family. All
	// are stripped from every request of every site, whether sent or not.
	Owned() []string
	// PerRequest are those of Owned that differ from request to request; the others are built once per session.
	PerRequest() []string
	// Headers writes them. Facts.User is never nil.
	Headers(f *Facts, w HeaderWriter) error
}

// Leaver is a Dialect of an old system that ended sessions at addresses of the
// application, or left cookies of its own in browsers.
type Leaver interface {
	// Leave is asked once, when the configuration is loaded.
	Leave() Leave
}

// Leave says how an old system ended its sessions.
type Leave struct {
	// Paths end the session when the application is asked for them.
	Paths []LeavePath
	// Cookies are cleared in the browser when the session ends.
	Cookies []string
}

// LeavePath is an address that ends the session.
type LeavePath struct {
	// Path is compared as Caddy's path matcher does: exact, or with * at either end.
	Path string
	// Query must be contained in the raw query, ignoring case; "" matches any.
	Query string
}

// AnonymousDialect is a Dialect of an old system that told the application also
// when nobody was signed in.
type AnonymousDialect interface {
	Dialect
	// Anonymous writes what goes out where the application is not told who is
	// there. It is asked once, when the configuration is loaded.
	Anonymous(w HeaderWriter) error
}

// Encoder is a Dialect with encodings beyond HeaderEncodings.
type Encoder interface{ Encodings() []string }

// OptionSet are some words of a dialect's block. HeaderOptions.Words, Mapping
// and Leaving are such, and a dialect has Options of its own.
type OptionSet interface {
	// Words in the order an error lists them.
	Words() []string
	// Repeats reports whether a word may stand on several lines.
	Repeats(word string) bool
	// SetOption is called with one of Words and the arguments of its line.
	SetOption(word string, args []string) error
}

// Block is what a dialect's parser needs of Caddy's dispenser.
type Block interface {
	Next() bool
	NextArg() bool
	NextBlock(nesting int) bool
	Nesting() int
	Val() string
	RemainingArgs() []string
	Errf(format string, args ...any) error
	WrapErr(err error) error
}

// ParseDialect reads `<name> { <word> <args…> … }`. validate is asked behind
// each line, so that an error names the line that it comes of, and at the end.
func ParseDialect(b Block, validate func() error, sets ...OptionSet) error {
	b.Next()
	name := b.Val()
	if b.NextArg() {
		return b.Errf("%s takes no argument, got %q; its options stand in a block", name, b.Val())
	}
	return ParseOptions(b, name, validate, sets...)
}

// ParseOptions reads the block behind a line that was read up to its end.
func ParseOptions(b Block, name string, validate func() error, sets ...OptionSet) error {
	seen := map[string]bool{}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		word := b.Val()
		i := slices.IndexFunc(sets, func(s OptionSet) bool { return slices.Contains(s.Words(), word) })
		if i < 0 {
			var all []string
			for _, s := range sets {
				all = append(all, s.Words()...)
			}
			return b.Errf("unknown option '%s' of %s; there are: %s", word, name, strings.Join(all, ", "))
		}
		if seen[word] && !sets[i].Repeats(word) {
			return b.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := sets[i].SetOption(word, b.RemainingArgs()); err != nil {
			return b.WrapErr(err)
		}
		if err := validate(); err != nil {
			return b.WrapErr(err)
		}
	}
	return nil
}

// Option is one word of a dialect's own.
type Option struct {
	Word string
	Set  func(args []string) error
}

// Options are a dialect's own words.
type Options []Option

// Words are its words.
func (o Options) Words() (words []string) {
	for _, w := range o {
		words = append(words, w.Word)
	}
	return words
}

// Repeats is never so.
func (Options) Repeats(string) bool { return false }

// SetOption calls the word's function.
func (o Options) SetOption(word string, args []string) error {
	i := slices.IndexFunc(o, func(w Option) bool { return w.Word == word })
	return o[i].Set(args)
}

// TextOption is a word with one argument.
func TextOption(word string, to *string) Option {
	return Option{word, func(args []string) error {
		if len(args) != 1 || args[0] == "" {
			return fmt.Errorf("%s takes exactly one argument, got %d", word, len(args))
		}
		*to = args[0]
		return nil
	}}
}

// SwitchOption is a word with on or off.
func SwitchOption(word string, to func(on bool)) Option {
	return Option{word, func(args []string) error {
		if len(args) != 1 || args[0] == "" {
			return fmt.Errorf("%s takes exactly one argument, got %d", word, len(args))
		}
		on, err := onOff(word, args[0])
		to(on)
		return err
	}}
}

// Words makes an OptionSet of header options; more are encodings beyond HeaderEncodings.
func (o *HeaderOptions) Words(more ...string) OptionSet { return headerWords{o, more} }

type headerWords struct {
	o    *HeaderOptions
	more []string
}

func (headerWords) Words() []string     { return HeaderOptionWords }
func (headerWords) Repeats(string) bool { return false }

func (h headerWords) SetOption(word string, args []string) error {
	_, err := h.o.SetOption(word, args, h.more...)
	return err
}
