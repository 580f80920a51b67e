package flows

import "errors"

// Unattended refuses steps that need somebody: a flow that an event started has
// nobody to ask.
func Unattended(steps []Step) error {
	for s := range AllSteps(steps) {
		if _, asks := s.(Resumer); asks {
			at := ""
			if k, ok := s.(Sourced); ok && k.SourceLine() != "" {
				at = k.SourceLine() + ": "
			}
			return errors.New(at + "this step asks people, and a flow that is started by an event has nobody to ask")
		}
	}
	return nil
}
