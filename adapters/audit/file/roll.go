package file

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// roll says when a file is full, and which of the full ones stay. Zero is never and all.
type roll struct {
	size     int64
	interval time.Duration
	keep     int
	keepFor  time.Duration
}

func (r roll) due(b *book, now time.Time) bool {
	return b.regular && b.size > 0 && (r.size > 0 && b.size >= r.size || r.interval > 0 && now.Sub(b.since) >= r.interval)
}

const rolledTime = "20060102T150405Z"

// rolledName is what a full file is called: its time, and the number of its last line,
// which no other has.
func rolledName(path string, at time.Time, seq uint64) string {
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%s-%d%s", strings.TrimSuffix(path, ext), at.UTC().Format(rolledTime), seq, ext)
}

// rollOver signs the file, puts it aside and begins another, on the same chain. A file
// that cannot be put aside goes on: nobody is kept out by that.
func (b *book) rollOver(set *settings) error {
	b.sign(set, audit.Checkpoint{})
	if err := b.flush(); err != nil {
		b.shut()
		return err
	}
	b.keep(set)
	if err := os.Rename(b.path, rolledName(b.path, set.now(), b.chain.Seq)); err != nil {
		set.warn("the trail's file could not be rolled over", err)
		b.since = set.now()
		return nil
	}
	b.shut()
	b.tidy(set)
	return b.open(set)
}

// Rolled are the full files beside path, the oldest first.
func Rolled(path string) (files []string) {
	ext := filepath.Ext(path)
	name := regexp.MustCompile(`^` + regexp.QuoteMeta(strings.TrimSuffix(filepath.Base(path), ext)) + `-\d{8}T\d{6}Z-(\d+)` + regexp.QuoteMeta(ext) + `$`)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	number := map[string]uint64{}
	for _, e := range entries {
		if m := name.FindStringSubmatch(e.Name()); m != nil {
			file := filepath.Join(filepath.Dir(path), e.Name())
			number[file], _ = strconv.ParseUint(m[1], 10, 64)
			files = append(files, file)
		}
	}
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(strings.Compare(timeOf(a), timeOf(b)), cmp.Compare(number[a], number[b]))
	})
	return files
}

// timeOf is the time in the name of a full file.
func timeOf(file string) string {
	parts := strings.Split(strings.TrimSuffix(file, filepath.Ext(file)), "-")
	return parts[len(parts)-2]
}

// tidy removes full files that nobody wants any more.
func (b *book) tidy(set *settings) {
	r, all := set.roll, Rolled(b.path)
	for i, f := range all {
		at, err := time.Parse(rolledTime, timeOf(f))
		old := err == nil && r.keepFor > 0 && set.now().Sub(at) > r.keepFor
		if !old && (r.keep == 0 || len(all)-i <= r.keep) {
			continue
		}
		if err := os.Remove(f); err != nil {
			set.warn("an old file of the trail could not be removed", err)
		}
	}
}
