package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// notary signs with a key of its own.
type notary struct {
	key  ed25519.PrivateKey
	down error
	head audit.Head
}

func newNotary(seed byte) *notary {
	return &notary{key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (n *notary) Signer(context.Context) (func([]byte) []byte, ed25519.PublicKey, error) {
	return func(m []byte) []byte { return ed25519.Sign(n.key, m) }, n.public(), n.down
}

func (n *notary) Keep(h audit.Head) { n.head = h }

func (n *notary) public() ed25519.PublicKey { return n.key.Public().(ed25519.PublicKey) }

// chained is a file of n entries with a checkpoint before each third, and one at its
// end if signed.
func chained(t testing.TB, c *audit.Chain, by audit.Notary, n int, signed bool) []byte {
	t.Helper()
	var file []byte
	sign := func(begins bool) {
		line, _, err := c.Sign(t.Context(), by, audit.Checkpoint{Time: time.Unix(9, 0).UTC(), Begins: begins})
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, line...)
	}
	for i := range n {
		if i%3 == 0 {
			sign(i == 0)
		}
		line, err := audit.Event{ID: fmt.Sprintf("e-%d", i), Kind: audit.Login, Name: "ada", Detail: "ü\n"}.Line()
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, c.Add(line)...)
	}
	if signed {
		sign(false)
	}
	return file
}

func verify(v *audit.Verifier, files ...[]byte) (audit.Whole, error) {
	for i, f := range files {
		if err := v.Verify(fmt.Sprintf("f%d", i), bytes.NewReader(f)); err != nil {
			return audit.Whole{}, err
		}
	}
	return v.End()
}

func why(err error) string {
	b := new(audit.Broken)
	if errors.As(err, &b) {
		return fmt.Sprintf("%s:%d %s", b.File, b.Line, b.Why)
	}
	return fmt.Sprint(err)
}

// I8: whatever is changed, removed, moved or inserted is found.
func TestI8EveryChangeOfTheChainIsFound(t *testing.T) {
	t.Parallel()
	n := newNotary(1)
	c := audit.NewChain(sha256.Sum256(nil))
	file := chained(t, &c, n, 2, true)
	check := func(what string, changed []byte) {
		t.Helper()
		v := &audit.Verifier{Keys: []ed25519.PublicKey{n.public()}, Heads: map[string]audit.Head{c.ID: {Chain: c.ID, Seq: c.Seq, Hash: c.Head}}}
		if _, err := verify(v, changed); err == nil {
			t.Errorf("%s is not found", what)
		} else if b := new(audit.Broken); !errors.As(err, &b) || b.Line < 1 {
			t.Errorf("%s: %v", what, err)
		}
	}
	v := &audit.Verifier{Keys: []ed25519.PublicKey{n.public()}}
	if w, err := verify(v, file); err != nil || w.Entries != 2 || w.Signed != 2 || w.Unsigned != 0 || w.To != 4 || w.Chain != c.ID || w.Hash != c.Head {
		t.Fatalf("as it was written: %+v, %v", w, err)
	}
	few := audit.NewChain(sha256.Sum256(nil)) // one entry between two checkpoints
	small := chained(t, &few, n, 1, true)
	for i := range small {
		for bit := range 8 {
			changed := bytes.Clone(small)
			changed[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), changed)
		}
	}
	lines := bytes.SplitAfter(file, []byte{'\n'})
	lines = lines[:len(lines)-1]
	for i := range lines {
		check(fmt.Sprintf("line %d removed", i+1), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
		for j := range lines {
			check(fmt.Sprintf("line %d again at %d", i+1, j+1), bytes.Join(slices.Insert(slices.Clone(lines), j, lines[i]), nil))
			if i == j {
				continue
			}
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			check(fmt.Sprintf("lines %d and %d swapped", i+1, j+1), bytes.Join(swapped, nil))
		}
		check(fmt.Sprintf("cut behind line %d", i), bytes.Join(lines[:i], nil))
	}
	for i := range file {
		check(fmt.Sprintf("cut behind byte %d", i), file[:i])
		check(fmt.Sprintf("a byte put in at %d", i), slices.Insert(bytes.Clone(file), i, 'x'))
	}
	check("an entry of another chain", slices.Concat(file, lines[1]))
	check("behind the end", append(bytes.Clone(file), "{}\n"...))
}

// Who gives a changed line the hash it should have is found by the next line, and in
// the last one by what is remembered.
func TestI8AChangedLineWithItsHash(t *testing.T) {
	t.Parallel()
	n := newNotary(1)
	c := audit.NewChain(sha256.Sum256(nil))
	file := chained(t, &c, n, 4, false)
	lines := bytes.SplitAfter(file, []byte{'\n'})
	for i := 1; i < len(lines)-1; i++ {
		before, ok := audit.Resume(lines[i-1], c.ID)
		if !ok {
			t.Fatal("not resumed")
		}
		forged := slices.Clone(lines)
		forged[i] = before.Add([]byte(`{"id":"forged"}`))
		v := &audit.Verifier{Keys: []ed25519.PublicKey{n.public()}, Heads: map[string]audit.Head{c.ID: {Chain: c.ID, Seq: c.Seq, Hash: c.Head}}}
		if _, err := verify(v, bytes.Join(forged, nil)); why(err) != fmt.Sprintf("f0:%d changed", i+1) {
			t.Errorf("line %d: %v", i+1, err)
		}
	}
}

// Who writes the whole file anew cannot sign it.
func TestI8AFileWrittenAnewIsFound(t *testing.T) {
	t.Parallel()
	ours, theirs := newNotary(1), newNotary(2)
	c := audit.NewChain(sha256.Sum256(nil))
	forged := c
	file := chained(t, &c, ours, 6, true)
	head := map[string]audit.Head{c.ID: {Chain: c.ID, Seq: c.Seq, Hash: c.Head}}
	anew := chained(t, &forged, theirs, 8, true)
	keys := []ed25519.PublicKey{newNotary(3).public(), ours.public()}
	if _, err := verify(&audit.Verifier{Keys: keys}, anew); why(err) != "f0:1 foreign" {
		t.Errorf("signed by somebody else: %v", err)
	}
	forged = audit.Chain{ID: c.ID, Head: audit.NewChain(sha256.Sum256(nil)).Head}
	unsigned := chained(t, &forged, nil, 8, true)
	if w, err := verify(&audit.Verifier{Keys: keys}, unsigned); err != nil || w.Signed != 0 || w.Unsigned != 12 {
		t.Errorf("unsigned: %+v %v; it is for whoever asks to refuse it", w, err)
	}
	if _, err := verify(&audit.Verifier{Keys: keys, Heads: head}, unsigned); why(err) != "f0:9 changed" {
		t.Errorf("the gateway remembers another entry: %v", err)
	}
	if _, err := verify(&audit.Verifier{Keys: keys, Heads: head}, file); err != nil {
		t.Error(err)
	}
}

func TestChainGoesOnOverFiles(t *testing.T) {
	t.Parallel()
	n := newNotary(1)
	old := []byte("{\"id\":\"from before there was a chain\"}\n")
	c := audit.NewChain(sha256.Sum256(old))
	one := slices.Concat(old, chained(t, &c, n, 4, true))
	tail := one[bytes.LastIndexByte(one[:len(one)-1], '\n')+1:]
	again, ok := audit.Resume(tail, c.ID)
	if !ok || again != c {
		t.Fatalf("resumed as %+v, %v; want %+v", again, ok, c)
	}
	two := chained(t, &again, n, 4, false)
	three := chained(t, &again, n, 1, true)
	keys := []ed25519.PublicKey{n.public()}
	if w, err := verify(&audit.Verifier{Keys: keys}, one, two, three); err != nil || w.Entries != 9 || w.Unsigned != 0 || w.From != 1 {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := verify(&audit.Verifier{Keys: keys}, two); err != nil || w.From != 8 || w.Unsigned != 1 {
		t.Errorf("the second alone: %+v %v", w, err)
	}
	cut := bytes.SplitAfterN(two, []byte{'\n'}, 3)
	forgotten := audit.Head{Chain: c.ID, Seq: again.Seq + 1, Hash: c.Head}
	for want, files := range map[string][][]byte{
		"f1:1 removed":  {one, three},
		"f1:1 inserted": {two, two},
		"f0:1 changed":  {bytes.Replace(one, []byte("from before"), []byte("even before"), 1)},
		"f1:2 changed":  {one, bytes.Replace(two, []byte("ada"), []byte("eva"), 1)},
		"f0:1 removed":  {cut[2]},
		"f2:3 cut":      {one, two, three},
	} {
		v := &audit.Verifier{Keys: keys}
		if strings.HasSuffix(want, "cut") {
			v.Heads = map[string]audit.Head{c.ID: forgotten}
		}
		if _, err := verify(v, files...); why(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := verify(&audit.Verifier{Keys: keys, Part: true, Heads: map[string]audit.Head{c.ID: forgotten}}, one); err != nil {
		t.Errorf("a part: %v", err)
	}
}

func TestChainWithoutAKeyGoesOn(t *testing.T) {
	t.Parallel()
	n := newNotary(1)
	n.down = errors.New("storage is down")
	c := audit.NewChain(sha256.Sum256(nil))
	line, signed, err := c.Sign(t.Context(), n, audit.Checkpoint{Begins: true})
	if signed || !errors.Is(err, n.down) {
		t.Fatalf("%v %v", signed, err)
	}
	if w, err := verify(&audit.Verifier{Keys: []ed25519.PublicKey{n.public()}}, line); err != nil || w.Unsigned != 1 || w.Signed != 0 {
		t.Errorf("%+v %v", w, err)
	}
}

func FuzzVerify(f *testing.F) {
	n := newNotary(1)
	c := audit.NewChain(sha256.Sum256(nil))
	good := chained(f, &c, n, 3, true)
	f.Add(good)
	f.Add([]byte("{\"kind\":\"checkpoint\",\"seq\":1}\n"))
	f.Add([]byte(`,"sig":"`))
	f.Fuzz(func(t *testing.T, file []byte) {
		w, err := verify(&audit.Verifier{Keys: []ed25519.PublicKey{n.public()}}, file)
		if err == nil && w.Signed > 0 && !bytes.HasPrefix(good, file) && !bytes.HasPrefix(file, good[:bytes.IndexByte(good, '\n')+1]) {
			t.Errorf("taken as signed by us: %q", file)
		}
	})
}
