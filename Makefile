# Everything is static: only the pinned runc (scripts/build-runc) uses cgo.
export CGO_ENABLED = 0

# containers/image picks its signature backend with this tag; the other one
# needs gpgme and cgo.
# The second tag leaves out the flag library's generators of documents, whose
# initialisation costs every start two milliseconds.
TAGS = containers_image_openpgp,urfave_cli_no_docs
# The tags travel in GOFLAGS so that tests that call the go tool have them too.
export GOFLAGS := $(GOFLAGS) -tags=$(TAGS)

GO         ?= go
VERSION    := $(shell cat VERSION)
PREFIX     ?= /usr/local
DESTDIR    ?=
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/oci-plumbing
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share

# Two packages are tested at a time: the tests start runtimes and registries
# of their own, and more of them at once only wait for each other.
# -count=1: the go tool does not know the programs that they run.
# The tests of a program that keeps to one processor would run one at a time.
TESTFLAGS  ?= -p 2 -parallel 2 -count=1 -timeout 15m
FUZZTIME   ?= 60s
POINTS     ?= 10000
BENCH      ?=
IMAGE      ?=
VULNDB     ?=

TOOLS   := $(notdir $(wildcard cmd/oci-*))
PAGES   := $(wildcard man/*.md)
ROFF    := $(PAGES:man/%.md=build/man/%)
SCRIPTS := $(shell git ls-files scripts .ci 2>/dev/null | xargs -r awk 'FNR == 1 && /^\#!.*sh$$/ { print FILENAME } { nextfile }')
# Lessons are read by scripts/labs/run: they have no first line of their own,
# and names and "set -e" from it.
LESSONS := $(wildcard scripts/labs/*.sh scripts/labs/*.check)

MD2MAN := build/tools/go-md2man
LINTER := build/tools/golangci-lint
NFPM   := build/tools/nfpm
GOVULN := build/tools/govulncheck
DISTRIBUTION := build/tools/registry

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## print this list
	@echo 'usage: make TARGET [PREFIX=DIR] [DESTDIR=DIR]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the tools into bin/, static
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(TOOLS))

LDFLAGS = -s -w -X github.com/oci-plumbing/oci-plumbing/lib/cli.version=$(VERSION)

.PHONY: runc
runc: ## build the pinned runc, static and with seccomp, into build/libexec/
	scripts/build-runc

.PHONY: registry
registry: $(DISTRIBUTION) ## build the pinned registry, distribution v3, that oci-copy is tested with

.PHONY: demo
demo: build ## show the pipeline on a small image; IMAGE=docker://... for another
	IMAGE='$(IMAGE)' scripts/demo

.PHONY: test
test: ## run the tests; as root also those that mount and run containers
	scripts/build-runc --unless-found
	$(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: ## run the tests of lib under the race detector (needs gcc)
	# With cgo the storage library would want the headers of btrfs.
	CGO_ENABLED=1 GOFLAGS='$(GOFLAGS),exclude_graphdriver_btrfs' $(GO) test -race $(TESTFLAGS) ./lib/...

.PHONY: cover
cover: ## run the tests, print their coverage, and name the files below 70 %
	scripts/build-runc --unless-found
	scripts/cover

.PHONY: vuln
vuln: $(GOVULN) ## look for known vulnerabilities; VULNDB=file:///DIR is an offline database
	$(GOVULN) $(if $(VULNDB),-db '$(VULNDB)') ./cmd/...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

.PHONY: labs
labs: build ## walk the tutorials of scripts/labs and judge the results
	scripts/labs/run

.PHONY: bench
bench: build ## measure beside skopeo, umoci, buildah, podman (root); BENCH='-only unpack -image many'
	$(GO) run ./scripts/bench $(BENCH)

.PHONY: faults
faults: build ## strike the tools at POINTS of their system calls (root, strace)
	$(GO) run ./scripts/faults -points $(POINTS)

.PHONY: vm
vm: ## run tests in a Debian of systemd and cgroup v2, in qemu (root); VM='-r REGEXP PACKAGE...'
	scripts/vm $(VM)

.PHONY: scale
scale: build ## measure the growth with layers, files, size, containers and tags (root)
	$(GO) run ./scripts/scale -bin bin

.PHONY: lint
lint: $(LINTER) $(ROFF) ## check the code, the scripts and the pages
	$(LINTER) run ./...
	shellcheck $(SCRIPTS)
	[ -z '$(LESSONS)' ] || shellcheck -s sh -e SC1091,SC2034,SC2154,SC2164 $(LESSONS)
	mandoc -Tlint $(ROFF)

.PHONY: format
format: $(LINTER) ## format the code
	$(LINTER) fmt ./...

.PHONY: man
man: $(ROFF) ## render the manual pages into build/man/

build/man/%: man/%.md man/roff.awk $(MD2MAN)
	@mkdir -p $(@D)
	$(MD2MAN) -in $< -out $@.raw
	awk -f man/roff.awk $@.raw > $@
	@rm $@.raw

.PHONY: completions
completions: build ## make the completions for bash, zsh and fish in build/completions/
	$(GO) run ./scripts/completions bin build/completions

.PHONY: install
install: build man completions ## install tools, pinned runc, pages and completions
	scripts/build-runc --unless-impossible
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBEXECDIR)'
	install -m 0755 $(addprefix bin/,$(TOOLS)) '$(DESTDIR)$(BINDIR)'
	[ ! -x build/libexec/runc ] || install -m 0755 build/libexec/runc '$(DESTDIR)$(LIBEXECDIR)/runc'
	for page in $(ROFF); do \
		install -D -m 0644 $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/} || exit; \
	done
	install -d '$(DESTDIR)$(DATADIR)/bash-completion/completions' '$(DESTDIR)$(DATADIR)/zsh/site-functions' '$(DESTDIR)$(DATADIR)/fish/vendor_completions.d'
	install -m 0644 build/completions/bash/* '$(DESTDIR)$(DATADIR)/bash-completion/completions'
	install -m 0644 build/completions/zsh/* '$(DESTDIR)$(DATADIR)/zsh/site-functions'
	install -m 0644 build/completions/fish/* '$(DESTDIR)$(DATADIR)/fish/vendor_completions.d'

.PHONY: dist
dist: $(NFPM) ## make tarballs, packages, checksums and SBOMs in dist/
	scripts/dist

.PHONY: check-dist
check-dist: $(NFPM) $(MD2MAN) ## make the release twice, compare, and run its tools
	scripts/check-dist

.PHONY: clean
clean: ## remove what the targets made
	rm -rf bin build dist

# The programs of the build are pinned in modules of their own, so that their
# requirements stay out of ours.
$(MD2MAN): scripts/tools/go.sum
	cd scripts/tools && GOFLAGS= $(GO) build -trimpath -o ../../$@ github.com/cpuguy83/go-md2man/v2

$(LINTER): scripts/tools/lint/go.sum
	cd scripts/tools/lint && GOFLAGS= $(GO) build -trimpath -ldflags '-s -w' -o ../../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(NFPM): scripts/tools/dist/go.sum
	cd scripts/tools/dist && GOFLAGS= $(GO) build -trimpath -ldflags '-s -w' -o ../../../$@ github.com/goreleaser/nfpm/v2/cmd/nfpm

$(DISTRIBUTION): scripts/tools/registry/go.sum scripts/tools/registry/main.go
	cd scripts/tools/registry && GOFLAGS= $(GO) build -trimpath -ldflags '-s -w' -o ../../../$@ .

$(GOVULN): scripts/tools/vuln/go.sum
	cd scripts/tools/vuln && GOFLAGS= $(GO) build -trimpath -ldflags '-s -w' -o ../../../$@ golang.org/x/vuln/cmd/govulncheck
