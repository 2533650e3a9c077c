# bench-index.mk: the index against FAISS and hnswlib, on synthetic faces, in one process and in turns.
#
# INDEX_SIZES and INDEX_DIMS say on how many faces of how many dimensions.  The peers are built once, as many at a time as there
# are cores, and kept in the build folder; a graph over a million faces takes an hour, so those are left out unless INDEX_PEERS
# says up to how many faces graphs are built (INDEX_PEERS=1000000: all of them but FAISS's HNSW32, which takes hours there).
#
# With a million among the sizes the daemon's start is timed at the end.  It succeeds only where all that is required was measured:
# it fails with 1 where something is not reached, and else with 3 where something is missing (a peer, FAISS for AVX2, wrk), and says which.
#
# Two idle cores: some 10 minutes, and once before that 3 for the peers, of which hnswlib and HNSW32 over 100,000 faces of 512
# dimensions take 136 and 101 s of CPU; beside other work twice that.
INDEX_SIZES ?= 10000 100000 1000000
INDEX_DIMS ?= 512 128
INDEX_PEERS ?= 100000
PEER_FOLDER := $(B)/peers

# As a user who cares for speed compiles it.
$(B)/obj/tests/bench/index/hnswlib_peer.o: tests/bench/index/hnswlib_peer.cpp $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)g++ -std=c++17 -I. -O3 -march=native -g -fPIE -pthread -c -o $@ $<

# FAISS built for AVX2 stands in for Debian's package, which is built for SSE2, if docker/faiss-c --avx2 has made it.
FAISS_AVX2 := $(wildcard $(FAISS_CACHE)/faiss-$(FAISS_VERSION)/libfaiss_avx2.a)
$(B)/obj/tests/bench/index/bench_index.o: ALL_CFLAGS += '-DBENCH_FAISS="$(if $(FAISS_AVX2),AVX2,SSE2 as packaged)"'
INDEX_BENCH_SHARED := $(patsubst %,$(B)/obj/tests/bench/index/%.o,faces memory peers hnswlib_peer)

$(B)/tests/bench/index/%: $(B)/obj/tests/bench/index/%.o $(INDEX_BENCH_SHARED) $(call link_of,index) $(FAISS_AVX2)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(INDEX_BENCH_SHARED) -Wl,--start-group $(call link_of,index) -Wl,--end-group \
	    $(if $(FAISS_AVX2),$(subst -lfaiss ,$(FAISS_AVX2) ,$(call libs_of,index)),$(call libs_of,index))

.PHONY: bench-index index-peers
index-peers: $(B)/tests/bench/index/build_peer
	@mkdir -p $(PEER_FOLDER)
	@for dim in $(INDEX_DIMS); do for n in $(INDEX_SIZES); do \
	    [ $$n -gt $(INDEX_PEERS) ] && continue; \
	    for kind in 1 2 3; do \
	        [ $$kind = 1 ] && [ $$n -gt 100000 ] && continue; \
	        echo $$kind $$dim $$n; \
	    done; done; done | sort -k3,3nr -k2,2nr -k1,1n | xargs -r -n 3 -P $$(nproc) sh -c '$< $$0 $$1 $$2 $(PEER_FOLDER)'
bench-index: $(B)/arcfaced $(B)/tests/bench/gallery/enroll_rows $(addprefix $(B)/tests/bench/index/,bench_index bench_candidates) index-peers ## the index against FAISS Flat, HNSW32, IVF,SQ8 and hnswlib (INDEX_SIZES= INDEX_DIMS= INDEX_PEERS=)
	@failed=0; missing=0; judge() { case $$1 in 0) ;; 3) missing=3 ;; *) failed=1 ;; esac; }; \
	for dim in $(INDEX_DIMS); do for n in $(INDEX_SIZES); do \
	    $(B)/tests/bench/index/bench_index $$dim $$n $(PEER_FOLDER); judge $$?; \
	done; done; \
	ARCFACED=$(B)/arcfaced CANDIDATES=$(B)/tests/bench/index/bench_candidates bash tests/bench/index/lfw.sh; judge $$?; \
	$(if $(filter 1000000,$(INDEX_SIZES)),SKIPPED=3 $(BENCH_START); judge $$?;) \
	[ $$failed = 0 ] || exit $$failed; exit $$missing
