# tsan.mk: the concurrent tests, which `make check-tsan` builds and runs under ThreadSanitizer.
#
# A unit test named test_*_threads.c is one; so are the programs whose sources another fragment adds to TSAN_TESTS.
# OpenBLAS, FAISS and OpenMP are not instrumented: each runs on the calling thread alone, so nothing of theirs is shared but
# what our own locks guard.
TSAN_TESTS += $(filter %_threads.c,$(UNIT_SOURCES)) tests/core/base/test_pool.c

.SECONDEXPANSION:
.PHONY: tsan-tests
tsan-tests: $$(patsubst %.c,$$(B)/%.tap,$$(sort $$(TSAN_TESTS)))
	@tests/summary $(B)/tests $^

# The whole daemon: enrolments, deletions, searches with and without filters, rewriting, files, backups.  A race is an exit status.
TSAN_S ?= 20
.PHONY: check-tsan-daemon tsan-daemon
check-tsan-daemon: ## the whole daemon under ThreadSanitizer, under load for TSAN_S= seconds
	@$(MAKE) FLAVOR=tsan tsan-daemon
tsan-daemon: $(B)/arcfaced
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && mkdir "$$folder/work" && \
	{ TSAN_OPTIONS="log_path=$$folder/race" $(PYTHON3) tests/kill/load.py $< $(ARCFACED_SHARED)/models "$$folder/work" 1 $(TSAN_S) || \
	    { cat "$$folder"/race* 2>/dev/null | head -200; exit 1; }; }

# What CI has time for: the index, whose locks are the most delicate.
.PHONY: check-tsan-index
check-tsan-index: ## the threads of the index under ThreadSanitizer
	@$(MAKE) FLAVOR=tsan tsan-index
tsan-index: $(addprefix $(B)/tests/index/,test_index_threads.tap test_index_ids.tap)
	@tests/summary $(B)/tests $^
