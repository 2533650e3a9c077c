# tables.mk: the paper's tables in miniature: an hour on two cores, resumable; never part of the tests.
TABLES ?= losses noise purify scale distill
.PHONY: tables
tables: $(B)/arcfaced ## the paper's tables in miniature, into build/tables: losses, noise, purify, scale, distill (TABLES= SEEDS=)
	@$(PYTHON3) tests/tables/tables.py $(B)/arcfaced build/tables $(TABLES) print
