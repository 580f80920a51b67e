package file

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func BenchmarkGet(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "s.db"), flowstest.NewClock())
	for i := range 100 {
		if err := s.Create(bg, fmt.Sprint(i), make([]byte, 1024), time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(bg, "50"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate shows what one login waits; BenchmarkCreateParallel what a
// crowd of them gets out of one fsync.
func BenchmarkCreate(b *testing.B) {
	s, val, i := open(b, filepath.Join(b.TempDir(), "s.db"), flowstest.NewClock()), make([]byte, 1024), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if err := s.Create(bg, fmt.Sprint(i), val, time.Hour, "i"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateParallel(b *testing.B) {
	s, val := open(b, filepath.Join(b.TempDir(), "s.db"), flowstest.NewClock()), make([]byte, 1024)
	var i atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Create(bg, fmt.Sprint(i.Add(1)), val, time.Hour, "i"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
