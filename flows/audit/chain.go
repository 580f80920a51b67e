package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// Chain makes lines of a file hang together: each holds the hash of the one before
// it, and its own. What is hashed is the line as it is written, byte by byte, up to
// its own hash, so nothing has to be brought into a canonical form. A Chain is a
// value: who could not write a line goes on with the one from before it.
type Chain struct {
	// ID names the chain; each file of each node has its own.
	ID string
	// Seq is the number of the last line, Head its hash.
	Seq  uint64
	Head string
}

// NewChain begins a chain behind what a file holds already: sum is its SHA-256.
func NewChain(sum [sha256.Size]byte) Chain { return Chain{ID: rand.Text(), Head: encode(sum[:])} }

// Head is the last line of a chain that was signed.
type Head struct {
	Chain string    `json:"chain"`
	Seq   uint64    `json:"seq"`
	Hash  string    `json:"hash"`
	Time  time.Time `json:"time"`
}

// Notary signs for the cluster, and remembers what it signed elsewhere than in the file.
type Notary interface {
	// Signer answers what signs now, and the key that verifies it.
	Signer(ctx context.Context) (sign func(message []byte) []byte, key ed25519.PublicKey, err error)
	// Keep remembers the last signed line of a chain. It does not wait.
	Keep(h Head)
}

// KindCheckpoint is the kind of the lines in which a chain is signed. They are no events.
const KindCheckpoint Kind = "checkpoint"

// Checkpoint is a line that signs all lines before it.
type Checkpoint struct {
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"`
	// Chain is the name of the chain.
	Chain string `json:"chain"`
	// Begins is true in the first line of each file.
	Begins bool `json:"begins,omitempty"`
	// Torn is the hash of the line before, if a crash left a piece of one there.
	Torn string `json:"torn,omitempty"`
	// Key verifies the signature; empty: the cluster's key could not be had.
	Key string `json:"key,omitempty"`
}

// checkpointStart is how each begins, and no event does.
const checkpointStart = `{"kind":"checkpoint",`

// signedAs keeps a signature from being good for anything else.
const signedAs = "sallyport audit checkpoint\n"

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

const hashLen = 43 // of 32 bytes in base64url

// Add hangs one line, a JSON object with its line end, on the chain.
func (c *Chain) Add(line []byte) []byte { return append(c.add(line), "\"}\n"...) }

func (c *Chain) add(line []byte) []byte {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'}'})
	c.Seq++
	out := make([]byte, 0, len(line)+3*hashLen)
	out = append(append(out, line...), `,"seq":`...)
	out = append(strconv.AppendUint(out, c.Seq, 10), `,"prev":"`...)
	out = append(append(out, c.Head...), '"')
	sum := sha256.Sum256(out)
	c.Head = encode(sum[:])
	return append(append(out, `,"hash":"`...), c.Head...)
}

// Sign hangs a checkpoint on the chain. Without the cluster's key it is one all the
// same, unsigned: the trail does not wait for that. signed tells, err says why not.
func (c *Chain) Sign(ctx context.Context, by Notary, cp Checkpoint) (line []byte, signed bool, err error) {
	cp.Kind, cp.Chain, cp.Key = KindCheckpoint, c.ID, ""
	var sign func([]byte) []byte
	if by != nil {
		var key ed25519.PublicKey
		if sign, key, err = by.Signer(ctx); err == nil {
			cp.Key = encode(key)
		}
	}
	raw, marshalErr := json.Marshal(cp)
	if marshalErr != nil {
		return nil, false, marshalErr
	}
	if cp.Key == "" {
		return c.Add(raw), false, err
	}
	line = append(c.add(raw), `","sig":"`...)
	line = append(line, encode(sign([]byte(signedAs+c.Head)))...)
	return append(line, "\"}\n"...), true, nil
}

// link is what a line says of the chain.
type link struct {
	seq        uint64
	prev, hash string
	sig        []byte
	// whole reports that the line is what it says it is.
	whole bool
	// checkpoint is nil for an entry.
	checkpoint *Checkpoint
}

var errNoLink = errors.New("it is no line of a chain")

// readLink reads a line without its line end. The tail has one form only, to the byte.
func readLink(line []byte) (link, error) {
	var l link
	rest, ok := bytes.CutSuffix(line, []byte(`"}`))
	if !ok {
		return l, errNoLink
	}
	if i := len(rest) - 86; i > 0 && bytes.HasSuffix(rest[:i], []byte(`","sig":"`)) {
		sig, err := base64.RawURLEncoding.Strict().DecodeString(string(rest[i:]))
		if err != nil {
			return l, errNoLink
		}
		l.sig, rest = sig, rest[:i-len(`","sig":"`)]
	}
	var body []byte
	if body, l.hash, ok = cutHash(rest, `,"hash":"`); !ok {
		return l, errNoLink
	}
	sum := sha256.Sum256(body)
	l.whole = encode(sum[:]) == l.hash
	if rest, ok = bytes.CutSuffix(body, []byte{'"'}); !ok {
		return l, errNoLink
	}
	if rest, l.prev, ok = cutHash(rest, `,"prev":"`); !ok {
		return l, errNoLink
	}
	i := bytes.LastIndex(rest, []byte(`,"seq":`))
	if i < 0 {
		return l, errNoLink
	}
	var err error
	if l.seq, err = strconv.ParseUint(string(rest[i+len(`,"seq":`):]), 10, 64); err != nil || l.seq == 0 {
		return l, errNoLink
	}
	if bytes.HasPrefix(line, []byte(checkpointStart)) {
		l.checkpoint = new(Checkpoint)
		if err := json.Unmarshal(line, l.checkpoint); err != nil {
			return l, errNoLink
		}
	}
	return l, nil
}

// cutHash takes a hash and the words before it off the end.
func cutHash(b []byte, word string) (before []byte, hash string, ok bool) {
	i := len(b) - hashLen
	if i < len(word) || string(b[i-len(word):i]) != word {
		return nil, "", false
	}
	return b[:i-len(word)], string(b[i:]), true
}

// Resume is the chain as a file's last line left it.
func Resume(line []byte, id string) (Chain, bool) {
	l, err := readLink(bytes.TrimSuffix(line, []byte{'\n'}))
	if err != nil || !l.whole {
		return Chain{}, false
	}
	return Chain{ID: id, Seq: l.seq, Head: l.hash}, true
}

// CheckpointOf reads a line that is a checkpoint.
func CheckpointOf(line []byte) (Checkpoint, bool) {
	l, err := readLink(bytes.TrimSuffix(line, []byte{'\n'}))
	if err != nil || l.checkpoint == nil {
		return Checkpoint{}, false
	}
	return *l.checkpoint, true
}
