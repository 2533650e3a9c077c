# generate.mk: faces from embeddings, judged by another recogniser and another detector (ARCFACED_SHARED), minutes long.
# GENERATE_FLAGS: --recognizer F, --people N, and any flag of `arcfaced generate`.
.PHONY: test-generate
test-generate: $(B)/arcfaced ## make faces of 20 people and have them judged (GENERATE_FLAGS=)
	@$(PYTHON3) tests/real/generate.py $(B)/arcfaced $(GENERATE_FLAGS)
