# fuzz-import.mk: libFuzzer over lines to import, with a gallery behind them (settings as in fuzz.mk).
$(B)/fuzz/fuzz_import_lines: tests/fuzz/fuzz_import_lines.c server/gallery/import.c server/gallery/import_lines.c $(call link_of,gallery)
	@mkdir -p $(@D)
	$(Q)$(or $(FUZZ_CC),clang) -std=c11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined -pthread \
	    -o $@ $(filter %.c,$^) -Wl,--start-group $(call link_of,gallery) -Wl,--end-group $(call libs_of,gallery) -lcmocka

.PHONY: fuzz-import
fuzz-import: $(B)/fuzz/fuzz_import_lines ## fuzz the lines of imports for FUZZ_SECONDS
	@mkdir -p $(B)/fuzz/import-corpus
	@$< -max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/import- $(B)/fuzz/import-corpus tests/fuzz/corpus/import
