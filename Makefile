# The commands that people and CI use. Everything is built by the Go tool; nothing else is needed to run.
GO ?= go
# Nothing needs C. Only the race detector does; the tag then keeps the store from compiling a C library that takes a minute.
export CGO_ENABLED = 0
RACE = CGO_ENABLED=1 $(GO) test -race -tags pebblegozstd

.PHONY: build test test-race test-varied soak lint bench bench-memory bench-spill bench-durability bench-recovery soak-crash soak-memory clients deps fmt regress

build:
	$(GO) build -ldflags="-s -w" -o bin/streamsql ./cmd/streamsql

# deps installs what some tests compare with or drive (psql, PostgreSQL 15, drivers of clients); where that cannot be done those tests are
# skipped and say so.
deps:
	@sh internal/sqltest/install.sh
	@sh internal/clienttest/install.sh

test: deps build lint
	$(GO) test -timeout 14m ./...
	$(RACE) -timeout 14m ./engine/... ./state/... ./internal/vec/...

# test-varied runs the tests of the engine under the race detector with constants on which nothing may depend (size of batches, spilling, compaction,
# seed of hashes, checkpoints) drawn at random; the seed is printed, and VARY=seed repeats it.
test-varied:
	for p in ./state ./exec ./engine ./internal/laws ./internal/sqltest; do STREAMSQL_VARY=$${VARY:-random} $(RACE) -timeout 30m -v $$p > varied.log 2>&1; \
		code=$$?; grep -E '^(STREAMSQL_VARY|--- FAIL|FAIL|ok|panic)' varied.log; test $$code = 0 || { cat varied.log; exit 1; }; done; rm -f varied.log

# clients installs PostgreSQL's clients (psql, drivers of six languages) where they can be had, drives each against our server, and prints when
# each sees the first row of an endless query and how soon its cancel is answered; it fails where that is too late.
clients: deps
	$(GO) test ./internal/clienttest -count 1 -timeout 10m -v -clients.strict

test-race:
	$(RACE) -timeout 30m ./...

# soak compares 100,000 random queries with PostgreSQL 15. A failure names the seed that repeats it.
soak: deps
	$(GO) test ./internal/difftest -timeout 2h -v -difftest.queries 100000 -difftest.seed $${SEED:-0}

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench:
	$(GO) run ./cmd/streamsql bench nexmark --events 10000000

# bench-memory runs endless queries for 50 million events each and fails if their memory grows with the stream.
bench-memory:
	$(GO) run ./cmd/streamsql bench memory --events 50000000

# regress runs PostgreSQL 15's own regression tests (from the system's source package) against this engine and reports the
# share of statements that give PostgreSQL's answer. REGRESS='-run ^int -diff' shows what differs.
regress: deps
	$(GO) run ./internal/sqltest/regress $(REGRESS)

# soak-crash kills the server a thousand times and checks that nothing is lost and nothing counts twice; it prints the number of violations.
soak-crash:
	$(GO) test ./internal/crashtest -run TestKill -crash.cycles 1000 -crash.most 2s -crash.keep -timeout 0 -v

# soak-memory sends statements that want gigabytes to a server with 256 MB, in memory and with a data directory; it fails if one is neither answered
# nor refused, if the process ends or grows beyond its bound, or if another connection is not answered meanwhile.
soak-memory:
	$(GO) test ./internal/crashtest -run TestMemory -memory.long -timeout 0 -v

# bench-spill runs queries whose state is far larger than 512 MB within that, and fails if a result is wrong or a process larger than 700 MB.
bench-spill:
	$(GO) run ./cmd/streamsql bench spill

# bench-recovery fills data directories of up to 5 GB, kills the server with kill -9, and fails if the first query after the start is answered too late.
bench-recovery:
	$(GO) run ./cmd/streamsql bench recovery

# bench-durability runs materialized views with a data directory and in memory in turns, and fails if durability costs more than 15 % of the
# throughput or holds a view up for more than 50 ms.
bench-durability:
	$(GO) run ./cmd/streamsql bench durability
