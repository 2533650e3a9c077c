# bench-filter.mk: how fast a filter of metadata is, of which nothing is kept yet.
FILTER_SUBJECTS ?= 250000
FILTER_MS ?= 200

BENCH_FILTER := $(B)/tests/bench/store/bench_filter
$(BENCH_FILTER): $(B)/obj/tests/bench/store/bench_filter.o $(call link_of,store)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,store) -Wl,--end-group $(call libs_of,store)

.PHONY: bench-filter
bench-filter: $(BENCH_FILTER) ## the faces that a filter lets pass, among FILTER_SUBJECTS= (250000) people; fails above FILTER_MS=
	@folder=$$(mktemp -d -p "$(B)") && trap "rm -rf $$folder" EXIT && $< "$$folder" $(FILTER_SUBJECTS) $(FILTER_MS)
