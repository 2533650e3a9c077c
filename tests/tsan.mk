# tsan.mk: the concurrent tests, which `make check-tsan` builds and runs under ThreadSanitizer.
#
# A unit test named test_*_threads.c is one; so are the programs whose sources another fragment adds to TSAN_TESTS.
# OpenBLAS, FAISS and OpenMP are not instrumented: each runs on the calling thread alone, so nothing of theirs is shared but
# what our own locks guard.
TSAN_TESTS += $(filter %_threads.c,$(UNIT_SOURCES))

.SECONDEXPANSION:
.PHONY: tsan-tests
tsan-tests: $$(patsubst %.c,$$(B)/%.tap,$$(sort $$(TSAN_TESTS)))
	@tests/summary $(B)/tests $^

# What CI has time for: the index, whose locks are the most delicate.
.PHONY: check-tsan-index
check-tsan-index: ## the threads of the index under ThreadSanitizer
	@$(MAKE) FLAVOR=tsan tsan-index
tsan-index: $(B)/tests/index/test_index_threads.tap
	@tests/summary $(B)/tests $^
