# Makefile: the whole build.  `make help` lists the targets.
#
# One file, no recursion into folders.  FLAVOR (release, asan, ubsan, tsan) chooses the build folder, so that sanitizers
# never mix with the release.  A folder is a layer: every .c file in it belongs to the archive of that layer, and tests
# link the archives of their own layer and of those below it, nothing else.  config.mak, if it exists, is the developer's
# own.

-include config.mak

FLAVOR ?= release
B ?= build/$(FLAVOR)
CC := gcc
PYTHON3 := /usr/bin/python3
ARCFACED_SHARED ?= ../shared
export ARCFACED_SHARED
SHELL := /bin/bash

# ---- Flags -----------------------------------------------------------------------------------------------------------

# Warnings are errors for CI and for developers (config.mak), not for somebody who builds with a compiler we have not met.
WERROR ?=
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
        -Wundef -Wformat=2 -Wswitch-enum -Wno-format-nonliteral -Wno-unused-parameter $(WERROR)
CFLAGS_release := -O2
CFLAGS_asan := -O1 -fsanitize=address -fno-omit-frame-pointer
CFLAGS_ubsan := -O1 -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
CFLAGS ?= -g
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -I$(B)/gen $(WARN) $(CFLAGS_$(FLAVOR)) $(CFLAGS) \
              -fstack-protector-strong -fPIE -pthread
LDFLAGS_ALL := $(filter -fsanitize=%,$(CFLAGS_$(FLAVOR))) -pthread -pie -Wl,-z,relro,-z,now $(LDFLAGS)

# Freedoms for loops over floats, granted one by one and only in kernels; never -ffast-math.  The reference kernels are
# compiled without contraction: they are the specification; so are the loops over bytes, which give the same bytes on every
# processor.
KERNEL_CFLAGS := -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast
ISA_avx2 := -mavx2 -mfma -mf16c
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx2 -mfma -mf16c
ISA_vnni := $(ISA_avx512) -mavx512vnni
ISA_vbmi := $(ISA_vnni) -mavx512vbmi

# Computed from the file's name, not by a pattern-specific variable: those are inherited by prerequisites.
flags_of = $(if $(filter core/kernel/%,$(1)),$(if $(filter %_ref.c,$(1)),-O2 -ffp-contract=off,$(KERNEL_CFLAGS))) \
           $(if $(filter %_avx2.c,$(1)),$(ISA_avx2)) $(if $(filter %_avx512.c,$(1)),$(ISA_avx512)) \
           $(if $(filter %_vnni.c,$(1)),$(ISA_vnni)) $(if $(filter %_vbmi.c,$(1)),$(ISA_vbmi)) \
           $(if $(filter core/kernel/byte_%,$(1)),-ffp-contract=off) \
           $(if $(filter index/faiss_memory.c,$(1)),-fexceptions)

# ---- Layers ----------------------------------------------------------------------------------------------------------

# folder = layer; below_X lists what X may link, nearest first (tests/lint/layers.awk holds the includes).
DIR_base := core/base
DIR_image := core/image
DIR_kernel := core/kernel
DIR_graph := core/graph
DIR_op := core/op
DIR_onnx := core/onnx
DIR_face := core/face
DIR_train := core/train
DIR_models := core/models
DIR_index := index
DIR_daemon := server/daemon
DIR_store := server/store
DIR_gallery := server/gallery
DIR_jobs := server/jobs
DIR_http := server/http
LAYERS := base image kernel graph op onnx face train models index daemon store gallery jobs http

below_base :=
below_image := base
below_kernel := base
below_graph := kernel base
below_op := graph kernel base
below_onnx := op graph kernel base
below_face := onnx op graph kernel image base
below_train := face onnx op graph kernel image base
below_models := base
below_index := kernel base
below_daemon := kernel base
below_store := daemon kernel base
below_gallery := store daemon index models train face onnx op graph kernel image base
below_jobs := gallery $(below_gallery)
below_http := jobs gallery $(below_gallery)

# Foreign libraries by the layer that includes them.
LIBS_base := -lsodium
LIBS_image := -lturbojpeg -lspng -lwebp -lexif
LIBS_kernel := -l:libopenblas.a
LIBS_daemon := -ljansson
LIBS_store := -lsqlite3 -ljansson
LIBS_gallery := -larchive -ljansson
LIBS_jobs := -ljansson
LIBS_http := -lmicrohttpd -ljansson
include index/faiss.mk
include core/models/models.mk
include server/http/openapi.mk

sources = $(sort $(wildcard $(DIR_$(1))/*.c))
objects = $(patsubst %.c,$(B)/obj/%.o,$(call sources,$(1)) $(GEN_$(1)))
archive = $(B)/lib/lib$(1).a
# All archives a layer needs, then the foreign libraries of all of them.
link_of = $(foreach l,$(1) $(below_$(1)),$(call archive,$(l)))
libs_of = $(foreach l,$(1) $(below_$(1)),$(LIBS_$(l))) -lm

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

.PHONY: all
all: $(B)/arcfaced ## build build/release/arcfaced

# ---- Compilation -----------------------------------------------------------------------------------------------------

# Objects depend on the flags: changing them rebuilds, repeating them does not.
FLAGS_FILE := $(B)/flags
FLAGS_TEXT := $(CC) $(ALL_CFLAGS) $(LDFLAGS_ALL)
$(FLAGS_FILE): force-flags
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS_TEXT)' | cmp -s - $@ || printf '%s\n' '$(FLAGS_TEXT)' > $@
.PHONY: force-flags

$(B)/obj/%.o: %.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(call flags_of,$<) -MMD -MP -c -o $@ $<

# Generated C files live under $(B)/gen and compile to $(B)/obj/gen.
$(B)/obj/gen/%.o: $(B)/gen/%.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The archive is removed first: `ar r` keeps members of files that are gone.
define LAYER_RULE
$(call archive,$(1)): $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar crs $$@ $$^
endef

# The migrations, compiled in.
GEN_SQL := $(B)/gen/migrations.c
$(GEN_SQL): $(sort $(wildcard migrations/*.sql)) migrations/embed.awk
	@mkdir -p $(@D)
	$(Q)awk -f migrations/embed.awk $(sort $(wildcard migrations/*.sql)) > $@.tmp && mv $@.tmp $@
$(B)/lib/libstore.a: $(B)/obj/gen/migrations.o

$(foreach l,$(LAYERS),$(eval $(call LAYER_RULE,$(l))))

MAIN_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard server/*.c)))
$(B)/arcfaced: $(MAIN_OBJECTS) $(call link_of,http)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(MAIN_OBJECTS) -Wl,--start-group $(call link_of,http) -Wl,--end-group $(call libs_of,http)

# ---- Tests -----------------------------------------------------------------------------------------------------------

# tests/X/Y/test_Z.c tests X/Y/Z.c and links the layer of folder X/Y.
layer_of = $(strip $(foreach l,$(LAYERS),$(if $(filter tests/$(DIR_$(l))/,$(dir $(1))),$(l))))
UNIT_SOURCES := $(sort $(foreach l,$(LAYERS),$(wildcard tests/$(DIR_$(l))/test_*.c)))
UNIT_PROGRAMS := $(patsubst %.c,$(B)/%,$(UNIT_SOURCES))
UNIT_RESULTS := $(addsuffix .tap,$(UNIT_PROGRAMS))
SHELL_TESTS := $(sort $(wildcard tests/api/*.sh))

# Helpers shared by tests live in tests/support/*.c and are linked into every test program.
SUPPORT_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/support/*.c)))

define TEST_RULE
$(B)/$(basename $(1)): $(B)/obj/$(basename $(1)).o $(SUPPORT_OBJECTS) $(call link_of,$(call layer_of,$(1)))
	@mkdir -p $$(@D)
	$$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$< $(SUPPORT_OBJECTS) -Wl,--start-group \
	    $(call link_of,$(call layer_of,$(1))) -Wl,--end-group -lcmocka $(call libs_of,$(call layer_of,$(1)))
endef
$(foreach t,$(UNIT_SOURCES),$(eval $(call TEST_RULE,$(t))))

# A result file is left by a pass only, so that a second `make test` repeats what failed or changed.
$(B)/tests/%.tap: $(B)/tests/%
	@tests/run-unit $< $@

.PHONY: test tests-built
test: dev-deps ## run every unit test and the shell tests against the real binary
	+@$(again) tests-built
tests-built: $(B)/arcfaced $(UNIT_RESULTS)
	@tests/run-shell $(B)/arcfaced $(B)/tests/api $(SHELL_TESTS)
	@tests/summary $(B)/tests $(UNIT_RESULTS)

.PHONY: unit
unit: $(UNIT_RESULTS) ## run the unit tests only
	@tests/summary $(B)/tests $(UNIT_RESULTS)

# Targets that belong to one group of tests stand beside it.
-include $(sort $(wildcard tests/*.mk docker/*.mk))

.PHONY: check-asan check-ubsan check-tsan
check-asan: ## unit and shell tests under AddressSanitizer with leak checks
	@$(MAKE) FLAVOR=asan test
check-ubsan: ## the same under UndefinedBehaviorSanitizer
	@$(MAKE) FLAVOR=ubsan test
check-tsan: ## the concurrent tests under ThreadSanitizer
	@$(MAKE) FLAVOR=tsan tsan-tests tsan-daemon

# ---- Lint ------------------------------------------------------------------------------------------------------------

C_FILES := $(sort $(wildcard $(addsuffix /*.c,$(foreach l,$(LAYERS),$(DIR_$(l))) server) \
           tests/*/*.c tests/*/*/*.c tests/*/*/*/*.c))
H_FILES := $(sort $(wildcard $(addsuffix /*.h,$(foreach l,$(LAYERS),$(DIR_$(l))) server) tests/*/*.h tests/*/*/*.h))
# Bodies that are included several times under different macros; they are no headers and do not compile alone.
BODY_FILES := $(sort $(wildcard core/kernel/*.inc))
TIDY_FILES := $(foreach l,$(LAYERS),$(call sources,$(l))) $(sort $(wildcard server/*.c))

.PHONY: lint check-fmt check-layers check-headers check-banned check-tidy fmt
lint: check-fmt check-layers check-banned check-headers check-tidy ## everything below that reads the source
	@echo "lint: clean"
fmt: ## format the source in place
	@clang-format -i $(C_FILES) $(H_FILES) $(BODY_FILES)
check-fmt: ## the source is formatted
	@clang-format --dry-run --Werror $(C_FILES) $(H_FILES) $(BODY_FILES)
check-layers: ## includes point the way ARCHITECTURE.md allows
	@awk -f tests/lint/layers.awk $(filter-out tests/%,$(C_FILES) $(H_FILES))
check-banned: ## no unsafe calls; heap, exit, getenv and printing only where they belong
	@awk -f tests/lint/banned.awk $(filter-out tests/%,$(C_FILES) $(H_FILES))
check-headers: $(patsubst %.h,$(B)/hdr/%.ok,$(filter-out tests/%,$(H_FILES))) ## every header compiles alone
$(B)/hdr/%.ok: %.h $(FLAGS_FILE)
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -x c -fsyntax-only -Wno-unused-function $< && touch $@
check-tidy: $(patsubst %.c,$(B)/tidy/%.ok,$(TIDY_FILES)) ## clang-tidy, warnings are errors
$(B)/tidy/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -I. -I$(B)/gen $(filter -m%,$(call flags_of,$<)) $(FAISS_CFLAGS) 2>$@.err >$@.out \
	    || { cat $@.out; exit 1; }
	@touch $@

# ---- Packages and running --------------------------------------------------------------------------------------------

# What `make run` starts, and where.
MODELS ?=
DETECTOR ?=
RECOGNIZER ?=
LISTEN ?= 127.0.0.1:8080
DATA ?= data
start = MODELS='$(MODELS)' DETECTOR='$(DETECTOR)' RECOGNIZER='$(RECOGNIZER)' LISTEN='$(LISTEN)' DATA='$(DATA)' docker/start

# `make run` and `make test` bring their packages and then call make once more: only then does it see what is installed.
# The second one uses every processor, unless the first was told how many.
again = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: deps dev-deps run
deps: ## install the Debian packages that are missing, and make FAISS's C library where Debian has none
	@docker/install-packages build
	@docker/faiss-c
dev-deps: ## the same, with what the tests, lint and benches need
	@docker/install-packages build test
	@docker/faiss-c
run: ## install what is missing, build and start the daemon (MODELS= DETECTOR= RECOGNIZER= LISTEN= DATA=)
	@$(start) --check
	@$(MAKE) --no-print-directory deps
	+@$(again) $(B)/arcfaced
	@$(start) $(B)/arcfaced

.PHONY: compile_commands.json
compile_commands.json: ## for editors
	@bear -- $(MAKE) -B all

.PHONY: clean
clean: ## remove the build folder
	rm -rf build

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z][a-z_.-]*:.*## /{printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

V ?= 0
Q := $(if $(filter 1,$(V)),,@)

DEPENDENCIES := $(shell find $(B)/obj -name '*.d' 2>/dev/null)
-include $(DEPENDENCIES)
