package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// book is the open file and where its chain stands.
type book struct {
	path    string
	file    *os.File
	regular bool
	size    int64
	since   time.Time // when the file was begun
	chain   audit.Chain
	set     *settings // the last one that wrote
	// unsigned are lines since the last checkpoint; timed: one will come.
	unsigned int
	timed    bool
	// signed is the last signed line, until its notary was told of it.
	signed *audit.Head
}

// entry hangs one line on the chain and writes it. Without text it is time for a
// checkpoint.
func (b *book) entry(text []byte) error {
	if text == nil {
		if b.unsigned > 0 {
			b.sign(b.set, audit.Checkpoint{})
		}
		return nil
	}
	next := b.chain
	if err := b.put(next.Add(text)); err != nil {
		return err
	}
	b.chain = next
	b.unsigned++
	return nil
}

// sign writes a checkpoint. That it could not is told, and keeps nobody out: the
// entries are there, and the next one signs them, too.
func (b *book) sign(set *settings, c audit.Checkpoint) {
	if err := b.checkpoint(set, c); err != nil {
		set.warn("the trail's file could not be signed now", err)
	}
}

func (b *book) checkpoint(set *settings, c audit.Checkpoint) error {
	ctx, cancel := context.WithTimeout(context.Background(), signLimit)
	defer cancel()
	c.Time = set.now().UTC()
	next := b.chain
	text, signed, signErr := next.Sign(ctx, set.notary, c)
	if text == nil || !signed && !c.Begins && c.Torn == "" { // unsigned it would say nothing
		if set.notary == nil {
			b.unsigned = 0
		}
		return signErr
	}
	if err := b.put(text); err != nil {
		return err
	}
	b.chain = next
	if signed {
		b.unsigned, b.signed = 0, &audit.Head{Chain: next.ID, Seq: next.Seq, Hash: next.Head, Time: c.Time}
	}
	return signErr
}

// keep tells the notary of the last signed line, once that is on disk.
func (b *book) keep(set *settings) {
	if b.signed != nil && set.notary != nil {
		set.notary.Keep(*b.signed)
	}
	b.signed = nil
}

// put writes one line by one write, so that appenders of other processes cannot tear
// it. Of a line that found no room nothing is left.
func (b *book) put(text []byte) error {
	n, err := b.file.Write(text)
	if err != nil && n > 0 && b.regular && b.file.Truncate(b.size) == nil {
		return err
	}
	b.size += int64(n)
	if err != nil && n > 0 { // half a line stays: the next is begun anew, behind it
		b.shut()
	}
	return err
}

// ready opens the file, and again if the path now names another or none (somebody
// moved it), and begins another when it is time.
func (b *book) ready(set *settings) error {
	b.set = set
	if b.file != nil {
		now, err := os.Stat(b.path)
		open, openErr := b.file.Stat()
		switch {
		case err != nil || openErr != nil || !os.SameFile(now, open):
			b.shut()
		case b.regular && open.Size() < b.size: // emptied in its place
			b.shut()
		case set.roll.due(b, set.now()):
			return b.rollOver(set)
		default:
			return nil
		}
	}
	return b.open(set)
}

func (b *book) open(set *settings) error {
	dir := filepath.Dir(b.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(b.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	b.file = f
	if err := b.begin(set); err != nil {
		b.shut()
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // a new file's name is to be as durable as its lines; not every file system can
		_ = d.Close()
	}
	return nil
}

// begin finds where the chain goes on: behind what the file holds, or in its first line.
func (b *book) begin(set *settings) error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	b.regular, b.size, b.since = info.Mode().IsRegular(), 0, set.now()
	if !b.regular || info.Size() == 0 {
		if b.chain.ID == "" {
			b.chain = audit.NewChain(sha256.Sum256(nil))
		}
		return b.first(set)
	}
	b.size = info.Size()
	found, err := b.resume()
	if err != nil {
		return err
	}
	if len(found.torn) > 0 {
		if err := b.put([]byte{'\n'}); err != nil {
			return err
		}
	}
	if found.chain.ID == "" { // it is from before there was a chain
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(b.file, 0, b.size)); err != nil {
			return err
		}
		b.chain = audit.NewChain([sha256.Size]byte(sum.Sum(nil)))
		return b.first(set)
	}
	b.chain, b.since = found.chain, found.since
	if b.since.IsZero() {
		b.since = set.now()
	}
	if len(found.torn) > 0 {
		return b.unlessUnsigned(set, audit.Checkpoint{Torn: audit.TornHash(found.torn)})
	}
	return nil
}

func (b *book) first(set *settings) error {
	return b.unlessUnsigned(set, audit.Checkpoint{Begins: true})
}

// unlessUnsigned writes a checkpoint that must be there; signed it need not be.
func (b *book) unlessUnsigned(set *settings, c audit.Checkpoint) error {
	before := b.chain.Seq
	err := b.checkpoint(set, c)
	if b.chain.Seq == before {
		return err
	}
	if err != nil {
		set.warn("the trail's file could not be signed now", err)
	}
	return nil
}

// found is how a file ends.
type found struct {
	chain audit.Chain
	since time.Time
	torn  []byte
}

// resume reads as much of the file's end as it takes to find a checkpoint.
func (b *book) resume() (found, error) {
	for n := int64(64 << 10); ; n *= 4 {
		n = min(n, b.size)
		tail := make([]byte, n)
		if _, err := b.file.ReadAt(tail, b.size-n); err != nil && !errors.Is(err, io.EOF) {
			return found{}, err
		}
		if f, ok := ending(tail, n == b.size); ok || n == b.size {
			f.since = b.firstTime()
			return f, nil
		}
	}
}

// ending looks for the chain in the end of a file; false: there is no checkpoint in it.
func ending(tail []byte, whole bool) (found, bool) {
	lines := bytes.SplitAfter(tail, []byte{'\n'})
	f := found{torn: lines[len(lines)-1]}
	lines = lines[:len(lines)-1]
	if !whole && len(lines) > 0 {
		lines = lines[1:] // perhaps only a piece
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if c, ok := audit.CheckpointOf(lines[i]); ok {
			f.chain, _ = audit.Resume(lines[len(lines)-1], c.Chain)
			return f, true
		}
	}
	return f, false
}

// firstTime is when the file was begun, by its first line.
func (b *book) firstTime() time.Time {
	head := make([]byte, min(b.size, 4<<10))
	_, _ = b.file.ReadAt(head, 0)
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	c, _ := audit.CheckpointOf(line)
	return c.Time
}

func (b *book) shut() {
	if b.file != nil {
		_ = b.file.Close()
		b.file = nil
	}
}
