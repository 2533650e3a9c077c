# smoke.mk: the README's calls, verbatim, against the real binary.
.PHONY: smoke
smoke: $(B)/arcfaced ## run the README's calls against the real binary (ARCFACED_SHARED has models and photos)
	@mkdir -p $(B)/tests/smoke
	@tests/smoke.sh $(B)/arcfaced README.md > $(B)/tests/smoke/readme.tap; cat $(B)/tests/smoke/readme.tap
	@tests/summary $(B)/tests/smoke $(B)/tests/smoke/readme.tap || grep -q '^ok 1 # SKIP' $(B)/tests/smoke/readme.tap
