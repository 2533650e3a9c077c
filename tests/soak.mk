# soak.mk: minutes of everything at once, at full speed: what luck must not hide.  Fails where an answer is wrong.
#
# A program tests/soak/soak_X.c links server/gallery and the layers below it and gets SOAK_S, its seconds.  tests/kill has the
# whole daemon: under load, killed, and without power, KILLS and CUTS times at moments that SEED chooses; a failure names it.
SOAK_S ?= 120
KILLS ?= 200
CUTS ?= 30
SEED ?= $(shell date +%s)
SOAK_PROGRAMS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/soak/soak_*.c)))
KILL_PY = $(PYTHON3) tests/kill/kill.py

$(SOAK_PROGRAMS): $(B)/%: $(B)/obj/%.o $(call link_of,gallery)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,gallery) -Wl,--end-group $(call libs_of,gallery)

.PHONY: soak soak-programs soak-load soak-kill soak-power
soak: soak-programs soak-load soak-kill soak-power ## everything at once for minutes (SOAK_S= seconds each), killed, without power
soak-programs: $(SOAK_PROGRAMS)
	@for program in $(SOAK_PROGRAMS); do $$program $(SOAK_S) || exit 1; done
soak-load: $(B)/arcfaced ## clients of the whole daemon enroll, delete, identify, look and back up for SOAK_S seconds
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && \
	    $(PYTHON3) tests/kill/load.py $< $(ARCFACED_SHARED)/models "$$folder" $(SEED) $(SOAK_S)
soak-kill: $(B)/arcfaced ## kill -9, KILLS times at random moments
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && \
	    $(KILL_PY) random $< $(ARCFACED_SHARED)/models "$$folder" $(SEED) $(KILLS)
soak-power: $(B)/arcfaced ## lost power, and one failed fsync, CUTS times each
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && mkdir "$$folder/a" "$$folder/b" && \
	    $(CC) -D_GNU_SOURCE -std=c11 -O2 -fPIC -shared -o "$$folder/shim.so" tests/kill/disk_shim.c -ldl && \
	    $(KILL_PY) power $< $(ARCFACED_SHARED)/models "$$folder/a" $(SEED) $(CUTS) "$$folder/shim.so" && \
	    $(KILL_PY) sync $< $(ARCFACED_SHARED)/models "$$folder/b" $(SEED) $(CUTS) "$$folder/shim.so"
