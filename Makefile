# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   make                 build                     O=DIR   build folder (build)
#   sudo make demo       install what is missing, build, show it on a lab
#   sudo make test       install what is missing, run every test
#   make lint            format, static analysis   V=1     show commands
#   make install         DESTDIR= PREFIX=          SAN=1   ASan and UBSan
#   sudo make bench      what it costs: a table, and build/bench.json; make bench-check compares with the recorded one
#   make test ONLY=word  only the tests whose name has the word
#   sudo make test-kernels  the same, the tests that Debian's 6.1 kernel runs in qemu

O       ?= build
PREFIX  ?= /usr/local
CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
VERSION := 0.1.0
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

PACKAGES := libbpf libsystemd yaml-0.1 jansson libmicrohttpd libcurl libmnl sqlite3 ncursesw
WARN     := -Wall -Wextra -Werror
CFLAGS   ?= -O2 -g
CFLAGS_ALL = -std=gnu11 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer) \
	-D_GNU_SOURCE -DHEADGATE_VERSION='"$(VERSION)"' -Iuser -Ibpf -I$(O)
LDFLAGS_ALL = $(LDFLAGS) $(if $(SAN),-fsanitize=address$(comma)undefined)
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g $(WARN) -Ivmlinux -Ibpf
comma    := ,

PACKAGE_CFLAGS = $(shell pkg-config --cflags $(PACKAGES))
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lelf -lz -lm -pthread

# What has no main(): pure modules, and those that talk to the kernel. The tool and the tests link what they use of it.
LIBRARY := $(filter-out user/main.c,$(wildcard user/*.c))
TOOL    := $(wildcard tools/*.c)
DECAP   := $(wildcard tools/decap/*.c)
UNIT    := $(wildcard tests/unit/test_*.c)
BPFTEST := $(wildcard tests/bpf/test_*.c)
# The hooks are one object, so that their programs share the maps; whatever else is in bpf/ is an object of its own.
HOOKS   := xdp tc mirror
SKELETONS := $(O)/headgate.skel.h $(patsubst bpf/%.bpf.c,$(O)/%.skel.h,$(filter-out $(HOOKS:%=bpf/%.bpf.c),$(wildcard bpf/*.bpf.c)))

PROGRAMS := $(O)/headgated $(O)/headgate $(O)/headgate-decap

all: $(PROGRAMS)

$(O)/headgated: $(O)/user/main.o $(O)/libheadgate.a
$(O)/headgate: $(TOOL:%.c=$(O)/%.o) $(O)/libheadgate.a
$(O)/headgate-decap: $(DECAP:%.c=$(O)/%.o) $(O)/libheadgate.a
$(PROGRAMS):
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(O)/libheadgate.a: $(LIBRARY:%.c=$(O)/%.o)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/%.o: %.c | $(SKELETONS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(PACKAGE_CFLAGS) -c -o $@ $<

$(O)/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/headgate.bpf.o: $(HOOKS:%=$(O)/%.bpf.o)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(O)/%.skel.h: $(O)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.new && mv $@.new $@

# --- tests -----------------------------------------------------------------------------------------------------------
# One program a test_*.c; the other files of tests/bpf are linked into each of that folder's.
BPFTEST_HELP := $(filter-out tests/bpf/test_%,$(wildcard tests/bpf/*.c))
TESTS := $(patsubst %.c,$(O)/%,$(UNIT) $(BPFTEST) $(wildcard tests/unit/table_dump.c tests/unit/inquire.c))

$(filter $(O)/tests/bpf/%,$(TESTS)): $(BPFTEST_HELP:%.c=$(O)/%.o)
$(TESTS): $(O)/%: $(O)/%.o $(O)/libheadgate.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(O)/libheadgate.a $(LIBS) -lcmocka

# What it costs, by test runs and over veth: a program each, and what they have the kernel run.
BENCH := $(O)/tests/bench/packets
WIRE := $(O)/tests/bench/wire/wire
LAST_PACKET := $(O)/tests/bench/control/last_packet

$(O)/tests/bench/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/bench/%.skel.h: $(O)/tests/bench/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf > $@.new && mv $@.new $@

$(O)/tests/bench/harness.o: $(O)/tests/bench/wrapper.skel.h
$(O)/tests/bench/harness.o: CFLAGS += -I$(O)/tests/bench
$(BENCH): $(patsubst %.c,$(O)/%.o,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)) tests/bpf/packet.c) $(O)/libheadgate.a
$(WIRE).o: $(WIRE).skel.h
$(WIRE).o: CFLAGS += -I$(O)/tests/bench/wire
$(WIRE): $(WIRE).o $(O)/tests/bpf/packet.o $(O)/libheadgate.a
$(LAST_PACKET): $(LAST_PACKET).o
$(BENCH) $(WIRE) $(LAST_PACKET):
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcmocka

tests: all $(TESTS) $(BENCH) $(WIRE) $(LAST_PACKET)

# Each installs what is missing first, and so builds in a make of its own: pkg-config may only just have come.
test:
	@scripts/install-deps.sh test
	@$(MAKE) --no-print-directory -j2 tests
	@tests/run.sh $(O) $(ONLY)

test-kernels:
	@scripts/install-deps.sh kernels
	@$(MAKE) --no-print-directory -j2 tests
	@tests/kernels/run.sh $(O) $(ONLY)

bench:
	@scripts/install-deps.sh test
	@$(MAKE) --no-print-directory -j2 all $(BENCH) $(WIRE) $(LAST_PACKET)
	@tests/bench/run.sh $(O)

# After `make bench`: fails when a ratio is worse by more than a quarter than the recorded one.
bench-check:
	@python3 tests/bench/result.py check $(O)/bench.json tests/bench/recorded.json

demo:
	@scripts/install-deps.sh demo
	@$(MAKE) --no-print-directory -j2 all
	@tests/lab/demo.sh $(O)

lint:
	clang-format --dry-run -Werror $(filter-out vmlinux/%,$(shell git ls-files '*.c' '*.h'))
	shellcheck -x $(shell git ls-files '*.sh') .ci/run tests/kernels/init

# --- installing ------------------------------------------------------------------------------------------------------
bindir = $(DESTDIR)$(PREFIX)/bin
sbindir = $(DESTDIR)$(PREFIX)/sbin
share = $(DESTDIR)$(PREFIX)/share
unitdir = $(DESTDIR)$(PREFIX)/lib/systemd/system

install: all
	install -D -m 755 $(O)/headgated $(sbindir)/headgated
	install -D -m 755 $(O)/headgate-decap $(sbindir)/headgate-decap
	install -D -m 755 $(O)/headgate $(bindir)/headgate
	install -D -m 644 docs/headgate.1 $(share)/man/man1/headgate.1
	install -D -m 644 docs/headgated.8 $(share)/man/man8/headgated.8
	install -D -m 644 docs/headgate-decap.8 $(share)/man/man8/headgate-decap.8
	install -D -m 644 packaging/headgate.bash-completion $(share)/bash-completion/completions/headgate
	install -d $(unitdir)
	sed 's|@sbindir@|$(PREFIX)/sbin|' packaging/headgate.service > $(unitdir)/headgate.service

uninstall:
	rm -f $(sbindir)/headgated $(sbindir)/headgate-decap $(bindir)/headgate $(share)/man/man1/headgate.1 \
		$(share)/man/man8/headgated.8 $(share)/man/man8/headgate-decap.8 \
		$(share)/bash-completion/completions/headgate $(unitdir)/headgate.service

-include $(shell find $(O) -name '*.d' 2>/dev/null)
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all tests test test-kernels bench bench-check demo lint install uninstall clean
clean:
	rm -rf $(O)
