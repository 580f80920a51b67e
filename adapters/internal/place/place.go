// Package place judges where a file is to be, before anything needs it.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Check refuses a path where no file can be written: a directory is there, what ought
// to be a directory is none, or we may not write. It makes nothing and holds nothing
// (I17); what is missing is made at first use. A disk that is full or read-only just
// now is no mistake in the config.
func Check(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		return nil // opening a pipe would wait
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err == nil {
		_ = f.Close()
	}
	return nil
}
