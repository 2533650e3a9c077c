# fuzz-onnx.mk: libFuzzer (clang) against the ONNX loader and what runs behind it.
#
# Starts from the standard's small cases, where they are installed; a crash lies in $(B)/fuzz/onnx-crashes and belongs into
# tests/crashers/onnx, which `make test` replays.  FUZZ_SECONDS bounds the time.

FUZZ_SECONDS ?= 60
FUZZ_ONNX_LAYERS := onnx op graph kernel base
FUZZ_ONNX_SOURCES := tests/fuzz/fuzz_onnx.c $(foreach l,$(FUZZ_ONNX_LAYERS),$(call sources,$(l)))
FUZZ_ONNX_OBJECTS := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(FUZZ_ONNX_SOURCES))
FUZZ_ONNX_FLAGS := -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)clang -std=c11 -D_GNU_SOURCE -I. $(FUZZ_ONNX_FLAGS) $(call flags_of,$<) -pthread -MMD -MP -c -o $@ $<

$(B)/fuzz/fuzz_onnx: $(FUZZ_ONNX_OBJECTS)
	$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LIBS_kernel) $(LIBS_base) -lm

.PHONY: fuzz-onnx
fuzz-onnx: $(B)/fuzz/fuzz_onnx ## fuzz the ONNX loader for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/onnx-corpus $(B)/fuzz/onnx-crashes
	@for model in /usr/share/libonnx-testdata/data/*/*/model.onnx tests/crashers/onnx/*; do \
	    if [ -f "$$model" ] && [ "$$(stat -c %s "$$model")" -le 4096 ]; then \
	        cp "$$model" "$(B)/fuzz/onnx-corpus/$$(sha256sum < "$$model" | cut -c1-16)"; \
	    fi; \
	done
	nice $< -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/onnx-crashes/ $(B)/fuzz/onnx-corpus

-include $(wildcard $(FUZZ_ONNX_OBJECTS:.o=.d))
