# fuzz-safetensors.mk: libFuzzer (clang) against the reader of safetensors files.  A crash lies in
# $(B)/fuzz/safetensors-crashes and belongs into a row of tests/core/onnx/test_safetensors.c.  FUZZ_SECONDS bounds the time.

FUZZ_SECONDS ?= 60
FUZZ_SAFETENSORS_SOURCES := tests/fuzz/fuzz_safetensors.c core/onnx/safetensors.c core/graph/tensor.c $(call sources,base)
FUZZ_SAFETENSORS_OBJECTS := $(patsubst %.c,$(B)/fuzz/obj/%.o,$(FUZZ_SAFETENSORS_SOURCES))

$(B)/fuzz/fuzz_safetensors: $(FUZZ_SAFETENSORS_OBJECTS)
	$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LIBS_base) -lm

.PHONY: fuzz-safetensors
fuzz-safetensors: $(B)/fuzz/fuzz_safetensors ## fuzz the reader of safetensors files for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/safetensors-corpus $(B)/fuzz/safetensors-crashes
	nice $< -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/safetensors-crashes/ $(B)/fuzz/safetensors-corpus tests/fuzz/corpus/safetensors
