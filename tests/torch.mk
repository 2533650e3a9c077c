# torch.mk: saved networks in foreign hands: PyTorch (Debian's python3-torch), onnx's checker, ONNX Runtime (npm).  Only
# when asked for; what is not installed is skipped in words.

FOREIGN := $(B)/tests/foreign
SAVE_NETWORK := $(B)/tests/core/train/fixtures/save_network
FIXTURES := tests/core/train/fixtures

$(SAVE_NETWORK): $(B)/obj/tests/core/train/fixtures/save_network.o $(call link_of,train)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,train) -Wl,--end-group $(call libs_of,train)

TORCH_NETWORKS ?= r18 mbf y1
.PHONY: check-torch
check-torch: $(SAVE_NETWORK) ## the networks we build give PyTorch's numbers with the same weights
	@mkdir -p $(FOREIGN)
	@set -e; for name in $(TORCH_NETWORKS); do \
	    $(SAVE_NETWORK) $$name 1 $(FOREIGN)/$$name 3; \
	    $(PYTHON3) $(FIXTURES)/compare_torch.py $$name $(FOREIGN)/$$name 3; \
	    $(PYTHON3) $(FIXTURES)/make_safetensors.py $(FOREIGN)/$$name.onnx $(FOREIGN)/$$name.safetensors; \
	    if [ -f $(FOREIGN)/$$name.safetensors ]; then \
	        $(SAVE_NETWORK) $$name $(FOREIGN)/$$name.safetensors $(FOREIGN)/$$name-read 1; \
	        cmp $(FOREIGN)/$$name.onnx $(FOREIGN)/$$name-read.onnx; \
	        echo "ok - $$name from safetensors: the same file"; \
	    fi; \
	done

# NODE_PATH names the folder of node modules; `npm install --ignore-scripts onnxruntime-node` fills one.
ORT_FILES ?= $(wildcard $(addprefix $(ARCFACED_SHARED)/models/,mobilefacenet_128.onnx mobilefacenet_y1_128.onnx))
.PHONY: check-ort
check-ort: $(SAVE_NETWORK) ## what we save gives ONNX Runtime's numbers, one by one and in batches (NODE_PATH=)
	@mkdir -p $(FOREIGN)
	@if ! command -v node > /dev/null; then echo "skipped: node is not installed"; exit 0; fi; \
	set -e; list=; for file in $(ORT_FILES); do \
	    out=$(FOREIGN)/$$(basename $$file .onnx); $(SAVE_NETWORK) $$file - $$out 4; list="$$list $$out 4"; \
	done; \
	for name in $(TORCH_NETWORKS); do \
	    $(SAVE_NETWORK) $$name 1 $(FOREIGN)/$$name 4; list="$$list $(FOREIGN)/$$name 4"; \
	done; node $(FIXTURES)/compare_ort.js $$list
