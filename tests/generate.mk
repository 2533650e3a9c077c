# generate.mk: faces from embeddings, judged by another recogniser and another detector (ARCFACED_SHARED), minutes long.
# Through mobilefacenet_y1_128 and the program's own recogniser.  GENERATE_FLAGS: --recognizer F (through this one alone), --people N, and
# any flag of `arcfaced generate`.
.PHONY: test-generate
test-generate: $(B)/arcfaced ## make faces of 20 people through two recognisers and have them judged (GENERATE_FLAGS=)
	@$(PYTHON3) tests/real/generate.py $(B)/arcfaced $(GENERATE_FLAGS)
