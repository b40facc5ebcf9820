# CI runs `make test`. Every other target is a part of it or a tool.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO          ?= go
FUZZTIME    ?= 30s
# The modules of Kubernetes and Caddy are only built for tests; their code is not ours to check.
MODULES     := $(patsubst %/go.mod,%,$(shell git ls-files '*go.mod' | grep -v -e '^go.mod' -e '^test/cluster/hyper' -e '^test/bench/caddy'))
GOLANGCI    := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -buildid= -X main.version=$(VERSION)

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve the example shop on localhost:8080
	$(GO) run ./cmd/weir run examples/shop

.PHONY: build
build: ## build bin/weir
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

.PHONY: release
release: ## build the commit for all systems: archives, bills of materials and checksums, in dist/
	rm -rf dist
	cd tools && $(GO) run ./release -root .. -out ../dist

.PHONY: reproducible
reproducible: ## build the commit twice, in two places, the second time uncached, and compare the bytes
	cd tools && $(GO) run ./release -root .. -twice

.PHONY: test
test: deps tidy-check cross lint unit engine modules bench-short ## everything that CI runs, from scratch

.PHONY: deps
deps: ## install what the tests need besides Go (nginx, dnsmasq, Node.js, Python, ...), if apt-get can
	@test/deps.sh

# Only what ships, and what is measured, is built with the profile cmd/weir/default.pgo, because with it each package is
# compiled once more.
cross unit engine modules: export GOFLAGS += -pgo=off

.PHONY: unit
unit: ## the main module's tests, with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

ENGINE_TESTS = ./internal/wire/listen ./internal/wire/transport ./internal/traffic/service ./internal/traffic/proxy

# The tests of sockets, endpoints and the proxy, the scenarios and the attacks run with net/http's HTTP/1.x in place of
# our own. Then they run with our own, in a build (tag poison) that overwrites memory as soon as it may be reused.
.PHONY: engine
engine: ## the HTTP tests with net/http's HTTP/1.x, then with our own and reused memory overwritten
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(ENGINE_TESTS) -args -engine std
	WEIR_ENGINE=std $(GO) test -count=1 -timeout 10m ./test/scenario ./test/attack
	$(GO) test -count=1 -run TestSlowClientsCostLittle ./test/abuse
	$(GO) test -tags poison ./internal/wire/http1 ./internal/base/exchange
	$(GO) test -tags poison $(ENGINE_TESTS) ./internal/traffic/compose ./internal/traffic/snapshot ./internal/control/compile ./internal/filter/...
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(GO) build -tags poison -o "$$folder/weir" ./cmd/weir && \
	  WEIR_BINARY="$$folder/weir" $(GO) test -count=1 -timeout 10m ./test/scenario ./test/attack

# The programs are kept in the user's cache folder.
.PHONY: kube
kube: ## build etcd and kube-apiserver from their modules for test/cluster, once (takes minutes)
	@cd test/cluster && $(GO) run ./build >/dev/null

# Tests that need heavy clients are in modules of their own, as are the tests of our tools.
.PHONY: modules
modules: kube ## vet and test the other modules: heavy clients and our tools (bench-short tests test/bench)
	@for m in $(filter-out test/bench,$(MODULES)); do echo "== $$m"; (cd $$m && CGO_ENABLED=1 $(GO) vet ./... && CGO_ENABLED=1 $(GO) test -timeout 15m ./...); done

.PHONY: golden
golden: ## rewrite the expected outputs; read the diff before you commit it
	$(GO) test $$(git grep -l 'flag.Bool("update"' -- '*_test.go' | xargs -n1 dirname | sort -u | grep -v conformance | sed 's|^|./|') -update

.PHONY: lint
lint: ## run golangci-lint with every linter, except those disabled with a reason
	$(GOLANGCI) run ./...
	@for m in $(filter-out examples/%,$(MODULES)); do echo "== $$m"; (cd $$m && $(GOLANGCI) run ./...); done

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: cross
cross: ## build and vet for the systems we do not run on
	@for os in darwin windows; do echo "== $$os"; CGO_ENABLED=0 GOOS=$$os $(GO) vet ./... && CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null ./cmd/weir; done

.PHONY: tidy-check
tidy-check: ## check that gofmt and go mod tidy would change nothing
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod tidy -diff

# Weir with each of its engines and the other proxies take turns. CPU, latency, memory, system calls and reloads are
# measured. It takes some ten minutes on Linux. Nothing else may run on the machine.
.PHONY: bench
bench: deps ## compare Weir with nginx, HAProxy and Caddy; writes docs/benchmarks.md (10 minutes, Linux)
	@{ command -v haproxy || [ -x /usr/sbin/haproxy ]; } >/dev/null && command -v strace >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy strace >/dev/null || echo "apt-get cannot install HAProxy and strace here"
	cd test/bench && $(GO) run . $(BENCH)

# All builds of Weir use this profile, except those of the tests and of `cross`. Nothing else may run on the machine.
.PHONY: profile
profile: deps ## profile the hot path in the cases of make bench, for cmd/weir/default.pgo (2 minutes, Linux)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  (cd test/bench && $(GO) run . -peers own -cases get,fields,fresh,post,100k,tls,filter,observed,routes1k -rounds 3 -time 4s -tries 1 -page "" -profile "$$folder") && \
	  $(GO) tool pprof -proto -output cmd/weir/default.pgo "$$folder"/*.pb.gz

.PHONY: bench-go
bench-go: ## all benchmarks of Go packages, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./...

# CI prints the results. It fails on wrong answers and too many allocations, never because of a time.
.PHONY: bench-short
bench-short: ## run the hot path's benchmarks and each case of make bench briefly; judges no time
	$(GO) test -run '^$$' -bench . -benchtime 200x -benchmem ./internal/base/... ./internal/traffic/... ./internal/wire/... ./internal/filter/...
	cd test/bench && $(GO) test -count=1 -v -timeout 15m .

# It compares a route with and without guards, and tokens with bare signatures.
.PHONY: bench-auth
bench-auth: ## measure what guards cost; fails if there are more allocations than stated (Linux)
	$(GO) test -count=1 -v -run 'TestKnowingWhoIsCallingCostsWhatIsStated|TestFiguresOfAuth' ./internal/control/compile -args -figures
	$(GO) test -count=1 -run 'TestARememberedTokenCostsNoAllocation' ./internal/auth/jwt

# Each case has 250,000 requests, generated from a seed. After that, it measures what a pick costs.
.PHONY: bench-balance
bench-balance: ## compare the ways to balance in a simulated fleet; judges only their order
	$(GO) test -count=1 -v -run TestOrderOfWays ./internal/traffic/service/balance -args -full
	$(GO) test -run '^$$' -bench . ./internal/traffic/service/balance

# It measures the time from an event until requests follow it, the time until the first answer, memory and CPU.
.PHONY: bench-kube
bench-kube: kube ## measure 1,000 Services with 20,000 endpoints at a real API server; judges no time (Linux)
	cd test/cluster && $(GO) test -run TestFigures -count=1 -v -timeout 20m

# Weir runs from deploy/kubernetes, in front of pods that are rolled, scaled and killed. apt-get installs containerd.
.PHONY: cluster
cluster: ## run Weir in a whole cluster on this machine while pods come and go (Linux, root)
	@command -v containerd >/dev/null && command -v runc >/dev/null && command -v nft >/dev/null && [ -x /usr/lib/cni/bridge ] || \
	  apt-get install -y -qq --no-install-recommends containerd runc containernetworking-plugins nftables iptables conntrack >/dev/null
	cd test/cluster && $(GO) run ./build -pods && $(GO) test -run TestPodsComeAndGo -count=1 -v -timeout 20m . -args -pods

# Each failure lasts a minute. Requests are also sent once etcd and the API server are back.
.PHONY: soak-kube
soak-kube: kube ## send requests while etcd and the API server are paused and killed; none may fail (Linux)
	cd test/cluster && $(GO) test -run TestTrafficNeverStops -count=1 -v -timeout 20m -args -pause 60s
	$(GO) test -run TestTrafficGoesOnWithoutEtcd ./test/discovery -count=1 -v -timeout 20m -args -pause 60s

# The load is GETs, POSTs and gRPC streams. Endpoints are found through the registry, DNS and Kubernetes, and with each of
# them the backends end in three ways.
.PHONY: rolling
rolling: kube ## replace three backends every 300 ms for a minute under load; shows what is lost (Linux)
	cd test/rolling && $(GO) test -count=1 -v -timeout 20m -args -rounds 200
	cd test/cluster && $(GO) test -run TestBySlices -count=1 -v -timeout 20m -args -rounds 200

.PHONY: soak-jobs
soak-jobs: ## send ten thousand jobs from 32 clients; shows their cost, checks that each is sent once
	WEIR_JOBS=10000 $(GO) test -count=1 -v -run TestManyJobs ./test/lifecycle

.PHONY: soak
soak: ## 500 config changes, 20 a second, under load of all kinds; nothing may be lost or left over
	cd test/clients && $(GO) test -run TestSoak -v -timeout 30m -args -reloads 500

# Clients vary sizes and framings and pipeline requests. They are slow, reset, half-close and upgrade, and the config is
# reloaded meanwhile. No byte may be wrong, and nothing may be left over at the end.
.PHONY: soak-engine
soak-engine: ## half an hour of all kinds of clients on our own HTTP/1.x (Linux; CI: 3 s)
	cd test/clients && $(GO) test -run TestMixedLoad -count=1 -v -timeout 60m -args -mixed 30m

# The function has 8 instances, which crash, hang, are killed and are replaced. The test prints its seed.
.PHONY: storm
storm: ## 500 clients send 40 requests each to a function whose instances fail (CI: 2 each)
	$(GO) test ./internal/function/local -run TestFiveHundredClientsInAStorm -count=1 -v -timeout 30m -args -storm 40

# In 100 rounds, Weir is paired with a bare Runtime API: latency, CPU, cold starts, 0 to 8 instances.
.PHONY: bench-functions
bench-functions: ## measure what Weir adds to functions; judges only answers (Linux)
	cd test/functions && $(GO) test -run TestFiguresOfFunctions -count=1 -v -timeout 30m -args -rounds 100

# It compares the CPU time of an invocation through AWS Lambda's API with that of a client written by hand, in pairs. It
# also measures the first bytes of streams, and sends 500 payloads of the maximal size through a bounded room.
.PHONY: bench-clouds
bench-clouds: ## measure functions elsewhere; judges only answers (Linux)
	$(GO) test ./internal/function/lambda -run TestFiguresOfLambda -count=1 -v -args -rounds 40
	$(GO) test ./internal/function/lambda -run TestPayloadsInFlightAreBoundedInSum -count=1 -v -timeout 30m -args -full

# It compares the CPU time of a composition with that of aggregators written by hand, on our transport and on net/http,
# which take turns in 40 rounds.
.PHONY: bench-compose
bench-compose: ## measure one answer made from three backends; judges only answers (Linux)
	$(GO) test ./test/compose -run TestFiguresOfCompositions -count=1 -v -timeout 30m -args -rounds 40

# serverless-offline runs under osls. The function that it runs is invoked and receives WebSocket events.
.PHONY: lambda-offline
lambda-offline: ## test with serverless-offline in place of AWS; installs 140 MB once (Linux, Node.js)
	cd test/lambdaapi && $(GO) test -run TestServerlessOffline -count=1 -v -timeout 20m -args -offline

# The functions are set as WEIR_SMOKE_LAMBDA=NAME:ALIAS@REGION and others. The output says what did not run.
.PHONY: cloud-smoke
cloud-smoke: ## run the examples' scenarios against real functions in your own cloud accounts
	@$(GO) test ./test/smoke -run TestAgainstClouds -count=1 -v -timeout 20m -args -clouds

.PHONY: bench-abuse
bench-abuse: deps ## attack Weir and nginx at full strength and print the cost: 15 minutes; judges only counts
	$(GO) test ./test/abuse -run TestAgainstNginx -v -timeout 30m -args -full

# It measures Weir with either engine, and nginx.
.PHONY: bench-idle
bench-idle: deps ## measure the memory of ten thousand idle connections: six minutes; judges nothing (Linux)
	$(GO) test ./test/abuse -run TestFiguresOfIdleConnections -count=1 -v -timeout 30m -args -full

# It needs cmake and a C++ compiler, and takes minutes.
.PHONY: functions-ric
functions-ric: ## compare our bootstrap with AWS's own client for Node.js, on the same handlers
	cd test/functions && $(GO) test -run TestOurBootstrapAnswersAsAWSsDoes -v -timeout 40m -args -ric

# The two may differ only where a rule explains it.
.PHONY: fuzz-http1
fuzz-http1: ## parse 200 million random messages with our HTTP/1.x and net/http's: 15 minutes (CI: 20,000)
	$(GO) test -run TestMessagesAreReadAsByNetHTTP -count=1 -v -timeout 3h ./internal/wire/http1 -args -messages 200000000

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./$$pkg; done; done
