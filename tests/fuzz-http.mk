# fuzz-http.mk: libFuzzer over what the network sends: multipart bodies, JSON, targets (settings as in fuzz.mk).
FUZZ_HTTP := $(B)/fuzz/fuzz_multipart $(B)/fuzz/fuzz_json
$(FUZZ_HTTP): $(B)/fuzz/%: tests/fuzz/%.c server/http/multipart.c server/http/json.c server/http/request.c $(call sources,base)
	@mkdir -p $(@D)
	$(Q)$(or $(FUZZ_CC),clang) -std=c11 -D_GNU_SOURCE -I. -O1 -g -fsanitize=fuzzer,address,undefined -pthread \
	    -o $@ $(filter %.c,$^) -ljansson -lsodium -lm

.PHONY: fuzz-http
fuzz-http: $(FUZZ_HTTP) ## fuzz multipart, JSON and targets for FUZZ_SECONDS each
	@for f in multipart json; do mkdir -p $(B)/fuzz/$$f-corpus; \
	    $(B)/fuzz/fuzz_$$f -max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=4096 -timeout=20 \
	    -artifact_prefix=$(B)/fuzz/$$f- $(B)/fuzz/$$f-corpus tests/fuzz/corpus/$$f || exit 1; done
