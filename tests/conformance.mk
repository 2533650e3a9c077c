# conformance.mk: ONNX's own operator cases, with the tally that a passing test keeps to itself.
.PHONY: conformance
conformance: $(B)/tests/core/onnx/test_conformance.tap ## cases of ONNX's operators: run, refused, failed, by operator
	@grep '^#' $<
