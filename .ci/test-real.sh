#!/bin/bash
# Runs the given test command verbosely, shows its results package by package,
# and names at the end every test that was skipped and why.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" -v 2>&1 | tee "$log" | grep --line-buffered -E '^(ok|FAIL|---|panic:|#|WARNING: DATA RACE)|^[[:space:]]+--- FAIL|\.go:[0-9]+(:| \+0x)'
status=${PIPESTATUS[0]}
skipped=$(grep -cE '^[[:space:]]*--- SKIP' "$log")
if [ "$skipped" -gt 0 ]; then
	echo "skipped: $skipped"
	grep -E '^[[:space:]]*--- SKIP' "$log"
	grep -E '_test\.go:[0-9]+: .* is missing: ' "$log" | sed 's/.*_test\.go:[0-9]*: /  /' | sort -u
	if [ "${CI:-}" = true ]; then
		echo "with CI=true nothing may be skipped"
		exit 1
	fi
fi
exit "$status"
