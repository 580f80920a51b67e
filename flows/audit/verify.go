package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Broken is the first line that is not as the gateway wrote it.
type Broken struct {
	File string `json:"file"`
	Line int    `json:"line"`
	// Why is one of changed, removed, inserted, cut or foreign.
	Why string `json:"why"`
	// Text says it in words.
	Text string `json:"text"`
}

func (b *Broken) Error() string { return fmt.Sprintf("%s:%d: %s: %s", b.File, b.Line, b.Why, b.Text) }

// Whole is what a chain turned out to be.
type Whole struct {
	Chain string `json:"chain"`
	// From and To are the numbers of the first and the last line that were read.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Entries are the lines that are no checkpoints, Signed the checkpoints with a good
	// signature.
	Entries int `json:"entries"`
	Signed  int `json:"signed"`
	// Unsigned are the lines behind the last signature: nobody vouches for them yet.
	Unsigned int `json:"unsigned"`
	// Torn are pieces of lines that crashes left.
	Torn int `json:"torn,omitempty"`
	// Hash is that of the last line.
	Hash string `json:"hash"`
}

// Verifier reads files of one chain, the oldest first.
type Verifier struct {
	// Keys are those that may have signed; none: whoever signed is as good as another.
	Keys []ed25519.PublicKey
	// Heads are what the gateway remembers, by chain.
	Heads map[string]Head
	// Part: the files are a part of the trail, so its end need not be there.
	Part bool

	whole Whole
	last  Chain
	at    Broken // where the reader stands
	begun bool
}

// longest is how long a line may be.
const longest = 64 << 20

// Verify reads one file behind the ones read before it. A *Broken says what is wrong
// with it, any other error that it could not be read.
func (v *Verifier) Verify(name string, r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<16)
	v.at = Broken{File: name}
	f := &fileOfChain{Verifier: v, sum: sha256.New()}
	for {
		line, err := readLine(in)
		if len(line) > 0 {
			v.at.Line++
			if err := f.read(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return f.end()
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
}

// readLine reads one line with its end; io.EOF comes with the last.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longest {
			return nil, fmt.Errorf("a line is longer than %d MiB", longest>>20)
		}
	}
}

func (v *Verifier) broken(line int, why, format string, args ...any) *Broken {
	return &Broken{v.at.File, line, why, fmt.Sprintf(format, args...)}
}

// fileOfChain is one file while it is read.
type fileOfChain struct {
	*Verifier
	sum    hash.Hash // of what stands in front of a chain that begins here
	inside bool      // a line of the chain was read
	odd    []byte    // a line before, that is none of the chain
	oddAt  int
}

func (f *fileOfChain) read(line []byte) error {
	l, err := readLink(bytes.TrimSuffix(line, []byte{'\n'}))
	switch {
	case !f.inside && err != nil && !f.begun: // from before there was a chain, if the chain says so
		f.sum.Write(line)
		return nil
	case err == nil && line[len(line)-1] != '\n':
		return f.broken(f.at.Line, "cut", "the line has no end")
	case f.odd != nil && (err != nil || l.checkpoint == nil || l.checkpoint.Torn != TornHash(f.odd)):
		return f.broken(f.oddAt, "changed", "this is no entry as the gateway writes them")
	case err != nil:
		f.odd, f.oddAt = bytes.Clone(line), f.at.Line
		return nil
	case !l.whole:
		return f.broken(f.at.Line, "changed", "the line does not have the hash that it says")
	}
	if f.odd == nil && l.checkpoint != nil && l.checkpoint.Torn != "" {
		return f.broken(f.at.Line, "removed", "the piece of a line that a crash left before it is gone")
	}
	if f.odd != nil {
		f.odd, f.whole.Torn = nil, f.whole.Torn+1
	}
	if err := f.follows(l); err != nil {
		return err
	}
	return f.take(l)
}

// TornHash is how a checkpoint names a piece of a line.
func TornHash(line []byte) string {
	sum := sha256.Sum256(bytes.TrimSuffix(line, []byte{'\n'}))
	return encode(sum[:])
}

// follows reports how a line does not follow the one before it.
func (f *fileOfChain) follows(l link) error {
	line, first := f.at.Line, !f.inside
	f.inside = true
	switch {
	case !f.begun:
		return f.begins(l)
	case first && (l.checkpoint == nil || !l.checkpoint.Begins):
		return f.broken(line, "removed", "the beginning of the file is gone: each begins with a checkpoint")
	case l.seq > f.last.Seq+1:
		return f.broken(line, "removed", "entry %d stands behind entry %d", l.seq, f.last.Seq)
	case l.seq <= f.last.Seq:
		return f.broken(line, "inserted", "entry %d stands behind entry %d", l.seq, f.last.Seq)
	case l.prev != f.last.Head && first:
		return f.broken(line, "changed", "the file before it ends otherwise than it did")
	case l.prev != f.last.Head:
		return f.broken(line-1, "changed", "the next line holds another hash of it")
	}
	return nil
}

// begins judges the first line of all.
func (f *fileOfChain) begins(l link) error {
	f.begun = true
	c := l.checkpoint
	if c == nil || !c.Begins || l.seq > 1 && f.at.Line > 1 {
		return f.broken(1, "removed", "the beginning is gone: each file begins with a checkpoint")
	}
	if l.seq == 1 && l.prev != encode(f.sum.Sum(nil)) {
		return f.broken(1, "changed", "what stands before the chain is not what it began behind")
	}
	f.last.ID, f.whole.Chain, f.whole.From = c.Chain, c.Chain, l.seq
	return nil
}

// take goes on behind a good line.
func (f *fileOfChain) take(l link) error {
	f.last.Seq, f.last.Head = l.seq, l.hash
	f.whole.To, f.whole.Hash = l.seq, l.hash
	if h, ok := f.Heads[f.last.ID]; ok && h.Seq == l.seq && h.Hash != l.hash {
		return f.broken(f.at.Line, "changed", "it is not the entry %d that the gateway signed", l.seq)
	}
	f.whole.Unsigned++
	if l.checkpoint == nil {
		if l.sig != nil {
			return f.broken(f.at.Line, "changed", "an entry has a signature")
		}
		f.whole.Entries++
		return nil
	}
	return f.signature(l)
}

func (f *fileOfChain) signature(l link) error {
	line, c := f.at.Line, l.checkpoint
	if c.Chain != f.last.ID {
		return f.broken(line, "foreign", "it belongs to the chain %s", Clean(c.Chain))
	}
	if c.Key == "" && l.sig == nil {
		return nil
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(c.Key)
	switch {
	case err != nil || len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, []byte(signedAs+l.hash), l.sig):
		return f.broken(line, "changed", "the signature is not good")
	case f.Keys != nil && !slices.ContainsFunc(f.Keys, func(k ed25519.PublicKey) bool { return k.Equal(ed25519.PublicKey(key)) }):
		return f.broken(line, "foreign", "it is signed by a key that is not the cluster's: %s", c.Key)
	}
	f.whole.Signed++
	f.whole.Unsigned = 0
	return nil
}

func (f *fileOfChain) end() error {
	switch {
	case f.odd != nil && f.odd[len(f.odd)-1] != '\n':
		return f.broken(f.oddAt, "cut", "the last line is only a piece")
	case f.odd != nil:
		return f.broken(f.oddAt, "changed", "this is no entry as the gateway writes them")
	case !f.inside && f.at.Line > 0:
		return f.broken(1, "changed", "no line is an entry as the gateway writes them")
	}
	return nil
}

// End says what was read, once the last file was, or what is missing behind it.
func (v *Verifier) End() (Whole, error) {
	h, ok := v.Heads[v.last.ID]
	switch {
	case !v.begun:
		return v.whole, v.broken(1, "removed", "there is nothing in it")
	case ok && !v.Part && v.last.Seq < h.Seq:
		return v.whole, v.broken(v.at.Line, "cut", "it ends with entry %d, and the gateway signed entry %d", v.last.Seq, h.Seq)
	}
	return v.whole, nil
}
