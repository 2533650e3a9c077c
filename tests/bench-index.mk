# bench-index.mk: the index against FAISS and hnswlib, on synthetic faces, in one process and in turns.
#
# INDEX_SIZES and INDEX_DIMS say on how many faces of how many dimensions; the graphs are built up to INDEX_PEERS faces, which
# at 100,000 takes minutes.
INDEX_SIZES ?= 10000 100000 1000000
INDEX_DIMS ?= 512 128
INDEX_PEERS ?= 10000

# libgfortran: training an inverted file reaches the Fortran part of OpenBLAS.
$(B)/obj/tests/bench/index/hnswlib_peer.o: tests/bench/index/hnswlib_peer.cpp $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)g++ -std=c++17 -I. -O3 -mavx2 -mfma -g -fPIE -pthread -c -o $@ $<

BENCH_INDEX_OBJECTS := $(patsubst tests/%.c,$(B)/obj/tests/%.o,$(sort $(wildcard tests/bench/index/*.c))) \
                       $(B)/obj/tests/bench/index/hnswlib_peer.o
$(B)/tests/bench/index/bench_index: $(BENCH_INDEX_OBJECTS) $(call link_of,index)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(BENCH_INDEX_OBJECTS) -Wl,--start-group $(call link_of,index) -Wl,--end-group \
	    $(call libs_of,index) -l:libgfortran.so.5

.PHONY: bench-index
bench-index: $(B)/tests/bench/index/bench_index ## the index against FAISS Flat, HNSW32, IVF,SQ8 and hnswlib (INDEX_SIZES= INDEX_DIMS= INDEX_PEERS=)
	@for dim in $(INDEX_DIMS); do for n in $(INDEX_SIZES); do $< $$dim $$n $(INDEX_PEERS) || exit 1; done; done
