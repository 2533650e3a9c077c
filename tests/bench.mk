# bench.mk: how long things take.  Prints lines, fails only where a result is wrong.
#
# A program tests/bench/bench_X.c links core/train and the layers below it.  What needs the daemon is a script
# tests/bench/bench_X.sh, which gets the binary in ARCFACED.

BENCH_PROGRAMS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/bench/bench_*.c)))
BENCH_SCRIPTS := $(sort $(wildcard tests/bench/bench_*.sh))

$(BENCH_PROGRAMS): $(B)/%: $(B)/obj/%.o $(call link_of,train)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,train) -Wl,--end-group -ljansson \
	    $(call libs_of,train)

.PHONY: bench
bench: $(B)/arcfaced $(BENCH_PROGRAMS) ## time per stage of a photo, requests per second of the daemon
	@for program in $(BENCH_PROGRAMS); do $$program || exit 1; done
	@for script in $(BENCH_SCRIPTS); do ARCFACED=$$(realpath $(B)/arcfaced) bash $$script || exit 1; done
