# What CI runs is `make test`; everything else is a part of it or a help.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO          ?= go
FUZZTIME    ?= 30s
# Kubernetes and Caddy are built for tests and are none of ours to look at.
MODULES     := $(patsubst %/go.mod,%,$(shell git ls-files '*go.mod' | grep -v -e '^go.mod' -e '^test/cluster/hyper' -e '^test/bench/caddy'))
GOLANGCI    := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -buildid= -X main.version=$(VERSION)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve the example shop on :8080
	$(GO) run ./cmd/weir run examples/shop

.PHONY: build
build: ## build bin/weir
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

.PHONY: release
release: ## what is committed, for all systems: archives, bills of materials, checksums, in dist/
	rm -rf dist
	cd tools && $(GO) run ./release -root .. -out ../dist

.PHONY: reproducible
reproducible: ## build the committed twice, in two places and with nothing cached the second time: the same bytes
	cd tools && $(GO) run ./release -root .. -twice

.PHONY: test
test: deps tidy-check cross lint unit engine modules bench-short ## everything that CI runs, from nothing

.PHONY: deps
deps: ## install what the tests need beside Go (nginx, dnsmasq, Node.js, Python), where apt-get can
	@test/deps.sh

# Only what ships, and what is measured, is built by cmd/weir/default.pgo: it has each package compiled once more.
cross unit engine modules: export GOFLAGS += -pgo=off

.PHONY: unit
unit: ## the main module's tests, with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

ENGINE_TESTS = ./internal/wire/listen ./internal/wire/transport ./internal/traffic/service ./internal/traffic/proxy

.PHONY: engine
engine: ## the tests of sockets, endpoints and proxy, the scenarios and attacks: with net/http's HTTP/1.x in the place of our own, and with our own where memory that is used again is overwritten
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(ENGINE_TESTS) -args -engine std
	WEIR_ENGINE=std $(GO) test -count=1 -timeout 10m ./test/scenario ./test/attack
	$(GO) test -count=1 -run TestSlowClientsCostLittle ./test/abuse
	$(GO) test -tags poison ./internal/wire/http1 ./internal/base/exchange
	$(GO) test -tags poison $(ENGINE_TESTS) ./internal/traffic/compose ./internal/traffic/snapshot ./internal/control/compile ./internal/filter/...
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(GO) build -tags poison -o "$$folder/weir" ./cmd/weir && \
	  WEIR_BINARY="$$folder/weir" $(GO) test -count=1 -timeout 10m ./test/scenario ./test/attack

.PHONY: kube
kube: ## build etcd and kube-apiserver from their modules for test/cluster, once: minutes the first time, then kept in the user's cache folder
	@cd test/cluster && $(GO) run ./build >/dev/null

.PHONY: modules
modules: kube ## the tests that need heavy clients, and those of our tools, each in its own module; bench-short has those of the benchmark
	@for m in $(filter-out test/bench,$(MODULES)); do echo "== $$m"; (cd $$m && CGO_ENABLED=1 $(GO) vet ./... && CGO_ENABLED=1 $(GO) test -timeout 15m ./...); done

.PHONY: golden
golden: ## write the expected outputs anew; read the diff before you commit it
	$(GO) test $$(git grep -l 'flag.Bool("update"' -- '*_test.go' | xargs -n1 dirname | sort -u | grep -v conformance | sed 's|^|./|') -update

.PHONY: lint
lint: ## golangci-lint, every linter but those with a reason against them
	$(GOLANGCI) run ./...
	@for m in $(filter-out examples/%,$(MODULES)); do echo "== $$m"; (cd $$m && $(GOLANGCI) run ./...); done

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: cross
cross: ## build and vet for the systems we do not run on
	@for os in darwin windows; do echo "== $$os"; CGO_ENABLED=0 GOOS=$$os $(GO) vet ./... && CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null ./cmd/weir; done

.PHONY: tidy-check
tidy-check: ## go.mod and formatting are as the tools would leave them
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod tidy -diff

.PHONY: bench
bench: deps ## Weir with both engines beside nginx, HAProxy and Caddy, in turns: CPU, latency, memory, system calls, reloads; writes docs/benchmarks.md in some ten minutes (Linux with nothing else to do)
	@{ command -v haproxy || [ -x /usr/sbin/haproxy ]; } >/dev/null && command -v strace >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy strace >/dev/null || echo "HAProxy and strace are not to be had by apt-get here"
	cd test/bench && $(GO) run . $(BENCH)

.PHONY: profile
profile: deps ## what the hot path spends its time with, in the cases of make bench, to cmd/weir/default.pgo, which every build of Weir is made by; two minutes (Linux with nothing else to do)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  (cd test/bench && $(GO) run . -peers own -cases get,fields,fresh,post,100k,tls,filter,observed,routes1k -rounds 3 -time 4s -tries 1 -page "" -profile "$$folder") && \
	  $(GO) tool pprof -proto -output cmd/weir/default.pgo "$$folder"/*.pb.gz

.PHONY: bench-go
bench-go: ## all benchmarks of Go packages, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-short
bench-short: ## the hot path's benchmarks and each case of bench, briefly: CI prints them and judges answers and allocations, and no time
	$(GO) test -run '^$$' -bench . -benchtime 200x -benchmem ./internal/base/... ./internal/traffic/... ./internal/wire/... ./internal/filter/...
	cd test/bench && $(GO) test -count=1 -v -timeout 15m .

.PHONY: bench-auth
bench-auth: ## what guards cost: a route with and without, tokens against bare signatures; fails where allocations are more than stated (Linux)
	$(GO) test -count=1 -v -run 'TestKnowingWhoIsCallingCostsWhatIsStated|TestFiguresOfAuth' ./internal/control/compile -args -figures
	$(GO) test -count=1 -run 'TestARememberedTokenCostsNoAllocation' ./internal/auth/jwt

.PHONY: bench-balance
bench-balance: ## the ways to balance in a simulated fleet, 250,000 requests a case by a seed, then what a pick costs; judges their order only
	$(GO) test -count=1 -v -run TestOrderOfWays ./internal/traffic/service/balance -args -full
	$(GO) test -run '^$$' -bench . ./internal/traffic/service/balance

.PHONY: bench-kube
bench-kube: kube ## 1,000 Services with 20,000 endpoints behind a real API server: from an event until requests go by it and to the first answer, memory, CPU; judges no time (Linux)
	cd test/cluster && $(GO) test -run TestFigures -count=1 -v -timeout 20m

.PHONY: cluster
cluster: ## a whole cluster on this machine: Weir from deploy/kubernetes in front of pods that are rolled, scaled and killed (Linux, root; containerd by apt-get)
	@command -v containerd >/dev/null && command -v runc >/dev/null && command -v nft >/dev/null && [ -x /usr/lib/cni/bridge ] || \
	  apt-get install -y -qq --no-install-recommends containerd runc containernetworking-plugins nftables iptables conntrack >/dev/null
	cd test/cluster && $(GO) run ./build -pods && $(GO) test -run TestPodsComeAndGo -count=1 -v -timeout 20m . -args -pods

.PHONY: soak-kube
soak-kube: kube ## requests while etcd and the API server are paused, killed and back, a minute each: none may fail (Linux)
	cd test/cluster && $(GO) test -run TestTrafficNeverStops -count=1 -v -timeout 20m -args -pause 60s
	$(GO) test -run TestTrafficGoesOnWithoutEtcd ./test/discovery -count=1 -v -timeout 20m -args -pause 60s

.PHONY: rolling
rolling: kube ## three backends replaced every 300 ms for a minute under GETs, POSTs and streams of gRPC, by registry, DNS and Kubernetes, each in three ways: what is lost (Linux)
	cd test/rolling && $(GO) test -count=1 -v -timeout 20m -args -rounds 200
	cd test/cluster && $(GO) test -run TestBySlices -count=1 -v -timeout 20m -args -rounds 200

.PHONY: soak-jobs
soak-jobs: ## ten thousand jobs by 32 clients: what they take, and that each is sent once
	WEIR_JOBS=10000 $(GO) test -count=1 -v -run TestManyJobs ./test/lifecycle

.PHONY: soak
soak: ## change the config 500 times, 20 times a second, under load of all kinds, and see that nothing is lost or kept
	cd test/clients && $(GO) test -run TestSoak -v -timeout 30m -args -reloads 500

.PHONY: soak-engine
soak-engine: ## half an hour of clients of all manners on our own HTTP/1.x: sizes, framings, pipelines, slow ones, resets, half-closes, upgrades, reloads; no wrong byte, nothing kept (Linux; CI: 3 s)
	cd test/clients && $(GO) test -run TestMixedLoad -count=1 -v -timeout 60m -args -mixed 30m

.PHONY: storm
storm: ## 500 clients meet a function of 8 instances that crash, hang, are killed and replaced, 40 requests each; the seed is printed (CI: 2 each)
	$(GO) test ./internal/function/local -run TestFiveHundredClientsInAStorm -count=1 -v -timeout 30m -args -storm 40

.PHONY: bench-functions
bench-functions: ## what Weir adds to functions, 100 rounds paired with a bare Runtime API: latency, CPU, cold starts, 0 to 8 instances (Linux); judges answers only
	cd test/functions && $(GO) test -run TestFiguresOfFunctions -count=1 -v -timeout 30m -args -rounds 100

.PHONY: bench-clouds
bench-clouds: ## functions elsewhere: CPU of an invocation by AWS Lambda's API against a client written by hand, paired; first bytes of streams; 500 maximal payloads in bounded room (Linux); judges answers only
	$(GO) test ./internal/function/lambda -run TestFiguresOfLambda -count=1 -v -args -rounds 40
	$(GO) test ./internal/function/lambda -run TestPayloadsInFlightAreBoundedInSum -count=1 -v -timeout 30m -args -full

.PHONY: bench-compose
bench-compose: ## one answer of three backends: CPU of a composition against aggregators written by hand, on our transport and on net/http, 40 rounds in turns (Linux); judges answers only
	$(GO) test ./test/compose -run TestFiguresOfCompositions -count=1 -v -timeout 30m -args -rounds 40

.PHONY: lambda-offline
lambda-offline: ## serverless-offline with osls at AWS's place: a function that it runs is invoked and told of WebSockets; installs 140 MB once (Linux, Node.js)
	cd test/lambdaapi && $(GO) test -run TestServerlessOffline -count=1 -v -timeout 20m -args -offline

.PHONY: cloud-smoke
cloud-smoke: ## the scenarios of the examples against real functions in one's own accounts: WEIR_SMOKE_LAMBDA=NAME:ALIAS@REGION and others; says what did not run
	@$(GO) test ./test/smoke -run TestAgainstClouds -count=1 -v -timeout 20m -args -clouds

.PHONY: bench-abuse
bench-abuse: deps ## attack the binary and nginx at full strength and print what it costs: a quarter of an hour, judged by counts only
	$(GO) test ./test/abuse -run TestAgainstNginx -v -timeout 30m -args -full

.PHONY: bench-idle
bench-idle: deps ## what ten thousand idle connections take of memory, with either engine and nginx: six minutes; judges nothing (Linux)
	$(GO) test ./test/abuse -run TestFiguresOfIdleConnections -count=1 -v -timeout 30m -args -full

.PHONY: functions-ric
functions-ric: ## play handlers by AWS's own client for Node.js and by our bootstrap, and compare; needs cmake, a C++ compiler and minutes
	cd test/functions && $(GO) test -run TestOurBootstrapAnswersAsAWSsDoes -v -timeout 40m -args -ric

.PHONY: fuzz-http1
fuzz-http1: ## 200 million messages made at random, read by our parser of HTTP/1.x and by net/http: a quarter of an hour, and no difference without a rule that explains it (CI: 20,000)
	$(GO) test -run TestMessagesAreReadAsByNetHTTP -count=1 -v -timeout 3h ./internal/wire/http1 -args -messages 200000000

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$pkg; done; done
