# bench-commits.mk: how many enrolments a second are on the disk, one by one and many at once.

BENCH_COMMITS := $(B)/tests/bench/store/bench_commits
$(BENCH_COMMITS): $(B)/obj/tests/bench/store/bench_commits.o $(call link_of,store)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,store) -Wl,--end-group $(call libs_of,store)

.PHONY: bench-commits
bench-commits: $(BENCH_COMMITS) ## durable enrolments per second, on the disk of DISK=folder (default: the build folder)
	@folder=$$(mktemp -d -p "$(or $(DISK),$(B))") && trap "rm -rf $$folder" EXIT && $< "$$folder" $(SECONDS_EACH)
