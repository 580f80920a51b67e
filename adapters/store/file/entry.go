package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Three buckets: entries by key; index and key together, worth the deadline, so
// that a listing needs no entry; deadline and key together, for the sweep.
var (
	dataBucket   = []byte("data")
	indexBucket  = []byte("index")
	expiryBucket = []byte("expiry")
)

// maxName is the longest key or index name: two of them and a length fit into a bbolt key.
const maxName = 16000

const formatOne = 1

var errBroken = errors.New("broken entry")

// entry is one record. Its slices belong to the transaction.
type entry struct {
	until int64 // µs since 1970; 0: for ever
	index [][]byte
	val   []byte
}

func (e *entry) encode() []byte {
	b := make([]byte, 9, 32+len(e.val))
	b[0] = formatOne
	binary.BigEndian.PutUint64(b[1:], uint64(e.until))
	b = binary.AppendUvarint(b, uint64(len(e.index)))
	for _, name := range e.index {
		b = appendName(b, name)
	}
	return append(b, e.val...)
}

func decode(b []byte) (*entry, error) {
	if len(b) < 10 || b[0] != formatOne {
		return nil, errBroken
	}
	e := &entry{until: int64(binary.BigEndian.Uint64(b[1:]))}
	n, size := binary.Uvarint(b[9:])
	if size <= 0 || n > uint64(len(b)) || e.until < 0 {
		return nil, errBroken
	}
	b = b[9+size:]
	for range n {
		l, size := binary.Uvarint(b)
		if size <= 0 || l > uint64(len(b)-size) {
			return nil, errBroken
		}
		e.index = append(e.index, b[size:size+int(l)])
		b = b[size+int(l):]
	}
	e.val = b
	return e, nil
}

func appendName(b, name []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// dataKey begins with a byte of its own: bbolt knows no empty keys, we do.
func dataKey(key string) []byte { return append([]byte{'='}, key...) }

func indexKey(name []byte, key string) []byte { return append(appendName(nil, name), key...) }

func expiryKey(until int64, key string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(until)), key...)
}

// buckets are the three of one transaction, at one moment.
type buckets struct {
	data, index, expiry *bolt.Bucket
	now                 time.Time
	dirty               *bool // set by what changes something
}

func bucketsOf(tx *bolt.Tx, now time.Time) (buckets, error) {
	b := buckets{tx.Bucket(dataBucket), tx.Bucket(indexBucket), tx.Bucket(expiryBucket), now, new(bool)}
	if b.data == nil || b.index == nil || b.expiry == nil {
		return b, errors.New("buckets are missing")
	}
	return b, nil
}

func makeBuckets(tx *bolt.Tx) error {
	for _, name := range [][]byte{dataBucket, indexBucket, expiryBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

func (b buckets) alive(until int64) bool { return until == 0 || b.now.UnixMicro() < until }

// get answers the living entry of a key, or nil.
func (b buckets) get(key string) (*entry, error) {
	e, err := b.any(key)
	if err != nil || e == nil || !b.alive(e.until) {
		return nil, err
	}
	return e, nil
}

func (b buckets) any(key string) (*entry, error) {
	raw := b.data.Get(dataKey(key))
	if raw == nil {
		return nil, nil
	}
	return decode(raw)
}

func (b buckets) members(index, after string, n int) []string {
	var keys []string
	prefix := appendName(nil, []byte(index))
	c := b.index.Cursor()
	for k, until := c.Seek(indexKey([]byte(index), after)); len(keys) < n && bytes.HasPrefix(k, prefix); k, until = c.Next() {
		key := string(k[len(prefix):])
		if (after != "" && key == after) || len(until) != 8 || !b.alive(int64(binary.BigEndian.Uint64(until))) {
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// apply writes a change that check found good. errBroken comes before anything
// is written; every other error spoils the transaction.
func (b buckets) apply(key string, c flows.Change) error {
	if c.Kind == flows.KeepIt {
		return nil
	}
	if err := b.remove(key); err != nil || c.Kind == flows.RemoveIt {
		return err
	}
	*b.dirty = true
	e := &entry{val: c.Val}
	for _, name := range c.Index {
		e.index = append(e.index, []byte(name))
	}
	if c.TTL > 0 {
		// A ttl under one microsecond still is one: 0 would be for ever.
		e.until = max(b.now.Add(c.TTL).UnixMicro(), 1)
		if err := b.expiry.Put(expiryKey(e.until, key), []byte{}); err != nil {
			return err
		}
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(e.until))
	for _, name := range e.index {
		if err := b.index.Put(indexKey(name, key), until); err != nil {
			return err
		}
	}
	return b.data.Put(dataKey(key), e.encode())
}

// remove takes an entry out, living or expired, and all that points at it.
func (b buckets) remove(key string) error {
	e, err := b.any(key)
	if err != nil || e == nil {
		return err
	}
	*b.dirty = true
	for _, name := range e.index {
		if err := b.index.Delete(indexKey(name, key)); err != nil {
			return err
		}
	}
	if e.until != 0 {
		if err := b.expiry.Delete(expiryKey(e.until, key)); err != nil {
			return err
		}
	}
	return b.data.Delete(dataKey(key))
}

// sweep removes up to n expired entries and says how many it found.
func (b buckets) sweep(n int) (int, error) {
	var dead [][]byte
	c := b.expiry.Cursor()
	for k, _ := c.First(); len(dead) < n && len(k) >= 8; k, _ = c.Next() {
		if b.alive(int64(binary.BigEndian.Uint64(k))) {
			break
		}
		dead = append(dead, clone(k))
	}
	for _, k := range dead {
		key := string(k[8:])
		e, err := b.any(key)
		if err == nil && e != nil && !b.alive(e.until) {
			if err := b.remove(key); err != nil {
				return 0, err
			}
		}
		*b.dirty = true
		if err := b.expiry.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(dead), nil
}

func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("store file: a key of %d bytes; %d are allowed", len(name), maxName)
	}
	return nil
}

// check refuses before the transaction what would spoil it for others in the same batch.
func check(key string, c flows.Change) error {
	switch c.Kind {
	case flows.KeepIt, flows.RemoveIt:
		return nil
	case flows.SetIt:
	default:
		return fmt.Errorf("store file: unknown change %d", c.Kind)
	}
	if c.TTL < 0 {
		return errors.New("store file: negative ttl")
	}
	if len(c.Val) > math.MaxInt32/2 {
		return fmt.Errorf("store file: a value of %d bytes is too large", len(c.Val))
	}
	for _, name := range c.Index {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return checkName(key)
}

// clone copies; an empty value stays a value and does not become "nothing".
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
