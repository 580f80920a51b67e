package flows

import "iter"

// AllSteps yields steps and those of their blocks, in the order they were written; those
// of a sub-flow too, where a step has them as its block.
func AllSteps(steps []Step) iter.Seq[Step] {
	return func(yield func(Step) bool) { eachStep(steps, yield) }
}

func eachStep(steps []Step, yield func(Step) bool) bool {
	for _, s := range steps {
		if !yield(s) {
			return false
		}
		c, ok := s.(Container)
		if !ok {
			continue
		}
		blocks, _ := c.Blocks()
		for _, b := range blocks {
			if !eachStep(b, yield) {
				return false
			}
		}
	}
	return true
}
