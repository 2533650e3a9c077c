# soak.mk: minutes of everything at once, at full speed: what luck must not hide.  Fails where an answer is wrong.
#
# A program tests/soak/soak_X.c links server/gallery and the layers below it and gets SOAK_S, its seconds.  tests/kill has the
# whole daemon: under load, killed, and without power, KILLS and CUTS times at moments that SEED chooses; a failure names it.
# Most of a round is waiting, for the moment and for the disk, so several go on beside each other.
#
# Two cores with much other work beside: 15 minutes, of which the two loads take 2 each, 200 kills 5, 30 cuts of either kind 3½, the
# archive 1½.
SOAK_S ?= 120
KILLS ?= 200
CUTS ?= 30
AT_ONCE ?= 4
IMPORT_FILES ?= 1000000
SEED ?= $(shell date +%s)
SOAK_PROGRAMS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/soak/soak_*.c)))
KILL_PY = $(PYTHON3) tests/kill/kill.py

$(SOAK_PROGRAMS): $(B)/%: $(B)/obj/%.o $(call link_of,gallery)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,gallery) -Wl,--end-group $(call libs_of,gallery)

.PHONY: soak soak-programs soak-load soak-kill soak-power soak-import
soak: soak-programs soak-load soak-kill soak-power soak-import ## everything at once for minutes (SOAK_S= seconds each), killed, without power
soak-programs: $(SOAK_PROGRAMS)
	@for program in $(SOAK_PROGRAMS); do $$program $(SOAK_S) || exit 1; done
soak-load: $(B)/arcfaced ## clients of the whole daemon enroll, delete, identify, look and back up for SOAK_S seconds
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && \
	    $(PYTHON3) tests/kill/load.py $< $(ARCFACED_SHARED)/models "$$folder" $(SEED) $(SOAK_S)
soak-kill: $(B)/arcfaced ## kill -9, KILLS times at random moments, of AT_ONCE daemons beside each other
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && running= && \
	    for i in $$(seq $(AT_ONCE)); do \
	        mkdir "$$folder/$$i" && { $(KILL_PY) random $< $(ARCFACED_SHARED)/models "$$folder/$$i" $$(($(SEED) + i)) \
	            $$((($(KILLS) + $(AT_ONCE) - 1) / $(AT_ONCE))) & running="$$running $$!"; }; \
	    done; failed=0; for one in $$running; do wait $$one || failed=1; done; exit $$failed
soak-power: $(B)/arcfaced ## lost power, and one failed fsync, CUTS times each, beside each other
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && mkdir "$$folder/power" "$$folder/sync" && \
	    $(CC) -D_GNU_SOURCE -std=c11 -O2 -fPIC -shared -o "$$folder/shim.so" tests/kill/disk_shim.c -ldl && running= && \
	    for mode in power sync; do \
	        $(KILL_PY) $$mode $< $(ARCFACED_SHARED)/models "$$folder/$$mode" $(SEED) $(CUTS) "$$folder/shim.so" & \
	        running="$$running $$!"; \
	    done; failed=0; for one in $$running; do wait $$one || failed=1; done; exit $$failed
soak-import: $(B)/arcfaced ## an archive of IMPORT_FILES= (1000000) empty files through the whole job, with its time and memory
	@folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && mkdir "$$folder/data" && \
	    ARCFACED=$(realpath $<) TEST_TMP="$$folder/data" FILES=$(IMPORT_FILES) bash tests/soak/soak_import.sh | tee "$$folder/said" && \
	    ! grep -q '^not ok\|^Bail out' "$$folder/said"
