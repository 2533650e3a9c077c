# fuzz.mk: libFuzzer targets over untrusted bytes; needs clang.  FUZZ_SECONDS bounds each.  A crash leaves its input in
# $(B)/fuzz; it then belongs into tests/crashers/<name>, where the unit test of that folder picks it up.

FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang
FUZZ_FLAGS := -std=c11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address -fno-omit-frame-pointer -pthread

$(B)/fuzz/fuzz_image: tests/fuzz/fuzz_image.c $(call sources,image) $(call sources,base) $(wildcard core/image/*.h core/base/*.h)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) $(call libs_of,image)

# New inputs are kept in the build folder; the seeds in tests/fuzz/corpus are one small photo of each kind.
.PHONY: fuzz-image
fuzz-image: $(B)/fuzz/fuzz_image ## fuzz the image decoders for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/image-corpus
	@$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/image- $(B)/fuzz/image-corpus tests/fuzz/corpus/image tests/crashers/image
