# fuzz-onnx-save.mk: libFuzzer (clang) against saving what loads; starts from the standard's small cases as fuzz-onnx does.
# A crash lies in $(B)/fuzz/onnx-save-crashes.  FUZZ_SECONDS bounds the time.

FUZZ_SECONDS ?= 60
FUZZ_SAVE_SOURCES := tests/fuzz/fuzz_onnx_save.c $(foreach l,onnx op graph kernel base,$(call sources,$(l)))
FUZZ_SAVE_OBJECTS := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(FUZZ_SAVE_SOURCES))

$(B)/fuzz/fuzz_onnx_save: $(FUZZ_SAVE_OBJECTS)
	$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LIBS_kernel) $(LIBS_base) -lm

.PHONY: fuzz-onnx-save
fuzz-onnx-save: $(B)/fuzz/fuzz_onnx_save ## fuzz saving ONNX files for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/onnx-save-corpus $(B)/fuzz/onnx-save-crashes
	@for model in /usr/share/libonnx-testdata/data/*/*/model.onnx; do \
	    if [ -f "$$model" ] && [ "$$(stat -c %s "$$model")" -le 4096 ]; then \
	        cp "$$model" "$(B)/fuzz/onnx-save-corpus/$$(sha256sum < "$$model" | cut -c1-16)"; \
	    fi; \
	done
	nice $< -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/onnx-save-crashes/ $(B)/fuzz/onnx-save-corpus
