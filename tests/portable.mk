# portable.mk: on processors without AVX and on another architecture, under QEMU.
#
# Cross-built for aarch64 with arm64's libraries from Debian: the core's unit tests are run by qemu-aarch64, and the daemon enrolls
# and identifies there.  The same x86-64 programs as everywhere, and those of the index, run on a baseline processor (no AVX), and the
# daemon does the same there.  Left out: on arm64 the unit tests of the layers above the core; and what compares with the processor that
# QEMU hides (test_cpu), what is about files (test_file, test_index_files, test_segment_file), and what takes many minutes there: the
# gradients, which only training needs, all ways of the index in one program (test_index_ways), and a million matches (test_index_misses).  TEST_BRIEF lets tests leave
# out cases that are large and nothing else.  OpenBLAS gets one thread: its threads wait for each other by spinning.
#
# The programs find the libraries where Debian puts arm64's.  Not those of the cross compiler (qemu -L): its loader and the C library of
# arm64's packages are of different builds, and a mixture hangs when the first thread starts.
PORTABLE_LAYERS := base image kernel graph op onnx face
PORTABLE_PACKAGES := gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libc6:arm64 libstdc++6:arm64 \
                     libgomp1:arm64 libsodium-dev:arm64 libopenblas-pthread-dev:arm64 libcmocka-dev:arm64 \
                     libturbojpeg0-dev:arm64 libspng-dev:arm64 libwebp-dev:arm64 libexif-dev:arm64 libmicrohttpd-dev:arm64 \
                     libfaiss-dev:arm64 libsqlite3-dev:arm64 libjansson-dev:arm64 libarchive-dev:arm64 \
                     libcurl4-openssl-dev:arm64
PORTABLE_LEFT_OUT := core/base/test_cpu core/base/test_file core/op/test_backward core/kernel/test_conv_backward \
                     core/kernel/test_conv_learn core/kernel/test_elementwise_backward
PORTABLE_TESTS := $(filter-out $(patsubst %,tests/%.c,$(PORTABLE_LEFT_OUT)),\
                  $(foreach l,$(PORTABLE_LAYERS),$(sort $(wildcard tests/$(DIR_$(l))/test_*.c))))
# Not qemu64: it says it is an AMD, and OpenBLAS then uses 3DNow instructions that QEMU does not know.
BASELINE_CPU := Nehalem
BASELINE_TESTS := $(PORTABLE_TESTS) $(filter-out tests/index/test_index_files.c tests/index/test_segment_file.c tests/index/test_index_ways.c \
                  tests/index/test_index_misses.c,\
                  $(sort $(wildcard tests/index/test_*.c)))

EMULATED := -E OPENBLAS_NUM_THREADS=1 -E TEST_BRIEF=1

ARM := build/arm64
ARM_CC := aarch64-linux-gnu-gcc
ARM_QEMU := qemu-aarch64 -cpu cortex-a57
ARM_LINK := -L/usr/lib/aarch64-linux-gnu -Wl,-rpath-link,/usr/lib/aarch64-linux-gnu
ARM_LIBS := $(ARM_LINK) -lcmocka -l:libopenblas.a -lturbojpeg -lspng -lwebp -lexif -lsodium -lm

.PHONY: portable-deps check-portable check-arm64 check-baseline
portable-deps: ## install what check-portable needs (adds the architecture arm64 to dpkg)
	@missing=; for p in $(PORTABLE_PACKAGES); do dpkg-query -W $$p >/dev/null 2>&1 || missing=1; done; \
	[ -z "$$missing" ] || { dpkg --add-architecture arm64 && apt-get update -q && \
	    apt-get install -y -q --no-install-recommends $(PORTABLE_PACKAGES); }

# Another make, so that one tree's rules serve both machines; FLAVOR names the folder.
check-arm64: ## the core's unit tests, and the binary, cross-built for aarch64, under QEMU
	@FAISS_ARCH=arm64 CXX=aarch64-linux-gnu-g++ docker/faiss-c
	@$(MAKE) --no-print-directory B=$(ARM) CC=$(ARM_CC) FAISS_ARCH=arm64 LDFLAGS='$(ARM_LINK)' WERROR= ISA_avx2= ISA_avx512= ISA_vnni= ISA_vbmi= \
	    arm64-tests
.PHONY: arm64-tests
arm64-tests: $(patsubst %.c,$(B)/%.arm.tap,$(PORTABLE_TESTS)) $(B)/arcfaced
	@tests/summary $(B)/tests/core $(patsubst %.c,$(B)/%.arm.tap,$(PORTABLE_TESTS))
	@ARCFACED=$(B)/arcfaced QEMU='$(ARM_QEMU) -E OPENBLAS_NUM_THREADS=1' KERNELS=neon bash tests/portable.sh

define ARM_RULE
$(ARM)/$(basename $(1)).arm: $(ARM)/obj/$(basename $(1)).o $(patsubst $(B)/%,$(ARM)/%,$(SUPPORT_OBJECTS)) \
    $(patsubst $(B)/%,$(ARM)/%,$(call link_of,$(call layer_of,$(1))))
	@mkdir -p $$(@D)
	$$(Q)$(ARM_CC) -pthread -pie -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(ARM_LIBS)
$(ARM)/$(basename $(1)).arm.tap: $(ARM)/$(basename $(1)).arm
	@RUNNER="$(ARM_QEMU) $(EMULATED)" tests/run-unit $$< $$@
endef
$(foreach t,$(PORTABLE_TESTS),$(eval $(call ARM_RULE,$(t))))

check-baseline: $(patsubst %.c,$(B)/%.baseline.tap,$(BASELINE_TESTS)) $(B)/arcfaced ## the same tests, and the binary, on an x86-64 without AVX
	@tests/summary $(B)/tests/core $(patsubst %.c,$(B)/%.baseline.tap,$(BASELINE_TESTS))
	@ARCFACED=$(B)/arcfaced QEMU='qemu-x86_64 -cpu $(BASELINE_CPU)' KERNELS=portable bash tests/portable.sh
$(B)/tests/%.baseline.tap: $(B)/tests/%
	@RUNNER="qemu-x86_64 -cpu $(BASELINE_CPU) $(EMULATED)" tests/run-unit $< $@

check-portable: portable-deps ## both
	@$(MAKE) --no-print-directory check-arm64
	@$(MAKE) --no-print-directory check-baseline
