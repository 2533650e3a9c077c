# real.mk: tests on real models and real photos, which lie outside the repository (ARCFACED_SHARED).

REAL_SOURCES := $(sort $(wildcard tests/real/test_*.c))
REAL_PROGRAMS := $(patsubst %.c,$(B)/%,$(REAL_SOURCES))
REAL_SHELL := $(sort $(wildcard tests/real/*.sh))

REAL_ARCHIVES := $(call archive,models) $(call link_of,train)

$(REAL_PROGRAMS): $(B)/%: $(B)/obj/%.o $(REAL_ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(REAL_ARCHIVES) -Wl,--end-group -lcmocka -ljansson \
	    $(call libs_of,train)

# Always run: a pass of yesterday says nothing about the models of today.
.PHONY: test-real
test-real: $(B)/arcfaced $(REAL_PROGRAMS) ## the same numbers as the reference, LFW, and people in the wild over HTTP
	@for program in $(REAL_PROGRAMS); do tests/run-unit $$program $$program.tap; done
	@tests/run-shell $(B)/arcfaced $(B)/tests/real/api $(REAL_SHELL)
	@grep -h '^# ' $(addsuffix .tap,$(REAL_PROGRAMS)) $(B)/tests/real/api/*.tap 2>/dev/null || true
	@tests/summary $(B)/tests/real $(addsuffix .tap,$(REAL_PROGRAMS))
