# make build | test | test-fast | test-real | accessibility | check | bench | fuzz | demo | parts
#
# CI=true: nothing may be skipped, a missing part is a failure.
# SCREENSHOTS: where the browser tests leave their pictures.
# SALLYPORT_PARTS: where the parts that npm brings are kept, outside of the tree.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

SCREENSHOTS     ?= screenshots
SALLYPORT_PARTS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sallyport-parts
FUZZTIME        ?= 10s
TESTFLAGS       ?=

# The race detector needs a C compiler. Without one the tests still run, and say
# so; with CI=true that is a failure, because the race detector is always on there.
CC_FOUND := $(shell command -v gcc || command -v clang || command -v cc)
ifneq ($(CC_FOUND),)
RACE := -race
else ifeq ($(CI),true)
$(error no C compiler: the race detector cannot run (apt-get install gcc libc6-dev))
else
$(info no C compiler: the tests run without the race detector (apt-get install gcc libc6-dev))
endif

# One set of flags everywhere: another set is another build cache.
GOTEST := go test $(RACE) -timeout 15m $(TESTFLAGS)

export SALLYPORT_PARTS

.ONESHELL:
.PHONY: build test test-fast test-real accessibility parts check bench fuzz demo clean

build:
	go build -o bin/sallyport ./cmd/sallyport

test:
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory test-real

# Everything that needs nothing but Go: vet, the floors, all tests but those of
# the real parts and the browser, which have the build tag real.
test-fast:
	@begin=$$SECONDS
	go vet -tags real ./...
	$(GOTEST) ./...
	@echo "test-fast: $$((SECONDS - begin)) s"

# The examples against real applications, a real provider and a real browser.
# -count=1: a cached result would not know that bin/sallyport has changed.
test-real: build parts
	@begin=$$SECONDS
	mkdir -p "$(SCREENSHOTS)"
	SALLYPORT_BIN="$(CURDIR)/bin/sallyport" SCREENSHOTS="$(abspath $(SCREENSHOTS))" \
		.ci/test-real.sh $(GOTEST) -count=1 -tags real ./examples/... ./module/pages
	@echo "test-real: $$((SECONDS - begin)) s"

# The part of it that asks whether everybody can use the pages: axe-core, the
# keyboard, small windows, other colours. The pictures are for people to look at.
accessibility: build parts
	@mkdir -p "$(SCREENSHOTS)"
	SALLYPORT_BIN="$(CURDIR)/bin/sallyport" SCREENSHOTS="$(abspath $(SCREENSHOTS))" \
		.ci/test-real.sh $(GOTEST) -count=1 -tags real -run 'Accessib|Keyboard|EveryWindow' ./examples/pages ./module/pages

# Installs what can be installed; what cannot is named, and its tests are skipped.
parts:
	@.ci/parts.sh

check:
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "gofmt: $$out"; exit 1; fi
	@out="$$(go tool -modfile=.ci/tools.mod gofumpt -l .)"; if [ -n "$$out" ]; then echo "gofumpt: $$out"; exit 1; fi
	go vet -tags real ./...
	go tool -modfile=.ci/tools.mod staticcheck -tags real ./...
	$(GOTEST) -run 'TestFloors' .
	go mod tidy -diff

bench:
	go run ./cmd/bench $(BENCHFLAGS)

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	@go list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir package; do \
		{ grep -ohE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null || true; } | sed 's/^func //' | sort -u | while read -r target; do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
		done || exit 1; \
	done

demo:
	go run ./cmd/sallyport demo

clean:
	rm -rf bin "$(SCREENSHOTS)"
