# retrain.mk: training by HTTP on real faces under wrong names (ARCFACED_SHARED), minutes long.
.PHONY: test-retrain
test-retrain: $(B)/arcfaced ## train on 80 people with 20 % wrong names over HTTP, activate, roll back
	@/usr/bin/python3 tests/real/retrain.py $(B)/arcfaced
