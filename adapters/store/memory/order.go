package memory

import "slices"

// members is one index. Its order is made when it is listed, not when it
// changes: logins are frequent, listings are not.
type members struct {
	keys   map[string]struct{}
	sorted []string // nil: to be made
}

func (m *members) add(key string) {
	m.keys[key] = struct{}{}
	m.sorted = nil
}

func (m *members) drop(key string) int {
	delete(m.keys, key)
	m.sorted = nil
	return len(m.keys)
}

// behind lists the keys greater than after, in byte order.
func (m *members) behind(after string) []string {
	if m.sorted == nil {
		m.sorted = make([]string, 0, len(m.keys))
		for k := range m.keys {
			m.sorted = append(m.sorted, k)
		}
		slices.Sort(m.sorted)
	}
	if after == "" {
		return m.sorted
	}
	i, found := slices.BinarySearch(m.sorted, after)
	if found {
		i++
	}
	return m.sorted[i:]
}

// deadlines is a heap of entries, the first to expire on top. Every entry knows
// its slot, so that an update takes the old deadline out at once.
type deadlines []*entry

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].until.Before(d[j].until) }

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].slot, d[j].slot = i, j
}

// Push is called by container/heap.
func (d *deadlines) Push(x any) {
	e := x.(*entry)
	e.slot = len(*d)
	*d = append(*d, e)
}

// Pop is called by container/heap.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	e.slot = -1
	return e
}
