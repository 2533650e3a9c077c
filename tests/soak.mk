# soak.mk: minutes of everything at once, at full speed: what luck must not hide.  Fails where an answer is wrong.
#
# A program tests/soak/soak_X.c links server/gallery and the layers below it and gets SOAK_S, its seconds.
SOAK_S ?= 120
SOAK_PROGRAMS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/soak/soak_*.c)))

$(SOAK_PROGRAMS): $(B)/%: $(B)/obj/%.o $(call link_of,gallery)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,gallery) -Wl,--end-group $(call libs_of,gallery)

.PHONY: soak
soak: $(SOAK_PROGRAMS) ## everything at once for minutes (SOAK_S= seconds each)
	@for program in $(SOAK_PROGRAMS); do $$program $(SOAK_S) || exit 1; done
