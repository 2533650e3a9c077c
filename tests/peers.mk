# peers.mk: against ONNX Runtime, on generated networks of real structure: bench-peers for speed, check-seed for numbers.
#
# Everything lies in $(PEERS): the peer (installed there through npm), networks with random weights (about 2 GB), the worker.
# PEER_ROUNDS and PEER_ONLY=word (of a case's name; or layers, memory, sets, daemon), SEED_ONLY="r50 scrfd_10g layers" do less;
# less than seven rounds are no verdict, and fail.
PEERS := $(B)/peers
PEER_ROUNDS ?= 7
PEER_ONLY ?=
SEED_ONLY ?=
PEER_PYTHON := PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 /usr/bin/python3

$(PEERS)/worker: $(B)/obj/tests/peers/worker.o $(call link_of,train)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,train) -Wl,--end-group $(call libs_of,train)
$(PEERS)/peak: tests/peers/peak.c
	@mkdir -p $(@D)
	$(Q)$(CC) -O3 -std=gnu11 -ffp-contract=fast -o $@ $<
$(PEERS)/node_modules/onnxruntime-node/package.json:
	@mkdir -p $(PEERS)
	@command -v npm >/dev/null || { echo "node and npm are needed: apt-get install nodejs npm"; exit 1; }
	cd $(PEERS) && npm install --ignore-scripts --no-audit --no-fund --prefix . onnxruntime-node

.PHONY: peer-deps bench-peers check-seed
peer-deps: $(PEERS)/node_modules/onnxruntime-node/package.json ## install what bench-peers and check-seed need
	@docker/install-packages build test peers
bench-peers: peer-deps $(PEERS)/worker $(PEERS)/peak $(B)/arcfaced ## every case against ONNX Runtime, in turns (PEER_ROUNDS= PEER_ONLY=)
	@$(PEER_PYTHON) tests/peers/bench.py $(PEERS) --rounds $(PEER_ROUNDS) --only '$(PEER_ONLY)'
check-seed: peer-deps $(PEERS)/worker ## the seed models' structures give ONNX Runtime's numbers (SEED_ONLY=)
	@$(PEER_PYTHON) tests/peers/seed.py $(PEERS) $(SEED_ONLY)
