# retrain.mk: training by HTTP on real faces (ARCFACED_SHARED): what it gains, minutes long, and what it costs.
.PHONY: test-retrain bench-training
test-retrain: $(B)/arcfaced ## train over HTTP: on wrong names, on noise, on a poor camera's pictures; activate, roll back
	@/usr/bin/python3 tests/real/retrain.py $(B)/arcfaced

bench-training: $(B)/arcfaced ## p99 of identify beside a training; time and memory of one on 80 and on 200 people
	@/usr/bin/python3 tests/bench/bench_training.py $(B)/arcfaced
