package pages

import "testing"

func TestNewLoadsWithoutOptions(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err != nil {
		t.Fatal(err)
	}
}
