# faiss.mk: how FAISS's C interface is found (included by the Makefile; the cache is made by `make deps`).
#
# Debian 13's package holds libfaiss_c.a; Debian 12's does not, and docker/faiss-c builds it once into a cache outside
# the tree.
FAISS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/arcfaced
FAISS_CFLAGS :=
LIBS_index := -L$(FAISS_CACHE)/lib -lfaiss_c -lfaiss -l:libopenblas.a -lstdc++ -lgomp
