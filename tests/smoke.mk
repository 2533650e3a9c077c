# smoke.mk: the README's calls, verbatim, against the real binary; and everything that a clone can do by itself.
.PHONY: smoke
smoke: $(B)/arcfaced ## run the README's calls against the real binary
	@mkdir -p $(B)/tests/smoke
	@tests/smoke.sh $(B)/arcfaced README.md > $(B)/tests/smoke/readme.tap; cat $(B)/tests/smoke/readme.tap
	@tests/summary $(B)/tests/smoke $(B)/tests/smoke/readme.tap

# Without ARCFACED_SHARED: the networks inside the program, the faces that the project made.  The tests that kill the daemon are left out:
# they enroll vectors and no photos, and would do the same twice.
ALONE = $(filter-out tests/api/43_% tests/api/44_%,$(SHELL_TESTS))
.PHONY: test-alone
test-alone: $(B)/arcfaced ## the shell tests and the README's calls as in a clone without models and photos beside it
	@mkdir -p $(B)/tests/alone
	@ARCFACED_SHARED=$(B)/none tests/run-shell $< $(B)/tests/alone/api $(ALONE)
	@ARCFACED_SHARED=$(B)/none tests/smoke.sh $< README.md > $(B)/tests/alone/readme.tap || true
	@tests/summary $(B)/tests/alone $(B)/tests/alone/readme.tap
