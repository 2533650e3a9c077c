# fuzz-unpack.mk: libFuzzer over archives to import (settings as in fuzz.mk).
$(B)/fuzz/fuzz_unpack: tests/fuzz/fuzz_unpack.c server/gallery/unpack.c $(call link_of,store)
	@mkdir -p $(@D)
	$(Q)$(or $(FUZZ_CC),clang) -std=c11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined -pthread \
	    -o $@ $(filter %.c,$^) -Wl,--start-group $(call link_of,store) -Wl,--end-group -larchive $(call libs_of,store)

.PHONY: fuzz-unpack
fuzz-unpack: $(B)/fuzz/fuzz_unpack ## fuzz the archives of imports for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/unpack-corpus
	@$< -max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/unpack- $(B)/fuzz/unpack-corpus tests/fuzz/corpus/unpack
