# bench-gallery.mk: a daemon with a full gallery: how fast it starts, in how much memory, and what it answers a second.
#
# START_FACES and HTTP_FACES say how many; a million faces of 512 numbers are 2.4 GB of rows and as many of files, made anew
# each time, which takes minutes.
START_FACES ?= 1000000
HTTP_FACES ?= 100000

$(B)/tests/bench/gallery/enroll_rows: $(B)/obj/tests/bench/gallery/enroll_rows.o $(B)/obj/tests/bench/index/faces.o $(call link_of,store)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(B)/obj/tests/bench/index/faces.o -Wl,--start-group $(call link_of,store) \
	    -Wl,--end-group $(call libs_of,store)

# A command of the shell, for bench-index too.
BENCH_START = FACES=$(START_FACES) ARCFACED=$(abspath $(B)/arcfaced) FILL=$(B)/tests/bench/gallery/enroll_rows bash tests/bench/gallery/start.sh

.PHONY: bench-start bench-http
bench-start: $(B)/arcfaced $(B)/tests/bench/gallery/enroll_rows ## time and memory from the start to the first answer (START_FACES=)
	@$(BENCH_START)
bench-http: $(B)/arcfaced $(B)/tests/bench/gallery/enroll_rows ## identifications a second over a full gallery, beside a writer (HTTP_FACES=)
	@FACES=$(HTTP_FACES) ARCFACED=$(realpath $(B)/arcfaced) FILL=$(B)/tests/bench/gallery/enroll_rows bash tests/bench/gallery/http.sh
