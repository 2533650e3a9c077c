# bench-train.mk: training steps beside im2col with OpenBLAS, oneDNN and PyTorch (Debian's libdnnl-dev and python3-torch; what is
# not installed is passed over).  All ways take turns, three times over; the best of each is compared.
# It takes ten minutes; BENCH_TRAIN_NETWORKS= and BENCH_TRAIN_THREADS= do less.

BENCH_TRAIN := $(B)/tests/bench/train/bench_train
BENCH_TRAIN_OBJECTS := $(patsubst %,$(B)/obj/tests/bench/train/%.o,bench_train peer_onednn)
BENCH_TRAIN_NETWORKS ?= r18 mbf
BENCH_TRAIN_THREADS ?= 1 2
BENCH_TRAIN_ROUNDS ?= 1

$(BENCH_TRAIN): $(BENCH_TRAIN_OBJECTS) $(call link_of,train)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(BENCH_TRAIN_OBJECTS) -Wl,--start-group $(call link_of,train) -Wl,--end-group \
	    $(if $(wildcard /usr/include/dnnl.h),-ldnnl) $(call libs_of,train)

.PHONY: bench-train
bench-train: $(BENCH_TRAIN) ## images a second in training, beside im2col + OpenBLAS, oneDNN and PyTorch
	@for network in $(BENCH_TRAIN_NETWORKS); do for threads in $(BENCH_TRAIN_THREADS); do \
	    for turn in 1 2 3; do \
	        OMP_NUM_THREADS=$$threads $(BENCH_TRAIN) $$network $$threads $(BENCH_TRAIN_ROUNDS) || exit 1; \
	        $(PYTHON3) tests/bench/train/bench_torch.py $$network $$threads $(BENCH_TRAIN_ROUNDS) || exit 1; \
	    done; \
	done; done | awk -f tests/bench/train/summary.awk
