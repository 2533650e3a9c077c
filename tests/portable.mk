# portable.mk: the core on processors without AVX and on another architecture, under QEMU.
#
# Cross-built for aarch64: core/base, kernel, graph, op and onnx, with arm64's OpenBLAS, libsodium and cmocka from Debian; run by
# qemu-aarch64: ARM_TESTS.  The same x86-64 programs as everywhere (BASELINE_TESTS) run on a baseline processor (no AVX), and
# the daemon's binary starts there and answers.  Left out: layers that need further libraries for arm64 (images, SQLite,
# FAISS, HTTP), what compares with the processor that QEMU hides, what takes minutes under emulation, and the float
# convolutions: their tests start threads over OpenBLAS, which QEMU's user mode does not survive on every host.
PORTABLE_LAYERS := base kernel graph op onnx
PORTABLE_PACKAGES := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libsodium-dev:arm64 \
                     libopenblas-pthread-dev:arm64 libcmocka-dev:arm64
PORTABLE_LEFT_OUT := core/base/test_cpu core/base/test_pool core/base/test_file core/onnx/test_onnx_load core/onnx/test_onnx_save \
                     core/op/test_backward core/kernel/test_conv_backward
PORTABLE_TESTS := $(filter-out $(patsubst %,tests/%.c,$(PORTABLE_LEFT_OUT)),\
                  $(foreach l,$(PORTABLE_LAYERS),$(sort $(wildcard tests/$(DIR_$(l))/test_*.c))))
# Not qemu64: it says it is an AMD, and OpenBLAS then uses 3DNow instructions that QEMU does not know.
BASELINE_CPU := Nehalem
BASELINE_TESTS := $(filter tests/core/base/%,$(PORTABLE_TESTS)) tests/core/kernel/test_kernels.c tests/core/kernel/test_batch_norm.c \
                  tests/core/kernel/test_conv_byte.c tests/core/kernel/test_conv_int.c tests/core/onnx/test_byte_layers.c
ARM_TESTS := $(filter tests/core/base/%,$(PORTABLE_TESTS)) tests/core/kernel/test_batch_norm.c

ARM := build/arm64
ARM_CC := aarch64-linux-gnu-gcc
ARM_LIBS := -L/usr/lib/aarch64-linux-gnu -Wl,-rpath-link,/usr/lib/aarch64-linux-gnu -lcmocka -l:libopenblas.a -lsodium -lm

.PHONY: portable-deps check-portable check-arm64 check-baseline
portable-deps: ## install what check-portable needs (adds the architecture arm64 to dpkg)
	@missing=; for p in $(PORTABLE_PACKAGES); do dpkg-query -W $$p >/dev/null 2>&1 || missing=1; done; \
	[ -z "$$missing" ] || { dpkg --add-architecture arm64 && apt-get update -q && \
	    apt-get install -y -q --no-install-recommends $(PORTABLE_PACKAGES); }

# Another make, so that one tree's rules serve both machines; FLAVOR names the folder.
check-arm64: ## the core's unit tests, cross-built for aarch64, under QEMU
	@$(MAKE) --no-print-directory B=$(ARM) CC=$(ARM_CC) WERROR= ISA_avx2= ISA_avx512= ISA_vnni= arm64-tests
.PHONY: arm64-tests
arm64-tests: $(foreach l,$(PORTABLE_LAYERS),$(call archive,$(l))) $(patsubst %.c,$(B)/%.arm.tap,$(ARM_TESTS))
	@tests/summary $(B)/tests/core $(patsubst %.c,$(B)/%.arm.tap,$(ARM_TESTS))

define ARM_RULE
$(ARM)/$(basename $(1)).arm: $(ARM)/obj/$(basename $(1)).o $(patsubst $(B)/%,$(ARM)/%,$(SUPPORT_OBJECTS)) \
    $(patsubst $(B)/%,$(ARM)/%,$(call link_of,$(call layer_of,$(1))))
	@mkdir -p $$(@D)
	$$(Q)$(ARM_CC) -pthread -pie -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(ARM_LIBS)
$(ARM)/$(basename $(1)).arm.tap: $(ARM)/$(basename $(1)).arm
	@RUNNER="qemu-aarch64 -cpu cortex-a57 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu" \
	    tests/run-unit $$< $$@
endef
$(foreach t,$(ARM_TESTS),$(eval $(call ARM_RULE,$(t))))

check-baseline: $(patsubst %.c,$(B)/%.baseline.tap,$(BASELINE_TESTS)) $(B)/arcfaced ## the same tests, and the binary, on an x86-64 without AVX
	@tests/summary $(B)/tests/core $(patsubst %.c,$(B)/%.baseline.tap,$(BASELINE_TESTS))
	@ARCFACED=$(B)/arcfaced CPU=$(BASELINE_CPU) bash tests/portable.sh
$(B)/tests/%.baseline.tap: $(B)/tests/%
	@RUNNER="qemu-x86_64 -cpu $(BASELINE_CPU)" tests/run-unit $< $@

check-portable: portable-deps ## both
	@$(MAKE) --no-print-directory check-arm64
	@$(MAKE) --no-print-directory check-baseline
