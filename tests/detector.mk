# detector.mk: the figures of the detector inside the program, on people that it was never taught with (ARCFACED_SHARED).
#
# DETECTOR_FILE= names another file, EVERY=n takes every n-th photo only.  It fails where a figure falls short of what is wanted.
MEASURE_DETECTOR := $(B)/tests/real/measure_detector

$(MEASURE_DETECTOR): $(B)/obj/tests/real/measure_detector.o $(call link_of,train)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(call link_of,train) -Wl,--end-group -lcmocka -ljansson \
	    $(call libs_of,train)

.PHONY: measure-detector
measure-detector: $(MEASURE_DETECTOR) ## faces found, false faces, points of the detector inside the program: LFW DevTest, wild, a group
	@ARCFACED_DETECTOR="$(or $(DETECTOR_FILE),core/models/detector.onnx)" ARCFACED_EVERY="$(or $(EVERY),1)" $<
