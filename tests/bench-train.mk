# bench-train.mk: training steps beside im2col with OpenBLAS, oneDNN and PyTorch (Debian's libdnnl-dev and python3-torch; what is
# not installed is passed over).  All ways take turns, three times over; the best of each is compared.
# It takes ten minutes; BENCH_TRAIN_NETWORKS= and BENCH_TRAIN_THREADS= do less.
#
# Two cores, images a second, 1 and 2 threads.  Convolutions of r18: ours 7.4 and 10.7, im2col + OpenBLAS 3.9 and 6.0 (1.89 and 1.79 times;
# 1.5 are required), oneDNN 7.3 and 10.5.  Whole steps: ours 6.1 and 9.8, PyTorch 3.2 and 4.9.  MobileFaceNet, whole steps: ours 11.9
# and 17.3, PyTorch 6.0 and 9.0; its convolutions, most of them 1×1 and depthwise, gain nothing: ours 16.8 and 20.3, im2col 16.2 and
# 24.9, oneDNN 18.2 and 28.9.

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
