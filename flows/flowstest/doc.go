// Package flowstest holds what tests of guests need: one conformance suite per
// interface of package flows, a registry in memory and clocks that stand still.
package flowstest
